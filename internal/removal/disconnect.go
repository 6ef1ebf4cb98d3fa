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

// A Disconnection says how to part with a credential.
type Disconnection struct {
	// Revoke tells the provider to end the grant.
	Revoke bool
	// Force forgets the credential even if the provider could not be told.
	Force bool
}

// warnShared is the warning of a disconnection that left the grant alone.
const warnShared = "the grant was not revoked at the provider, for another credential of this mount holds the same account"

// warnCorrupt is the warning of one that could not know the grant.
const warnCorrupt = "the record did not open, so the grant could not be revoked at the provider; it is forgotten"

// Disconnect revokes the grant at the provider and then forgets the
// credential. If the provider cannot be told, nothing is forgotten, unless d
// says Force. The grant of an account that another credential holds too is
// left alone. With an installation goes all that stands under it: see
// [Remover.Remove]. A static credential is only forgotten.
func (r *Remover) Disconnect(ctx context.Context, ref tenant.Ref, d Disconnection) (warning string, err error) {
	// A caller who goes away must not leave a grant revoked and its credential
	// in service.
	ctx = context.WithoutCancel(ctx)
	if ref.Kind() == tenant.Installation {
		return r.uninstall(ctx, ref, d)
	}
	c, err := admission.Credential(ctx, r.Store, ref)
	if errors.Is(err, store.ErrCorrupt) && d.Force {
		r.unrevoked(ref, err)
		return warnCorrupt, r.Store.Credentials.DeleteUnreadable(ctx, ref)
	}
	if err != nil {
		return "", err
	}
	return r.part(ctx, ref, c, d)
}

