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
// is a person's. A business's token is known by having one, not by its kind.
func (p *Provider) withBusiness(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	return provider.WithEither(ctx, c, func(c oauth.Client) (oauth.Token, error) { return p.askBusiness(ctx, c, t) })
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
