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

// A connector stores tokens as credentials.
type connector struct{ Options }

// A connection is what a session or an import stores beside the token.
type connection struct {
	ref                tenant.Ref
	event              string // for the credential's history
	scopes             []string
	by                 store.Caller
	session            string // the session's id, "" for an import
	begun              time.Time
	allowAccountChange bool
	life               int // the tenant's, at the beginning
}

// connect stores the token as the credential of the connection's ref, in place of the one
// that is there, if any.
func (cn connector) connect(ctx context.Context, conn connection, token oauth.Token) (store.Credential, string, error) {
	_, config, err := cn.client(ctx, conn.ref.Provider)
	if err != nil {
		return store.Credential{}, "", err
	}
	credential, replaced, err := cn.store(ctx, conn, token, config)
	if err != nil {
		return credential, "", err
	}
	warning, err := cn.sharedBusiness(ctx, conn.ref, token)
	if err != nil {
		cn.Log.Warn("looking for other installations of the same business failed", "ref", conn.ref.String(), "error", err)
	}
	if warning != "" {
		cn.Log.Warn(warning, "ref", conn.ref.String()) // the page of a callback shows no warnings
	}
	for _, former := range replaced {
		cn.Revoker.Unstored(ctx, conn.ref, former)
	}
	return credential, warning, nil
}

// store stores the token and returns those that it replaces, if any.
func (cn connector) store(ctx context.Context, conn connection, token oauth.Token, config store.Config) (c store.Credential, replaced []oauth.Token, err error) {
	defer cn.Store.Credentials.LockAccount(conn.ref.Provider, token.Account)()
	c, err = cn.Store.Credentials.Update(ctx, conn.ref, func(old *store.Credential) (store.Credential, error) {
		// Compared again here, where no removal and no suspension can come between.
		if cn.Store.Tenants.DeletionCount(conn.ref.Tenant) != conn.life {
			return store.Credential{}, oauth.Errorf(oauth.NotFound, "tenant %s was deleted meanwhile; begin again", conn.ref.Tenant)
		}
		if err := admission.Connect(ctx, cn.Store, conn.ref, *config.RequireInstallation); err != nil {
			return store.Credential{}, err
		}
		if old != nil && !sameOwner(old.Token, token) && !conn.allowAccountChange {
			return store.Credential{}, oauth.Errorf(oauth.AccountMismatch, "%s is connected with another account of the provider; begin again with that account, or with allow_account_change=true", conn.ref)
		}
		c := cn.newCredential(conn, old, token, config)
		replaced = nil
		if old != nil && cn.outlives(conn.ref, old.Token, token) {
			c.Formers = slices.DeleteFunc(plan.Replaced(*old, cn.Now().UTC()), func(former store.Former) bool { return former.AccessToken == token.AccessToken })
		} else if old != nil {
			replaced = old.Tokens()
		}
		return c, nil
	})
	if errors.Is(err, store.ErrRemoving) {
		err = admission.Removing(conn.ref)
	}
	return c, replaced, err
}

// outlives reports whether the account's old token stays valid beside the new one and can
// be revoked alone, when its readers have fetched the new one.
func (cn connector) outlives(ref tenant.Ref, old, token oauth.Token) bool {
	return old.Account == token.Account && cn.Revoker.Alone(ref.Provider, old)
}

// sameOwner reports whether two tokens are of one account, or for one business: its system
// user is a new one after it has installed the app again.
func sameOwner(a, b oauth.Token) bool {
	return a.Account == b.Account || a.Business != "" && a.Business == b.Business
}

// sharedBusiness returns a warning if another tenant has installed for the same business.
// It does not name that tenant.
func (cn connector) sharedBusiness(ctx context.Context, ref tenant.Ref, token oauth.Token) (warning string, err error) {
	if token.Business == "" || ref.Kind() != tenant.Installation {
		return "", nil
	}
	holders, err := cn.Store.Credentials.Holders(ctx, ref.Provider, store.BusinessAccount(token.Business))
	for _, other := range holders {
		if other.Ref.Tenant != ref.Tenant && other.Status != store.Revoked {
			return "another tenant of this mount has installed for the same business", err
		}
	}
	return "", err
}

func (cn connector) newCredential(conn connection, old *store.Credential, token oauth.Token, config store.Config) store.Credential {
	now := cn.Now().UTC()
	c := store.Credential{
		Birth:       random().Reveal(),
		Generation:  1,
		Status:      store.Active,
		Token:       token,
		AskedScopes: conn.scopes,
		ConnectedAt: now,
		ConnectedBy: conn.by,
		Session:     conn.session,
		RefreshedAt: now,
		CheckedAt:   now,
	}
	if old != nil {
		c.Generation, c.History = old.Generation+1, old.History
		if conn.event == "connected" {
			conn.event = "reconnected"
		}
	}
	c.Record(now, conn.event, "")
	plan.Set(conn.ref, &c, config, now)
	if cn.Revoker.Since(conn.ref.Provider, token.Account, conn.begun) || token.Business != "" && cn.Revoker.Since(conn.ref.Provider, store.BusinessAccount(token.Business), conn.begun) {
		c.NextCheck = now
	}
	return c
}