// part is Disconnect for a credential that nothing stands under.
func (r *Remover) part(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) (warning string, err error) {
	if ref.Kind() == tenant.Static {
		return "", r.forget(ctx, ref)
	}
	if ref.Kind() == tenant.Page {
		// It lives by the grant above it, and comes back with the next fetch.
		return "", r.Store.Credentials.DeletePage(ctx, ref.Above(), ref.Page)
	}
	if err := r.Store.Credentials.DeletePages(ctx, ref); err != nil {
		return "", err
	}
	for {
		warning, err = r.partOnce(ctx, ref, c, d)
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
	return warning, r.Store.Credentials.DeletePages(ctx, ref) // what was fetched meanwhile
}

// forget is part for a static credential, which no provider has granted.
func (r *Remover) forget(ctx context.Context, ref tenant.Ref) error {
	err := r.Store.Credentials.Delete(ctx, ref, func(store.Credential) error { return nil })
	if errors.Is(err, store.ErrNotFound) {
		return admission.NoCredential(ref)
	}
	return err
}

func (r *Remover) partOnce(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) (warning string, err error) {
	if forgotten, err := r.forgetShared(ctx, ref, c); forgotten || err != nil {
		if err == nil && d.Revoke {
			warning = warnShared
		}
		return warning, err
	}
	if warning, err = r.revoke(ctx, ref, c, d); err != nil {
		return "", err
	}
	return warning, r.Store.Credentials.Delete(ctx, ref, unchanged(c))
}

// unchanged allows what is to be done to a credential only while it is c.
func unchanged(c store.Credential) func(store.Credential) error {
	return func(now store.Credential) error {
		if now.Birth != c.Birth {
			return errSuperseded
		}
		return nil
	}
}

// forgetShared deletes the credential if another one holds its account, and
// reports whether it did. Of the holders of one account that part at the same
// time, each sees the others or is the last.
func (r *Remover) forgetShared(ctx context.Context, ref tenant.Ref, c store.Credential) (bool, error) {
	defer r.Store.Credentials.LockAccount(ref.Provider, c.Token.Account)()
	if shared, err := r.shared(ctx, ref, c); !shared || err != nil {
		return false, err
	}
	err := r.Store.Credentials.Delete(ctx, ref, unchanged(c))
	return err == nil, err
}

// shared reports whether another credential lives by what would be revoked: the
// account's grant, or this one token. One that was revoked does not.
func (r *Remover) shared(ctx context.Context, ref tenant.Ref, c store.Credential) (bool, error) {
	return r.sharedBeyond(ctx, ref, c, func(other tenant.Ref) bool { return other == ref })
}

// sharedBeyond is shared without the credentials that except names.
func (r *Remover) sharedBeyond(ctx context.Context, ref tenant.Ref, c store.Credential, except func(tenant.Ref) bool) (bool, error) {
	alone := r.Revoker.Alone(ref.Provider, c.Token)
	holders, err := r.Store.Credentials.Holders(ctx, ref.Provider, c.Token.Account)
	return slices.ContainsFunc(holders, func(other store.Holder) bool {
		return !except(other.Ref) && !other.Gone && (!alone || other.Holds(c.Token.AccessToken))
	}), err
}

// revoke tells the provider, if there is anything to tell. The warning says
// that Force went over an error.
func (r *Remover) revoke(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) (warning string, err error) {
	if !d.Revoke || c.Gone() {
		return "", nil
	}
	if !r.Writable() {
		return "", store.ErrReadOnly
	}
	if p, known := r.Providers[ref.Provider]; known {
		if _, ok := p.(provider.Revoker); !ok {
			return "", nil
		}
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
		return "", err // storage's
	case e.Class == provider.Transient && !errors.Is(e, provider.ErrCircuitOpen):
		// It may have been done, and only the answer been lost.
		if err := r.Revoker.CheckOthers(ctx, ref.Provider, tenant.Ref{}, c.Token.Account); err != nil {
			return "", err
		}
	}
	switch {
	case d.Force:
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

// recordOutlived notes on the credential that only its owner can end the grant:
// what has to be done there must not be in the log alone.
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

// unrevoked tells whom it may concern that ref is forgotten by force, and why
// its grant was not revoked.
func (r *Remover) unrevoked(ref tenant.Ref, why error) {
	r.Log.Warn("forgotten without revoking", "ref", ref.String(), "error", why)
	r.Store.Events.Add(event.Event{At: r.Now().UTC(), Type: event.ConnectionUnrevoked, Ref: ref.String(), Reason: why.Error()})
}

// revokeAll revokes what can be revoked of the credential.
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

// uninstall parts with an installation. Its own grant goes first: if that
// fails, nothing has changed. Then one write takes all of it out of service.
// Said again with Force, a removal forgets what it cannot revoke.
func (r *Remover) uninstall(ctx context.Context, ref tenant.Ref, d Disconnection) (warning string, err error) {
	const under = "the installation is out of service; it, and what stands under it, is being revoked and removed in the background: see connections/"
	if _, err := r.Store.Tenants.Removal(ctx, ref); err == nil && d.Force {
		return under + ref.String(), r.hasten(ctx, ref)
	}
	c, err := admission.Credential(ctx, r.Store, ref)
	switch {
	case errors.Is(err, store.ErrCorrupt) && d.Force:
		r.unrevoked(ref, err)
		warning, c.Status = warnCorrupt, store.Revoked // nothing to tell the provider
	case err != nil:
		return "", err
	}
	shared, err := r.shared(ctx, ref, c)
	if err != nil {
		return "", err
	}
	removal := store.Removal{ID: store.NewID(), StartedAt: r.Now().UTC(), Revoke: d.Revoke, Force: d.Force}
	if !shared {
		told, err := r.revoke(ctx, ref, c, d)
		if err != nil {
			return "", err
		}
		warning, removal.RevokedBirth = join(warning, told), c.Birth
	}
	told, ended, err := r.beginRemoval(ctx, ref, removal)
	if err != nil {
		return "", err
	}
	if warning = join(warning, told); !ended {
		warning = join(warning, under+ref.String())
	}
	return warning, nil
}

// beginRemoval takes the installation, and what stands under it, out of service
// with one write. The worker does the rest, but what is soon done is done now:
// ended says that it was.
func (r *Remover) beginRemoval(ctx context.Context, ref tenant.Ref, removal store.Removal) (warning string, ended bool, err error) {
	err = r.Store.Removals.Update(ctx, ref, func(old *store.Removal) (store.Removal, time.Time, error) {
		if old != nil {
			return store.Removal{}, time.Time{}, admission.NoCredential(ref) // another request was first
		}
		return removal, r.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = admission.NoCredential(ref) // its tenant is being deleted, or is gone
	}
	if err != nil {
		return "", false, err
	}
	// From here on the removal stands, whatever comes.
	if bare, err := r.Store.Credentials.Bare(ctx, ref); bare && err == nil {
		if end, err := r.removeLast(ctx, ref, removal); err == nil && end.ended {
			return end.warning, true, nil
		}
	}
	return "", false, nil
}

// hasten lets a removal forget what it cannot revoke, and takes it up at once.
func (r *Remover) hasten(ctx context.Context, ref tenant.Ref) error {
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
