package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// lives counts how often each tenant's end has begun. The zero value is ready.
type lives struct {
	mu    sync.Mutex
	ended map[tenant.ID]int
}

// Life tells the lives of a tenant apart: it is another once the tenant is being
// deleted. Whoever obtains something from afar, to store it for a tenant, asks
// before and after: the tenant may have been deleted meanwhile, and have begun
// anew. The count is this process's, as is all that is under way.
func (s *Store) Life(id tenant.ID) int {
	s.lives.mu.Lock()
	defer s.lives.mu.Unlock()
	return s.lives.ended[id]
}

func (s *Store) endLife(id tenant.ID) {
	s.lives.mu.Lock()
	defer s.lives.mu.Unlock()
	if s.lives.ended == nil {
		s.lives.ended = map[tenant.ID]int{}
	}
	s.lives.ended[id]++
}

// deleting returns an error that wraps [ErrDeleting] if the tenant that read
// returns is being deleted.
func (s *Store) deleting(ctx context.Context, read func(context.Context, tenant.ID) (Tenant, error), id tenant.ID) error {
	t, err := read(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case t.Deletion != nil:
		return &oauth.Error{
			Code: oauth.NotFound, Err: ErrDeleting,
			Message: fmt.Sprintf("tenant %s is being deleted; watch tenants/%s, and begin anew when it is gone", id, id),
		}
	}
	return nil
}

// Deleting returns an error that wraps [ErrDeleting] if the tenant is being
// deleted.
func (s *Store) Deleting(ctx context.Context, id tenant.ID) error {
	return s.deleting(ctx, s.Tenant, id)
}

// TenantNotFound returns the error of an id that names no tenant, or one that is being
// deleted.
func (s *Store) TenantNotFound(ctx context.Context, id tenant.ID) error {
	if err := s.Deleting(ctx, id); err != nil {
		return err
	}
	return NoTenant(id)
}

// NoTenant is the error of an id that names no tenant.
func NoTenant(id tenant.ID) error {
	return oauth.Errorf(oauth.NotFound, "there is no tenant %s; a tenant exists from its first credential", id)
}

// Gone reports whether err says that a credential is not there any more, or is being
// deleted.
func Gone(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrRemoving) || errors.Is(err, ErrDeleting)
}

// notDeleting returns err, or nil if it says that a tenant is being deleted.
func notDeleting(err error) error {
	if errors.Is(err, ErrDeleting) {
		return nil
	}
	return err
}

// shredded reports whether the tenant's keys were destroyed before its records.
func (s *Store) shredded(ctx context.Context, id tenant.ID) (bool, error) {
	t, err := s.Tenant(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return t.Deletion != nil && t.Deletion.Force, err
}

// standingTenant is storedTenant for work that a tenant's deletion ends:
// ErrNotFound is returned if that has begun.
func (s *Store) standingTenant(ctx context.Context, id tenant.ID) (Tenant, error) {
	t, err := s.storedTenant(ctx, id)
	if err == nil && t.Deletion != nil {
		return Tenant{}, ErrNotFound
	}
	return t, err
}

// Deletion returns the tenant's deletion, or ErrNotFound.
func (s *Store) Deletion(ctx context.Context, id tenant.ID) (Removal, error) {
	t, err := s.Tenant(ctx, id)
	if err == nil && t.Deletion == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Removal{}, err
	}
	return *t.Deletion, nil
}

// Shred destroys the tenant's keys, if its deletion is said to do so first.
func (s *Store) Shred(ctx context.Context, id tenant.ID) error {
	defer s.tenants.lock(string(id))()
	t, err := s.storedTenant(ctx, id)
	if err != nil || t.Deletion == nil || !t.Deletion.Force {
		return err
	}
	return s.destroyKeyring(ctx, id)
}

