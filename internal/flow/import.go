package flow

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// An Import is a request to store a token that was obtained elsewhere.
type Import struct {
	Ref                tenant.Ref
	AccessToken        oauth.Secret
	AllowAccountChange bool
	By                 store.Caller
}

// Import stores a token that was obtained elsewhere as the credential of its ref. It first
// checks at the provider that the token is this client's, and alive.
func (f *Flow) Import(ctx context.Context, i Import) (c store.Credential, warning string, err error) {
	p, config, err := f.client(ctx, i.Ref.Provider)
	if err != nil {
		return c, "", err
	}
	life := f.Store.Tenants.DeletionCount(i.Ref.Tenant)
	if err := admission.Connect(ctx, f.Store, i.Ref, *config.RequireInstallation); err != nil {
		return c, "", err
	}
	begun := f.Now()
	calls, cancel := provider.Budget(ctx)
	defer cancel()
	var token oauth.Token
	err = f.Breaker.Call(ctx, i.Ref.Provider, "import", func() (err error) {
		token, err = p.Settle(calls, config.Client(), oauth.Token{
			AccessToken: i.AccessToken, Type: "bearer", IssuedAt: f.Now().UTC(), ExpiryUnknown: true,
		})
		return err
	})
	if err != nil {
		return c, "", refusedImport(p, i, err)
	}
	return f.connector.connect(ctx, connection{
		ref: i.Ref, event: "imported", scopes: config.ExpectedScopes(i.Ref), by: i.By, begun: begun, allowAccountChange: i.AllowAccountChange, life: life,
	}, token)
}

// refusedImport returns the error of a token that the provider refuses, with the reason if
// the provider can explain it. Such an error has its final code, and wraps no
// [provider.Error] that would change it.
func refusedImport(p provider.Provider, i Import, err error) error {
	refusal := provider.Refusal(err)
	var e *provider.Error
	if !errors.As(err, &e) {
		return refusal
	}
	switch why := p.ExplainImport(e, i.AccessToken); {
	case why.Text == "":
		return refusal
	case why.Malformed:
		return oauth.Invalid("access_token", "%s (%s)", why.Text, e)
	default:
		return oauth.Errorf(oauth.CodeOf(refusal), "the token was not imported, for %s; import another, or connect with connect/%s (%s)", why.Text, i.Ref, e)
	}
}
