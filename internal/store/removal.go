package store

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Removals records what is being removed in the background, installations and tenants,
// and deletes what is left of them at the end.
type Removals struct {
	*records
	keyrings    *keyrings
	tenants     *Tenants
	credentials *Credentials
}

// Update stores what change returns for the removal of ref's installation, and
// when the worker shall next continue it; zero: at once. old is nil if there is none.
// Nothing is sealed meanwhile: what is stored before is seen by the worker,
// and what comes after is refused. An error of change is returned, and nothing
// is stored.
func (r *Removals) Update(ctx context.Context, ref tenant.Ref, change func(old *Removal) (Removal, time.Time, error)) error {
	defer r.tenantLocks.lock(string(ref.Tenant))()
	defer r.locks.lock(tenantKey(ref.Tenant))()
	t, err := r.tenants.standing(ctx, ref.Tenant)
	if err != nil {
		return err
	}
	old, former := t.removal(ref), ""
	if old != nil {
		former = old.Due
	}
	removal, at, err := change(old)
	if err != nil {
		return err
	}
	return r.putWithDue(ctx, work{DueRemoval, ref.Installation().Flat(), cmp.Or(at, r.now()), former}, func(due string) error {
		removal.Due = due
		t.Removals = withEntry(t.Removals, ref.Provider, removal)
		return r.tenants.put(ctx, ref.Tenant, t)
	})
}

// End deletes the installation and ends its removal, if that still has the id
// and nothing stands under the installation any more. It
// reports whether it did. allow is called with the installation's credential
// first, if there still is one; its error is returned.
func (r *Removals) End(ctx context.Context, ref tenant.Ref, id string, allow func(Credential) error) (bool, error) {
	ref = ref.Installation()
	defer r.tenantLocks.lock(string(ref.Tenant))()
	defer r.locks.lock(tenantKey(ref.Tenant))()
	t, err := r.tenants.stored(ctx, ref.Tenant)
	if err != nil {
		return false, err
	}
	removal := t.removal(ref)
	if removal == nil || removal.ID != id {
		return false, nil
	}
	if bare, err := r.credentials.Bare(ctx, ref); !bare {
		return false, err
	}
	switch c, err := r.credentials.stored(ctx, ref); {
	case err == nil:
		if err := allow(c); err != nil {
			return false, err
		}
		if err := r.credentials.delete(ctx, ref, c); err != nil {
			return false, err
		}
	case errors.Is(err, ErrCorrupt) && removal.Force:
		if err := r.credentials.deleteRecord(ctx, ref); err != nil {
			return false, err
		}
	case !errors.Is(err, ErrNotFound):
		return false, err
	}
	t.Removals = maps.Clone(t.Removals)
	delete(t.Removals, ref.Provider)
	err = r.putWithDue(ctx, work{previous: removal.Due}, func(string) error { return r.tenants.put(ctx, ref.Tenant, t) })
	return err == nil, err
}

// PurgeKeys destroys the tenant's keys, if its deletion says that they go first.
func (r *Removals) PurgeKeys(ctx context.Context, id tenant.ID) error {
	defer r.tenantLocks.lock(string(id))()
	t, err := r.tenants.stored(ctx, id)
	if err != nil || t.Deletion == nil || !t.Deletion.Force {
		return err
	}
	return r.tenants.purge(ctx, id)
}

// UpdateDeletion stores what change returns for the tenant's deletion, and when the
// worker shall next continue it; zero: at once. old is nil if there is none. An error of
// change is returned, and nothing is stored. ErrNotFound is returned if there
// is no such tenant; sessions that were begun for it are then void.
//
// From then on nothing is sealed for the tenant, and all other work at it has
// ended. With Force its keys are purged as well: should that fail, the deletion
// stands, and the worker purges them.
func (r *Removals) UpdateDeletion(ctx context.Context, id tenant.ID, change func(old *Removal) (Removal, time.Time, error)) error {
	defer r.tenantLocks.lock(string(id))()
	defer r.locks.lock(tenantKey(id))()
	t, err := r.tenants.stored(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return cmp.Or(r.endSessions(ctx, id), err)
	}
	if err != nil {
		return err
	}
	deletion, at, err := change(t.Deletion)
	if err != nil {
		return err
	}
	former := t.dues()
	err = r.putWithDue(ctx, work{kind: DueDeletion, id: string(id), at: cmp.Or(at, r.now())}, func(due string) error {
		deletion.Due = due
		if t.Deletion == nil {
			r.tenants.countDeletion(id) // even if the write fails: it may yet be carried out
		}
		t.KeyVersionAtDeletion = t.KeyVersion()
		t.Deletion, t.Removals, t.Scans, t.NextRotation = &deletion, nil, nil, PlannedRotation{}
		return r.tenants.put(ctx, id, t)
	})
	if err != nil {
		return err
	}
	for _, key := range former {
		if key != deletion.Due {
			r.tryDelete(ctx, key)
		}
	}
	if deletion.Force {
		return r.tenants.purge(ctx, id)
	}
	return nil
}

// endSessions makes void what was begun for a tenant that does not exist, and
// would create it. It is called with the tenant locked.
func (r *Removals) endSessions(ctx context.Context, id tenant.ID) error {
	for _, err := range r.credentials.Refs(ctx, id, "") {
		return err // its record was lost: its credentials are not thrown away unseen
	}
	r.tenants.countDeletion(id)
	return r.tenants.purge(ctx, id)
}

// EndDeletion purges the tenant's keys and deletes its record, if its deletion still
// has the id deletion and no credential is left. It reports whether it did. The keys go
// first: what is left after a crash is taken up again.
func (r *Removals) EndDeletion(ctx context.Context, id tenant.ID, deletion string) (bool, error) {
	if err := r.deleteStatuses(ctx, id); err != nil {
		return false, err
	}
	defer r.tenantLocks.lock(string(id))()
	defer r.locks.lock(tenantKey(id))()
	t, err := r.tenants.stored(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && (t.Deletion == nil || t.Deletion.ID != deletion) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, err := range r.credentials.Refs(ctx, id, "") {
		return false, err
	}
	if err := r.ScheduleRedaction(ctx, string(id)); err != nil {
		return false, err
	}
	if err := r.tenants.purge(ctx, id); err != nil {
		return false, err
	}
	if err := r.storage.Delete(ctx, tenantKey(id)); err != nil {
		return false, err
	}
	r.tryDelete(ctx, t.Deletion.Due)
	r.events.Add(event.Event{At: r.now().UTC(), Type: event.TenantDeleted, Ref: string(id)})
	return true, nil
}

// deleteStatuses deletes the status index's entries for credentials that the tenant does
// not have: a record that could not be opened left its own behind.
func (r *Removals) deleteStatuses(ctx context.Context, id tenant.ID) error {
	for _, status := range NotActive {
		refs, err := r.credentials.InStatus(ctx, status)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if ref.Tenant != id {
				continue
			}
			if err := r.credentials.DeleteStaleStatus(ctx, ref, status); err != nil {
				return err
			}
		}
	}
	return nil
}
