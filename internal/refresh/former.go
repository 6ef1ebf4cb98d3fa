package refresh

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// retryRevoking is when the revocation of a former token is repeated.
const retryRevoking = time.Hour

// revokeFormers revokes the former tokens of the credential whose time is over,
// and returns the credential without them. One that has expired, or that another
// credential lives by, is only dropped. So is one that the provider refuses to
// revoke: it lives until it expires.
func (r *Refresher) revokeFormers(ctx context.Context, ref tenant.Ref, c store.Credential) (store.Credential, error) {
	dropped, later := map[oauth.Secret]bool{}, r.Now().UTC().Add(retryRevoking)
	for _, former := range c.Formers {
		if !r.formerDue(former) {
			continue
		}
		again, err := r.revokeFormer(ctx, ref, c, former)
		if err != nil {
			return c, err
		}
		dropped[former.AccessToken] = !again
	}
	stored, err := r.Store.UpdateCredential(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != c.Birth {
			return store.Credential{}, errSuperseded
		}
		left := *old
		left.Formers = nil
		for _, former := range old.Formers {
			drop, tried := dropped[former.AccessToken]
			if tried && !drop {
				former.RevokeAt = later
			}
			if !drop {
				left.Formers = append(left.Formers, former)
			}
		}
		return left, nil
	})
	if errors.Is(err, errSuperseded) || gone(err) {
		return c, nil
	}
	return stored, err
}

// formersDue reports whether a former token of the credential is to be revoked.
func (r *Refresher) formersDue(c store.Credential) bool {
	return slices.ContainsFunc(c.Formers, r.formerDue)
}

func (r *Refresher) formerDue(f store.Former) bool {
	return !f.RevokeAt.IsZero() && !r.Now().Before(f.RevokeAt)
}

// revokeFormer revokes one former token of the credential. again says that it is
// to be tried again. The error is one of storage.
func (r *Refresher) revokeFormer(ctx context.Context, ref tenant.Ref, c store.Credential, former store.Former) (again bool, err error) {
	revoker, ok := r.Providers[ref.Provider].(provider.Revoker)
	if !ok || !former.ExpiresAt.IsZero() && !r.Now().Before(former.ExpiresAt) {
		return false, nil
	}
	token := c.Token
	token.AccessToken = former.AccessToken
	if held, err := r.held(ctx, ref, token); held || err != nil {
		return false, err // another tenant lives by it
	}
	if err := r.budget.Wait(ctx); err != nil {
		return false, err
	}
	if err = r.askRevoke(ctx, ref, revoker, token); err == nil {
		r.Log.Info("revoked a token that was replaced", "ref", ref.String())
		return false, nil
	}
	var e *provider.Error
	if !errors.As(err, &e) {
		return false, err
	}
	again = e.Class == provider.Transient || e.Class == provider.Throttled || e.Class == provider.Misconfigured
	r.Log.Warn("the token that was replaced could not be revoked", "ref", ref.String(), "again", again, "error", err)
	return again, nil
}

// askRevoke asks the provider to revoke a token of ref's account.
func (r *Refresher) askRevoke(ctx context.Context, ref tenant.Ref, revoker provider.Revoker, token oauth.Token) error {
	_, config, err := r.client(ctx, ref.Provider)
	if err != nil {
		return err
	}
	calls, cancel := provider.Within(ctx)
	defer cancel()
	return r.Breaker.CallFor(calls, r.revoker(ref, token), "revoke", func() error {
		return r.guarded(ref, func() error { return revoker.Revoke(calls, config.Client(), token) })
	})
}

// revokeUnstored revokes a token that a refresh brought after its credential was
// deleted or connected again: no record has it. One that dies with the grant of its
// account is left alone.
func (r *Refresher) revokeUnstored(ctx context.Context, ref tenant.Ref, before store.Credential, fresh oauth.Token) {
	tokens, ok := r.Providers[ref.Provider].(provider.TokenRevoker)
	if !ok || fresh.AccessToken.IsZero() || fresh.AccessToken == before.Token.AccessToken || !tokens.RevokesAlone(before.Token) {
		return
	}
	if now, err := r.Store.Credential(ctx, ref); err == nil && now.Token.AccessToken == fresh.AccessToken {
		return
	}
	held, err := r.held(ctx, ref, fresh)
	if held {
		return
	}
	if err == nil {
		err = r.askRevoke(ctx, ref, tokens, fresh)
	}
	if err != nil {
		r.Log.Warn("a token that a refresh brought too late could not be revoked", "ref", ref.String(), "error", err)
	}
}
