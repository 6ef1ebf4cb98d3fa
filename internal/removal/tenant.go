package removal

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Suspend has nothing of the tenant be served or connected any more, or lifts
// that. Its grants are kept alive all the while, so that it is whole then.
func (r *Remover) Suspend(ctx context.Context, id tenant.ID, suspended bool) error {
	err := r.Store.Tenants.Suspend(ctx, id, suspended)
	if errors.Is(err, store.ErrNotFound) {
		return admission.TenantNotFound(ctx, r.Store, id)
	}
	return err
}

// DeleteTenant takes the tenant out of service for good and has the worker
// revoke and remove all that it has, then its keys, then itself. Said again, it
// adds what is said: that what is left need not be revoked, or d's Force, which
// destroys the keys at once: what they have sealed can then be neither opened
// nor revoked, and is forgotten.
func (r *Remover) DeleteTenant(ctx context.Context, id tenant.ID, d Disconnection) (warning string, err error) {
	// A caller who goes away must not keep keys from being destroyed.
	ctx = context.WithoutCancel(ctx)
	err = r.Store.Removals.UpdateDeletion(ctx, id, func(old *store.Removal) (store.Removal, time.Time, error) {
		deletion := store.Removal{ID: store.NewID(), StartedAt: r.Now().UTC(), Revoke: d.Revoke, Force: d.Force}
		if old != nil {
			deletion = *old
			deletion.Revoke, deletion.Force, deletion.After = old.Revoke && d.Revoke, old.Force || d.Force, ""
		}
		return deletion, r.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", admission.NoTenant(id)
	}
	if err != nil {
		return "", err
	}
	r.Log.Info("deleting", "tenant", id, "revoke", d.Revoke, "force", d.Force)
	if d.Force {
		return "the tenant's keys are destroyed: no grant of it can be revoked any more by anybody but the people who gave them; its records are removed in the background: see tenants/" + string(id), nil
	}
	return "the tenant is out of service; all that it has is being revoked and removed in the background, its keys at last: see tenants/" + string(id), nil
}

// Delete is the background work at a tenant's deletion. What cannot be revoked
// is tried again, for as long as it takes.
func (r *Remover) Delete(ctx context.Context, entry due.Entry) error {
	if dropped, err := r.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return err
	}
	id, err := tenant.ParseID(entry.ID)
	if err != nil {
		return err
	}
	deletion, err := r.Store.Tenants.Deletion(ctx, id)
	if err == nil && deletion.Force {
		err = r.Store.Removals.PurgeKeys(ctx, id) // the request may have been cut short
	}
	if err != nil {
		return quietly(err)
	}
	ctx = store.WithoutCaching(ctx)
	through, err := r.removeAll(ctx, &deletion, r.Store.Credentials.Refs(ctx, id, deletion.After))
	if errors.Is(err, provider.ErrCircuitOpen) {
		return quietly(r.Store.Removals.UpdateDeletion(ctx, id, r.wait(deletion, err)))
	}
	if err != nil {
		return err
	}
	done := through && deletion.UnrevokedCount == 0
	if done && deletion.Force { // what did not open has left its index entries
		begun := r.Now()
		more := func() bool { return ctx.Err() == nil && r.Now().Sub(begun) <= removalSlice }
		if deletion.EntriesAfter, done, err = r.Store.Removals.DeleteEntries(ctx, id, deletion.EntriesAfter, more); err != nil {
			return err
		}
	}
	if done {
		switch ended, err := r.Store.Removals.EndDeletion(ctx, id, deletion.ID); {
		case err != nil:
			return err
		case ended:
			r.Log.Info("deleted", "tenant", id, "credentials", deletion.Removed)
			return nil
		}
	}
	return quietly(r.Store.Removals.UpdateDeletion(ctx, id, r.next(deletion, through)))
}

// quietly passes over the errors of work whose tenant, or whose reason, is
// gone.
func quietly(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, errSuperseded) {
		return nil
	}
	return err
}
