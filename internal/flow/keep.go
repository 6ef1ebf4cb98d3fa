package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A birth is how a credential comes to be.
type birth struct {
	ref                tenant.Ref
	event              string // for its history
	scopes             []string
	by                 store.Caller
	session            string // the id of the session that it is born of, if any
	begun              time.Time
	allowAccountChange bool
	life               int // the tenant's, when it was begun
}

// keep stores the token as the credential that is born.
func (f *Flow) keep(ctx context.Context, b birth, token oauth.Token) (store.Credential, string, error) {
	_, config, err := f.client(ctx, b.ref.Provider)
	if err != nil {
		return store.Credential{}, "", err
	}
	credential, replaced, err := f.store(ctx, b, token, config)
	if err != nil {
		return credential, "", err
	}
	warning, err := f.sharedBusiness(ctx, b.ref, token)
	if err != nil {
		f.Log.Warn("looking for others who installed for the same business", "ref", b.ref.String(), "error", err)
	}
	if warning != "" {
		f.Log.Warn(warning, "ref", b.ref.String()) // a callback that redeems has nobody else to tell
	}
	for _, former := range replaced {
		f.Revoker.Unstored(ctx, b.ref, former)
	}
	return credential, warning, nil
}

// store stores the token and returns those that it replaces, if any.
func (f *Flow) store(ctx context.Context, b birth, token oauth.Token, config store.Config) (c store.Credential, replaced []oauth.Token, err error) {
	defer f.Store.Credentials.LockAccount(b.ref.Provider, token.Account)()
	c, err = f.Store.Credentials.Update(ctx, b.ref, func(old *store.Credential) (store.Credential, error) {
		// Asked again here, where no removal and no suspension can come between.
		if f.Store.Tenants.DeletionCount(b.ref.Tenant) != b.life {
			return store.Credential{}, oauth.Errorf(oauth.NotFound, "tenant %s was deleted meanwhile; begin again", b.ref.Tenant)
		}
		if err := admission.Connect(ctx, f.Store, b.ref, *config.RequireInstallation); err != nil {
			return store.Credential{}, err
		}
		if old != nil && !sameOwner(old.Token, token) && !b.allowAccountChange {
			return store.Credential{}, oauth.Errorf(oauth.AccountMismatch, "%s is connected with another account of the provider; begin again with that account, or with allow_account_change=true", b.ref)
		}
		c := f.newCredential(b, old, token, config)
		replaced = nil
		if old != nil && f.outlives(b.ref, old.Token, token) {
			c.Formers = slices.DeleteFunc(plan.Replaced(*old, f.Now().UTC()), func(former store.Former) bool { return former.AccessToken == token.AccessToken })
		} else if old != nil {
			replaced = old.Tokens()
		}
		return c, nil
	})
	if errors.Is(err, store.ErrRemoving) {
		err = admission.Removing(b.ref)
	}
	return c, replaced, err
}

// outlives reports whether the account's old token lives on beside the new one
// and can be revoked by itself, once its readers have come back for the new one.
func (f *Flow) outlives(ref tenant.Ref, old, token oauth.Token) bool {
	return old.Account == token.Account && f.Revoker.Alone(ref.Provider, old)
}

// sameOwner reports whether two tokens are of one account, or for one business,
// whose system user is another after it has installed the app again.
func sameOwner(a, b oauth.Token) bool {
	return a.Account == b.Account || a.Business != "" && a.Business == b.Business
}

// sharedBusiness warns of another tenant that has installed for the same
// business, without naming it.
func (f *Flow) sharedBusiness(ctx context.Context, ref tenant.Ref, token oauth.Token) (warning string, err error) {
	if token.Business == "" || ref.Kind() != tenant.Installation {
		return "", nil
	}
	holders, err := f.Store.Credentials.Holders(ctx, ref.Provider, store.BusinessAccount(token.Business))
	for _, other := range holders {
		if other.Ref.Tenant != ref.Tenant && other.Status != store.Revoked {
			return "another tenant of this mount has installed for the same business", err
		}
	}
	return "", err
}

func (f *Flow) newCredential(b birth, old *store.Credential, token oauth.Token, config store.Config) store.Credential {
	now := f.Now().UTC()
	c := store.Credential{
		Birth:       random().Reveal(),
		Generation:  1,
		Status:      store.Active,
		Token:       token,
		AskedScopes: b.scopes,
		ConnectedAt: now,
		ConnectedBy: b.by,
		Session:     b.session,
		RefreshedAt: now,
		CheckedAt:   now,
	}
	if old != nil {
		c.Generation, c.History = old.Generation+1, old.History
		if b.event == "connected" {
			b.event = "reconnected"
		}
	}
	c.Record(now, b.event, "")
	plan.Set(b.ref, &c, config, now)
	if f.Revoker.Since(b.ref.Provider, token.Account, b.begun) || token.Business != "" && f.Revoker.Since(b.ref.Provider, store.BusinessAccount(token.Business), b.begun) {
		c.NextCheck = now
	}
	return c
}
