package facebook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// revoker takes grants away.
type revoker struct{ inspector }

// Revoke implements [provider.Revoker] (Meta: "User Permissions": deleting
// without a permission's name uninstalls the app for that person). The app's
// own token is used, for the person's may have expired.
func (p revoker) Revoke(ctx context.Context, c oauth.Client, t oauth.Token) error {
	_, err := provider.WithEither(ctx, c, func(c oauth.Client) (success, error) { return p.revoke(ctx, c, t) })
	return err
}

func (p revoker) revoke(ctx context.Context, c oauth.Client, t oauth.Token) (success, error) {
	if p.RevokesAlone(t) {
		return p.revokeSystemUser(ctx, c, t)
	}
	var done success
	err := p.call(ctx, request{
		op:      "revoking the grant",
		method:  http.MethodDelete,
		url:     c.APIBase + "/" + c.APIVersion + "/" + url.PathEscape(t.Account) + "/permissions?appsecret_proof=" + appProof(c),
		bearer:  appToken(c),
		client:  true,
		secrets: []oauth.Secret{c.Secret, t.AccessToken},
	}, &done)
	if err == nil && !done {
		return false, &provider.Error{Class: provider.Transient, Op: "revoking the grant", Message: "the answer does not say that it was done"}
	}
	var e *provider.Error
	if errors.As(err, &e) && e.Code == 100 && e.Subcode == subcodeNoObject {
		// For the app the person does not exist, or so it seems: an inspection of the token shows it.
		_, err = p.inspect(ctx, c, t)
		if err == nil {
			return false, e
		}
	}
	if provider.ClassOf(err) == provider.Revoked {
		return true, nil
	}
	return done, err
}

// success is the answer of an edge that does something. Meta's reference has
// true, its examples {"success":true}.
type success bool

// UnmarshalJSON implements [json.Unmarshaler].
func (s *success) UnmarshalJSON(b []byte) error {
	var object struct {
		Success bool `json:"success"`
	}
	if json.Unmarshal(b, (*bool)(s)) == nil {
		return nil
	}
	err := json.Unmarshal(b, &object)
	*s = success(object.Success)
	return err
}

// RevokesAlone implements [provider.Revoker].
func (revoker) RevokesAlone(t oauth.Token) bool {
	return t.Kind == kindSystemUser || t.Business != ""
}

// revokeSystemUser revokes the one token (Meta: "System Users: Install Apps,
// Generate, Refresh, and Revoke Tokens"). That is a GET, whose secrets Meta takes
// in the URL alone, but for the token that authorizes the call. A token that is
// dead already is gone.
func (p revoker) revokeSystemUser(ctx context.Context, c oauth.Client, t oauth.Token) (success, error) {
	var done success
	q := url.Values{
		"client_id": {c.ID}, "client_secret": {c.Secret.Reveal()}, "revoke_token": {t.AccessToken.Reveal()},
		"appsecret_proof": {proof(c, t.AccessToken.Reveal())},
	}
	err := p.call(ctx, request{
		op:      "revoking the token",
		method:  http.MethodGet,
		token:   true,
		url:     c.APIBase + "/" + c.APIVersion + "/oauth/revoke?" + q.Encode(),
		bearer:  t.AccessToken,
		secrets: []oauth.Secret{c.Secret, t.AccessToken},
	}, &done)
	var e *provider.Error
	if errors.As(err, &e) && (e.Class == provider.Revoked || e.Class == provider.NeedsReauth) {
		return true, nil
	}
	if err == nil && !done {
		return false, &provider.Error{Class: provider.Transient, Op: "revoking the token", Message: "the answer does not say that it was done"}
	}
	if err == nil && t.Business != "" {
		err = p.outlived(ctx, c, t)
	}
	return done, err
}

// outlived returns an error if the token of a client's business lives after it
// was revoked: Facebook is known to report success and to leave it alive.
func (p revoker) outlived(ctx context.Context, c oauth.Client, t oauth.Token) error {
	_, err := p.inspect(ctx, c, t)
	switch provider.ClassOf(err) {
	case provider.NeedsReauth, provider.Revoked:
		return nil
	}
	if err != nil {
		return err
	}
	return &provider.Error{
		Class: provider.Permission, Op: "revoking the token", Err: provider.ErrOutlived,
		Message: "the provider reports success, and the token still works: an admin of business " + t.Business +
			" must remove the app, in Business settings, Integrations, Connected apps",
	}
}
