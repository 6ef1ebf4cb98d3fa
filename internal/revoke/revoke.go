// Package revoke revokes tokens and grants at the provider, and remembers which it has
// revoked lately.
package revoke

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Options are what a Revoker needs.
type Options struct {
	Store   *store.Store
	Breaker *breaker.Breaker
	Now     func() time.Time
	Log     hclog.Logger
}

// A Revoker revokes tokens and grants. It is safe for concurrent use.
type Revoker struct {
	Options
	recent recent
}

// New returns a Revoker.
func New(o Options) *Revoker { return &Revoker{Options: o} }

// Alone reports whether revoking the token leaves the account's other tokens alive. Any
// other token is revoked with its whole grant.
func (r *Revoker) Alone(providerName string, t oauth.Token) bool {
	revoker, ok := r.Breaker.Providers[providerName].(provider.Revoker)
	return ok && revoker.RevokesAlone(t)
}

// Token revokes the token of ref's account, and the grant with it unless it is revoked
// alone. A provider that cannot revoke is not called. The error is a [*provider.Error], or
// one of storage.
func (r *Revoker) Token(ctx context.Context, ref tenant.Ref, t oauth.Token) error {
	return r.Call(ctx, ref, t, func(calls context.Context, p provider.Revoker, client oauth.Client) error {
		return p.Revoke(calls, client, t)
	})
}

// Call calls a provider that can revoke, through the breaker.
func (r *Revoker) Call(ctx context.Context, ref tenant.Ref, t oauth.Token, call func(context.Context, provider.Revoker, oauth.Client) error) error {
	p, config, err := r.Breaker.Client(ctx, ref.Provider)
	if err != nil {
		return err
	}
	revoker, ok := p.(provider.Revoker)
	if !ok {
		return nil
	}
	calls, cancel := provider.Within(ctx)
	defer cancel()
	return r.Breaker.CallFor(calls, r.subject(ref, t), "revoke", func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				r.Log.Error("panic while calling the provider", "ref", ref.String(), "panic", p, "stack", string(debug.Stack()))
				err = &provider.Error{Class: provider.Transient, Op: "revoking the token", Message: "internal error"}
			}
		}()
		return call(calls, revoker, config.Client())
	})
}

// subject is the account whose rate limits a revocation of t waits for. A grant is
// revoked with the client's own token, which no limit of an account concerns.
func (r *Revoker) subject(ref tenant.Ref, t oauth.Token) breaker.Subject {
	if r.Alone(ref.Provider, t) {
		return breaker.Subject{Provider: ref.Provider, Account: t.Account}
	}
	return breaker.Subject{Provider: ref.Provider}
}

// HeldBeyond reports whether another credential than ref's holds the token. A record that
// does not open may hold any.
func (r *Revoker) HeldBeyond(ctx context.Context, ref tenant.Ref, t oauth.Token) (bool, error) {
	return r.held(ctx, ref.Provider, t, func(holder tenant.Ref) bool { return holder != ref })
}

func (r *Revoker) held(ctx context.Context, providerName string, t oauth.Token, counts func(tenant.Ref) bool) (bool, error) {
	holders, err := r.Store.Credentials.Holders(ctx, providerName, t.Account)
	return slices.ContainsFunc(holders, func(h store.Holder) bool {
		return counts(h.Ref) && (h.Token.IsZero() || h.Holds(t.AccessToken))
	}), err
}

// Unstored revokes a token that no record has any more, or never had. It does nothing if a
// credential holds the token, or if the token is revoked with the grant of its account,
// which lives on. It logs a failure: there is no record to try again for. For the same
// reason it goes on when the request is cancelled.
func (r *Revoker) Unstored(ctx context.Context, ref tenant.Ref, t oauth.Token) {
	ctx = context.WithoutCancel(ctx)
	if t.AccessToken.IsZero() || !r.Alone(ref.Provider, t) {
		return
	}
	held, err := r.held(ctx, ref.Provider, t, func(tenant.Ref) bool { return true })
	if held {
		return
	}
	if err == nil {
		err = r.Token(ctx, ref, t)
	}
	if err != nil {
		r.Log.Warn("a token that is not stored could not be revoked", "ref", ref.String(), "error", err)
	}
}

// Revoked records that the account's grant was revoked just now.
func (r *Revoker) Revoked(providerName, account string) { r.recent.add(providerName, account, r.Now()) }

// Since reports whether this process has recorded a revocation of the account's grant
// since begun: a token that was obtained meanwhile may be dead, and must be checked.
func (r *Revoker) Since(providerName, account string, begun time.Time) bool {
	return r.recent.since(providerName, account, begun)
}

// CheckOthers records that the account's grant was revoked just now, and plans a check of
// each of its other credentials than ref's: one that was connected while the grant was
// being revoked may have died with it. For those that are stored later, see Since.
func (r *Revoker) CheckOthers(ctx context.Context, providerName string, ref tenant.Ref, account string) error {
	r.Revoked(providerName, account)
	holders, err := r.Store.Credentials.Holders(ctx, providerName, account)
	if err != nil {
		return err
	}
	for _, other := range holders {
		if other.Ref == ref || other.Status != store.Active {
			continue
		}
		_, err := r.Store.Credentials.Update(ctx, other.Ref, func(old *store.Credential) (store.Credential, error) {
			if old == nil {
				return store.Credential{}, store.ErrNotFound
			}
			checked := *old
			checked.NextCheck = r.Now().UTC()
			return checked, nil
		})
		if err != nil && !store.Gone(err) {
			return err
		}
	}
	return nil
}
