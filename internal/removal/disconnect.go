package removal

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Disconnection says how to disconnect a credential.
type Disconnection struct {
	// Revoke revokes the grant at the provider.
	Revoke bool
	// Force deletes the credential even if its grant could not be revoked.
	Force bool
}

// warnShared is the warning of a disconnection that did not revoke the grant.
const warnShared = "the grant was not revoked at the provider, for another credential of this mount holds the same account"

// warnCorrupt is the warning of a disconnection that could not read the token.
const warnCorrupt = "the record did not open, so the grant could not be revoked at the provider; the record is deleted"

// errNoRevocation is why the grant of a provider that is no [provider.Revoker] is not
// revoked.
var errNoRevocation = errors.New("the provider cannot be asked to revoke a grant")

// Disconnect revokes the grant at the provider and then deletes the credential. If the
// grant cannot be revoked, it deletes nothing, unless d says Force. It does not revoke the
// grant of an account on which another credential rests, too. With an installation it
// removes everything under it: see [Remover.RemoveInstallation]. A static credential has no
// grant and is only deleted.
func (r *Remover) Disconnect(ctx context.Context, ref tenant.Ref, d Disconnection) (warning string, err error) {
	// A cancelled request must not leave a revoked grant's credential in service.
	ctx = context.WithoutCancel(ctx)
	if ref.Kind() == tenant.Installation {
		return r.removeInstallation(ctx, ref, d)
	}
	c, err := admission.Credential(ctx, r.Store, ref)
	if errors.Is(err, store.ErrCorrupt) && d.Force {
		r.unrevoked(ref, err)
		return warnCorrupt, r.Store.Credentials.DeleteUnreadable(ctx, ref)
	}
	if err != nil {
		return "", err
	}
	return r.disconnect(ctx, ref, c, d)
}