// UpdateDeletion stores what change makes of the tenant's deletion and when the
// worker shall next go about it. old is nil if there is none. An error of
// change is returned, and nothing is stored. ErrNotFound is returned if there
// is no such tenant; sessions that were begun for it are then void.
//
// From then on nothing is sealed for the tenant, and what other work there was
// at it has ended. With Force its keys are destroyed as well: should that
// fail, the deletion stands, and the worker destroys them.
func (s *Store) UpdateDeletion(ctx context.Context, id tenant.ID, change func(old *Removal) (Removal, time.Time, error)) error {
	defer s.tenants.lock(string(id))()
	defer s.records.lock(tenantKey(id))()
	t, err := s.storedTenant(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return cmp.Or(s.endSessions(ctx, id), err)
	}
	if err != nil {
		return err
	}
	deletion, at, err := change(t.Deletion)
	if err != nil {
		return err
	}
	due, err := s.schedule(ctx, at, time.Time{}, DueDeletion, string(id))
	if err != nil {
		return err
	}
	deletion.Due = due.key()
	outdated := t.dues()
	if t.Deletion == nil {
		s.endLife(id) // even if the write fails: it may yet be carried out
	}
	t.KeyVersionAtDeletion = t.KeyVersion()
	t.Deletion, t.Removals, t.Walks, t.NextRotation = &deletion, nil, nil, PlannedRotation{}
	if err := s.putTenant(ctx, id, t); err != nil {
		return err
	}
	for _, key := range outdated {
		if key != deletion.Due {
			_ = s.storage.Delete(ctx, key) // a hint, as in UpdateCredential
		}
	}
	if deletion.Force {
		return s.destroyKeyring(ctx, id)
	}
	return nil
}

// endSessions makes void what was begun for a tenant that there is not, and
// would make it. It is called with the tenant locked.
func (s *Store) endSessions(ctx context.Context, id tenant.ID) error {
	for _, err := range s.Refs(ctx, id, "") {
		return err // its record was lost: what it has is not thrown away unseen
	}
	s.endLife(id)
	return s.destroyKeyring(ctx, id)
}

// dues returns the keys of the entries in the due index that the tenant's
// record names.
func (t Tenant) dues() (keys []string) {
	for _, removal := range t.Removals {
		keys = append(keys, removal.Due)
	}
	for _, walk := range t.Walks {
		if walk.Due != "" {
			keys = append(keys, walk.Due)
		}
	}
	if t.Deletion != nil {
		keys = append(keys, t.Deletion.Due)
	}
	if t.NextRotation.Due != "" {
		keys = append(keys, t.NextRotation.Due)
	}
	return keys
}

// destroyKeyring deletes the tenant's keyring, if it is there: no record of the
// tenant opens any more. What is remembered of them is forgotten with it. It is
// called with the tenant locked.
func (s *Store) destroyKeyring(ctx context.Context, id tenant.ID) error {
	key := tenantKeyringKey(id)
	b, err := s.get(ctx, key)
	if err == nil && b != nil {
		err = s.storage.Delete(ctx, key)
	}
	if err != nil {
		return err
	}
	return s.forgetNewTenant(ctx, id)
}

// EndDeletion destroys the tenant's keys and forgets it, if its deletion is
// still the one called deletion and no record of it is left. It reports whether
// it did. The keys go first: what is left after a crash is taken up again.
func (s *Store) EndDeletion(ctx context.Context, id tenant.ID, deletion string) (bool, error) {
	if err := s.dropStatuses(ctx, id); err != nil {
		return false, err
	}
	defer s.tenants.lock(string(id))()
	defer s.records.lock(tenantKey(id))()
	t, err := s.storedTenant(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && (t.Deletion == nil || t.Deletion.ID != deletion) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, err := range s.Refs(ctx, id, "") {
		return false, err
	}
	if err := s.ForgetEvents(ctx, string(id)); err != nil {
		return false, err
	}
	if err := s.destroyKeyring(ctx, id); err != nil {
		return false, err
	}
	if err := s.storage.Delete(ctx, tenantKey(id)); err != nil {
		return false, err
	}
	_ = s.storage.Delete(ctx, t.Deletion.Due) // a hint, as in UpdateCredential
	s.Note(Event{At: s.now().UTC(), Type: TenantDeleted, Ref: string(id)})
	return true, nil
}

// dropStatuses deletes what the status index says of credentials that the
// tenant has not. Who could not be opened took no hint along.
func (s *Store) dropStatuses(ctx context.Context, id tenant.ID) error {
	for _, status := range NotActive {
		refs, err := s.InStatus(ctx, status)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if ref.Tenant != id {
				continue
			}
			if err := s.DropStatus(ctx, ref, status); err != nil {
				return err
			}
		}
	}
	return nil
}
