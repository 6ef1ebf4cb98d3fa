package refresh

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// retryRevoking is when the revocation of a former token is repeated.
const retryRevoking = time.Hour

// revokeFormers revokes the credential's former tokens that are due, and returns the
// credential without them. It does not revoke one that has expired, that another
// credential holds, or that the provider refuses to revoke: such a token lives until it
// expires.
func (r *Refresher) revokeFormers(ctx context.Context, ref tenant.Ref, c store.Credential) (store.Credential, error) {
	done, later := map[oauth.Secret]bool{}, r.Now().UTC().Add(retryRevoking)
	for _, former := range c.Formers {
		if !r.formerDue(former) {
			continue
		}
		again, err := r.revokeFormer(ctx, ref, c, former)
		if err != nil {
			return c, err
		}
		done[former.AccessToken] = !again
	}
	stored, err := r.Store.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != c.Birth {
			return store.Credential{}, call.ErrSuperseded
		}
		left := *old
		left.Formers = nil
		for _, former := range old.Formers {
			delete, tried := done[former.AccessToken]
			if tried && !delete {
				former.RevokeAt = later
			}
			if !delete {
				left.Formers = append(left.Formers, former)
			}
		}
		return left, nil
	})
	if errors.Is(err, call.ErrSuperseded) || store.Gone(err) {
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

// revokeFormer revokes one former token of the credential. again says that it must be
// repeated. The error is one of storage.
func (r *Refresher) revokeFormer(ctx context.Context, ref tenant.Ref, c store.Credential, former store.Former) (again bool, err error) {
	if _, ok := r.Providers[ref.Provider].(provider.Revoker); !ok || !former.ExpiresAt.IsZero() && !r.Now().Before(former.ExpiresAt) {
		return false, nil
	}
	token := c.Token
	token.AccessToken, token.RefreshToken = former.AccessToken, former.RefreshToken
	if held, err := r.Revoker.HeldBeyond(ctx, ref, token); held || err != nil {
		return false, err
	}
	if err := r.Budget.Wait(ctx); err != nil {
		return false, err
	}
	if err = r.Revoker.Token(ctx, ref, token); err == nil {
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