// disconnect is Disconnect for any credential but an installation's.
func (r *Remover) disconnect(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) (warning string, err error) {
	if ref.Kind() == tenant.Static {
		return "", r.deleteStatic(ctx, ref)
	}
	if ref.Kind() == tenant.Page {
		// It has no grant of its own. The next fetch of the pages brings it back.
		return "", r.Store.Credentials.DeletePage(ctx, ref.Above(), ref.Page)
	}
	if err := r.Store.Credentials.DeletePages(ctx, ref); err != nil {
		return "", err
	}
	for {
		warning, err = r.disconnectOnce(ctx, ref, c, d)
		if !errors.Is(err, errSuperseded) {
			break
		}
		// It was connected again meanwhile, perhaps with another account.
		if c, err = r.Store.Credentials.Read(ctx, ref); err != nil {
			break
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		err = admission.NoCredential(ref)
	}
	if err != nil {
		return warning, err
	}
	return warning, r.Store.Credentials.DeletePages(ctx, ref) // those fetched meanwhile
}

// deleteStatic is disconnect for a static credential, which has no grant.
func (r *Remover) deleteStatic(ctx context.Context, ref tenant.Ref) error {
	err := r.Store.Credentials.Delete(ctx, ref, func(store.Credential) error { return nil })
	if errors.Is(err, store.ErrNotFound) {
		return admission.NoCredential(ref)
	}
	return err
}

func (r *Remover) disconnectOnce(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) (warning string, err error) {
	if deleted, err := r.deleteShared(ctx, ref, c); deleted || err != nil {
		if err == nil && d.Revoke {
			warning = warnShared
		}
		return warning, err
	}
	if warning, err = r.revoke(ctx, ref, c, d); err != nil {
		return "", err
	}
	if err = r.Store.Credentials.Delete(ctx, ref, unchanged(c)); err == nil {
		r.publishIrrevocable(ref, c, d)
	}
	return warning, err
}

// unchanged returns a condition for a change of a credential: that it is still c.
func unchanged(c store.Credential) func(store.Credential) error {
	return func(now store.Credential) error {
		if now.Birth != c.Birth {
			return errSuperseded
		}
		return nil
	}
}

// deleteShared deletes the credential if another one rests on its account, and reports
// whether it did. The account's lock orders credentials that are disconnected at the same
// time: each sees the others or is the last.
func (r *Remover) deleteShared(ctx context.Context, ref tenant.Ref, c store.Credential) (bool, error) {
	defer r.Store.Credentials.LockAccount(ref.Provider, c.Token.Account)()
	if shared, err := r.shared(ctx, ref, c); !shared || err != nil {
		return false, err
	}
	err := r.Store.Credentials.Delete(ctx, ref, unchanged(c))
	return err == nil, err
}

// shared reports whether another credential that is not revoked rests on what would be
// revoked: the account's grant, or this one token.
func (r *Remover) shared(ctx context.Context, ref tenant.Ref, c store.Credential) (bool, error) {
	return r.sharedBeyond(ctx, ref, c, func(other tenant.Ref) bool { return other == ref })
}

// sharedBeyond is shared without the credentials for which except is true.
func (r *Remover) sharedBeyond(ctx context.Context, ref tenant.Ref, c store.Credential, except func(tenant.Ref) bool) (bool, error) {
	alone := r.Revoker.Alone(ref.Provider, c.Token)
	holders, err := r.Store.Credentials.Holders(ctx, ref.Provider, c.Token.Account)
	return slices.ContainsFunc(holders, func(other store.Holder) bool {
		return !except(other.Ref) && !other.Gone && (!alone || other.Holds(c.Token.AccessToken))
	}), err
}

// revoke revokes the credential's tokens and grant, if that is necessary and the provider
// can. The warning has the error that Force has overruled.
func (r *Remover) revoke(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) (warning string, err error) {
	if !d.Revoke || c.Gone() {
		return "", nil
	}
	if !r.Writable() {
		return "", store.ErrReadOnly
	}
	if r.irrevocable(ref) {
		return "the grant lives on at " + r.Providers[ref.Provider].DisplayName() + ", which cannot be asked to revoke it: only its owner can end it there", nil
	}
	err = r.Revoker.Call(ctx, ref, c.Token, func(calls context.Context, p provider.Revoker, client oauth.Client) error {
		return r.revokeAll(calls, p, client, ref, c)
	})
	var e *provider.Error
	switch {
	case err == nil:
		r.Log.Info("revoked", "ref", ref.String())
		return "", r.Revoker.CheckOthers(ctx, ref.Provider, ref, c.Token.Account)
	case !errors.As(err, &e):
		return "", err // an error of storage
	case e.Class == provider.Transient && !errors.Is(e, provider.ErrCircuitOpen):
		// The provider may have revoked the grant although its answer was lost.
		if err := r.Revoker.CheckOthers(ctx, ref.Provider, tenant.Ref{}, c.Token.Account); err != nil {
			return "", err
		}
	}
	if d.Force {
		r.unrevoked(ref, e)
		return "the grant could not be revoked at the provider: " + e.Error(), nil
	}
	r.Log.Warn("revoking failed", "ref", ref.String(), "error", e)
	if errors.Is(e, provider.ErrOutlived) {
		if err := r.recordOutlived(ctx, ref, c, e); err != nil {
			return "", err
		}
	}
	return "", provider.Refusal(err)
}

// irrevocable reports whether ref's provider has no revocation.
func (r *Remover) irrevocable(ref tenant.Ref) bool {
	p, known := r.Providers[ref.Provider]
	_, ok := p.(provider.Revoker)
	return known && !ok
}

// publishIrrevocable publishes that the grant of c, which was deleted, lives on because its
// provider has no revocation.
func (r *Remover) publishIrrevocable(ref tenant.Ref, c store.Credential, d Disconnection) {
	if d.Revoke && !c.Gone() && r.irrevocable(ref) {
		r.unrevoked(ref, errNoRevocation)
	}
}

// recordOutlived records on the credential that only its owner can end the grant, and how.
// The log alone is not enough for that: the caller has to pass it on.
func (r *Remover) recordOutlived(ctx context.Context, ref tenant.Ref, c store.Credential, e *provider.Error) error {
	_, err := r.Store.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != c.Birth {
			return store.Credential{}, store.ErrNotFound
		}
		noted, now := *old, r.Now().UTC()
		noted.LastError = breaker.Failure(e, now)
		noted.Outlived = noted.LastError
		noted.Record(now, "revoke_failed", noted.LastError.Message)
		return noted, nil
	})
	if store.Gone(err) {
		return nil
	}
	return err
}

