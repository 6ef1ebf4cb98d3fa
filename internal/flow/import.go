package flow

import (
	"context"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// An Import brings a token that was obtained elsewhere.
type Import struct {
	Ref                tenant.Ref
	AccessToken        oauth.Secret
	AllowAccountChange bool
	By                 store.Caller
}

// Import stores a token that was obtained elsewhere as the credential of its
// ref. The provider is asked about it: it must be this client's, and alive.
// Nothing is stored if it is not, or cannot be asked.
func (f *Flow) Import(ctx context.Context, i Import) (c store.Credential, warning string, err error) {
	p, config, err := f.client(ctx, i.Ref.Provider)
	if err != nil {
		return c, "", err
	}
	life := f.Store.Life(i.Ref.Tenant)
	if err := f.Store.Admit(ctx, i.Ref, *config.RequireInstallation); err != nil {
		return c, "", err
	}
	begun := f.Now()
	calls, cancel := provider.Budget(ctx)
	defer cancel()
	var token oauth.Token
	err = f.Ask(ctx, i.Ref.Provider, "import", func() (err error) {
		token, err = p.Settle(calls, config.Client(), oauth.Token{
			AccessToken: i.AccessToken, Type: "bearer", IssuedAt: f.Now().UTC(), ExpiryUnknown: true,
		})
		return err
	})
	if err != nil {
		return c, "", provider.Refusal(err)
	}
	return f.keep(ctx, birth{
		ref: i.Ref, event: "imported", scopes: config.ExpectedScopes(i.Ref), by: i.By, begun: begun, allowAccountChange: i.AllowAccountChange, life: life,
	}, token)
}
