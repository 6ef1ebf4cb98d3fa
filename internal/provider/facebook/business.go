package facebook

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// The kinds of token, as debug_token calls them. What it calls that of a
// business integration system user (Meta: "Facebook Login for Business") is not
// written down.
const (
	kindUser       = "USER"
	kindPage       = "PAGE"
	kindApp        = "APP"
	kindSystemUser = "SYSTEM_USER"
)

// withBusiness returns t with the client's business that it is for, unless it
// is a person's. That it has one, and not its kind, tells a business's token.
func (p *Provider) withBusiness(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	return withEither(ctx, c, func(c oauth.Client) (oauth.Token, error) { return p.askBusiness(ctx, c, t) })
}

func (p *Provider) askBusiness(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	var answer struct {
		ID       decimalID `json:"id"`
		Business decimalID `json:"client_business_id"`
	}
	q := url.Values{"fields": {"client_business_id"}, "appsecret_proof": {proof(c, t.AccessToken.Reveal())}}
	err := p.call(ctx, request{
		op:      "asking for the business",
		method:  http.MethodGet,
		url:     c.APIBase + "/" + c.APIVersion + "/me?" + q.Encode(),
		bearer:  t.AccessToken,
		secrets: []oauth.Secret{c.Secret, t.AccessToken},
	}, &answer)
	var e *provider.Error
	switch {
	case errors.As(err, &e) && strings.Contains(e.Message, "nonexisting field"):
		return t, nil // a person, or a system user of the app's own business
	case errors.As(err, &e) && t.Kind == kindUser && (e.Class == provider.Caller || e.Class == provider.Permission):
		return t, nil // it may not ask, and a business's may
	case err == nil && answer.ID == "" && answer.Business == "":
		err = &provider.Error{Class: provider.Transient, Op: "asking for the business", Message: "the answer says nothing"}
	}
	t.Business = string(answer.Business)
	return t, err
}

// integrationRemoved returns err as what it means for t: of a client business's
// token, Facebook says that its user is not confirmed when the business has
// removed the app.
func integrationRemoved(err error, t oauth.Token) error {
	var e *provider.Error
	if t.Business != "" && errors.As(err, &e) && e.Code == 190 && e.Subcode == subcodeUnconfirmed {
		return e.Reclassified(provider.Revoked, provider.ConcernsBusiness)
	}
	return err
}

// RevokesAlone implements [provider.TokenRevoker].
func (*Provider) RevokesAlone(t oauth.Token) bool {
	return t.Kind == kindSystemUser || t.Business != ""
}

// revokeSystemUser revokes the one token (Meta: "System Users: Install Apps,
// Generate, Refresh, and Revoke Tokens"). That is a GET, whose secrets Meta takes
// in the URL alone, but for the token that authorizes the call. A token that is
// dead already is gone.
func (p *Provider) revokeSystemUser(ctx context.Context, c oauth.Client, t oauth.Token) (success, error) {
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
func (p *Provider) outlived(ctx context.Context, c oauth.Client, t oauth.Token) error {
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