// unrevoked logs and publishes that ref is deleted by force, and why its grant was not
// revoked.
func (r *Remover) unrevoked(ref tenant.Ref, why error) {
	r.Log.Warn("deleted without revoking the grant", "ref", ref.String(), "error", why)
	r.Store.Events.Add(event.Event{At: r.Now().UTC(), Type: event.ConnectionUnrevoked, Ref: ref.String(), Reason: why.Error()})
}

// revokeAll revokes the credential's tokens, without those that other credentials hold.
func (r *Remover) revokeAll(ctx context.Context, p provider.Revoker, client oauth.Client, ref tenant.Ref, c store.Credential) error {
	for _, token := range c.Tokens() {
		if token.AccessToken != c.Token.AccessToken {
			if held, err := r.Revoker.HeldBeyond(ctx, ref, token); held || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := p.Revoke(ctx, client, token); err != nil {
			return err
		}
	}
	return nil
}

// removeInstallation begins the removal of an installation. It revokes the installation's
// own grant first: if that fails, nothing has changed. Then one write takes everything
// under it out of service. If the removal is under way and d says Force, it continues with
// Force.
func (r *Remover) removeInstallation(ctx context.Context, ref tenant.Ref, d Disconnection) (warning string, err error) {
	const under = "the installation is out of service; it, and what stands under it, is being revoked and removed in the background: see connections/"
	if _, err := r.Store.Tenants.Removal(ctx, ref); err == nil && d.Force {
		return under + ref.String(), r.forceRemoval(ctx, ref)
	}
	c, err := admission.Credential(ctx, r.Store, ref)
	switch {
	case errors.Is(err, store.ErrCorrupt) && d.Force:
		r.unrevoked(ref, err)
		warning, c.Status = warnCorrupt, store.Revoked // there is no token to revoke
	case err != nil:
		return "", err
	}
	shared, err := r.shared(ctx, ref, c)
	if err != nil {
		return "", err
	}
	removal := store.Removal{ID: store.NewID(), StartedAt: r.Now().UTC(), Revoke: d.Revoke, Force: d.Force}
	if !shared {
		failed, err := r.revoke(ctx, ref, c, d)
		if err != nil {
			return "", err
		}
		warning, removal.RevokedBirth = join(warning, failed), c.Birth
	}
	last, ended, err := r.beginRemoval(ctx, ref, removal)
	if err != nil {
		return "", err
	}
	if !shared {
		r.publishIrrevocable(ref, c, d)
	}
	if warning = join(warning, last); !ended {
		warning = join(warning, under+ref.String())
	}
	return warning, nil
}

// beginRemoval takes the installation, and everything under it, out of service with one
// write. The worker does the rest. If nothing is under it, the removal ends at once, and
// ended is true.
func (r *Remover) beginRemoval(ctx context.Context, ref tenant.Ref, removal store.Removal) (warning string, ended bool, err error) {
	err = r.Store.Removals.Update(ctx, ref, func(old *store.Removal) (store.Removal, time.Time, error) {
		if old != nil {
			return store.Removal{}, time.Time{}, admission.NoCredential(ref) // another request came first
		}
		return removal, r.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = admission.NoCredential(ref) // its tenant is being deleted, or is gone
	}
	if err != nil {
		return "", false, err
	}
	// From here on the removal is stored, and an error only leaves the rest to the worker.
	if bare, err := r.Store.Credentials.Bare(ctx, ref); bare && err == nil {
		if end, err := r.removeLast(ctx, ref, removal); err == nil && end.ended {
			return end.warning, true, nil
		}
	}
	return "", false, nil
}

// forceRemoval lets a removal delete what it cannot revoke, and continues it at once.
func (r *Remover) forceRemoval(ctx context.Context, ref tenant.Ref) error {
	err := r.Store.Removals.Update(ctx, ref, func(old *store.Removal) (store.Removal, time.Time, error) {
		if old == nil {
			return store.Removal{}, time.Time{}, admission.NoCredential(ref)
		}
		removal := *old
		removal.Force = true
		return removal, r.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = admission.NoCredential(ref)
	}
	return err
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
