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

// Suspend stops serving and connecting the tenant's credentials, or resumes it. They are
// refreshed meanwhile, so that they work when the tenant is resumed.
func (r *Remover) Suspend(ctx context.Context, id tenant.ID, suspended bool) error {
	err := r.Store.Tenants.Suspend(ctx, id, suspended)
	if errors.Is(err, store.ErrNotFound) {
		return admission.TenantNotFound(ctx, r.Store, id)
	}
	return err
}

// DeleteTenant takes the tenant out of service and begins its removal: the worker revokes
// and deletes all its credentials, then its keys, then its record. While that is under way,
// another call can end the revoking or add d's Force. Force purges the keys at once: the
// records that they have sealed can be neither opened nor revoked, and are deleted.
func (r *Remover) DeleteTenant(ctx context.Context, id tenant.ID, d Disconnection) (warning string, err error) {
	// A cancelled request must not prevent the keys from being purged.
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
		return "the tenant's keys are purged: its grants can only be revoked by the people who gave them; its records are removed in the background: see tenants/" + string(id), nil
	}
	return "the tenant is out of service; all that it has is being revoked and removed in the background, its keys last: see tenants/" + string(id), nil
}

// RemoveTenant is the due work at a tenant's deletion. A credential that cannot be revoked
// is tried again without end.
func (r *Remover) RemoveTenant(ctx context.Context, entry due.Entry) error {
	if dropped, err := r.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return err
	}
	id, err := tenant.ParseID(entry.ID)
	if err != nil {
		return err
	}
	deletion, err := r.Store.Tenants.Deletion(ctx, id)
	if err == nil && deletion.Force {
		err = r.Store.Removals.PurgeKeys(ctx, id) // the request may have been interrupted
	}
	if err != nil {
		return ignoreGone(err)
	}
	ctx = store.WithoutCaching(ctx)
	finished, err := r.removeAll(ctx, &deletion, r.Store.Credentials.Refs(ctx, id, deletion.After))
	if errors.Is(err, provider.ErrCircuitOpen) {
		return ignoreGone(r.Store.Removals.UpdateDeletion(ctx, id, r.wait(deletion, err)))
	}
	if err != nil {
		return err
	}
	done := finished && deletion.UnrevokedCount == 0
	if done && deletion.Force { // records that did not open have left stale index entries
		begun := r.Now()
		more := func() bool { return ctx.Err() == nil && r.Now().Sub(begun) <= sliceTime }
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
	return ignoreGone(r.Store.Removals.UpdateDeletion(ctx, id, r.next(deletion, finished)))
}

// ignoreGone returns err, or nil if it says that the tenant or the removal is gone.
func ignoreGone(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, errSuperseded) {
		return nil
	}
	return err
}
