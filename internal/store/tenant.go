package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/cache"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Tenant is what is stored of a tenant beside its keyring and credentials. It
// exists from the tenant's first credential, holds no secret and is not
// sealed, for it must outlive the keyring. What it points to is shared, as with
// a [Credential].
type Tenant struct {
	Version   int       `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	// Removals are the installations that are being removed, by provider.
	Removals map[string]Removal `json:"removals,omitempty"`
	// Scans are the background work at all of the tenant's records, by kind: the
	// last one of each.
	Scans map[string]Scan `json:"walks,omitempty"`
	// NextRotation is when the worker will rotate the tenant's key. The zero value: it
	// will not.
	NextRotation PlannedRotation `json:"next_rotation,omitzero"`
	// SuspendedAt is since when nothing of the tenant is served or connected.
	// Zero: the tenant is not suspended.
	SuspendedAt time.Time `json:"suspended_at,omitzero"`
	// Deletion is the removal of everything that the tenant has, and of the tenant
	// itself. Nil: it is not being deleted.
	Deletion *Removal `json:"deletion,omitempty"`
	// KeyVersionAtDeletion is what [Tenant.KeyVersion] was when the deletion ended all
	// rotations. Zero: there is none, or an older version wrote the record.
	KeyVersionAtDeletion int `json:"key_version_at_deletion,omitempty"`
}

// A Removal is the deletion of an installation and everything under it, or of a
// tenant. While it stands nothing under it is served, connected or refreshed.
type Removal struct {
	// ID is random: an installation may be removed, connected and removed again.
	ID        string    `json:"id"`
	StartedAt time.Time `json:"started_at"`
	// Revoke says whether the grants are revoked at the provider. Force says that
	// credentials are deleted even if that fails: of a tenant, that its keys are purged
	// first.
	Revoke bool `json:"revoke"`
	Force  bool `json:"force,omitempty"`
	// RevokedBirth is the birth of the installation whose own grant has been
	// revoked. Empty: it has not been, or need not be.
	RevokedBirth string `json:"revoked_birth,omitempty"`
	// Attempts is how often the worker went through what is left. After is the
	// last ref that it came to this time, "" before the first.
	Attempts int    `json:"attempts"`
	After    string `json:"after,omitempty"`
	// EntriesAfter is the last directory that [Removals.DeleteEntries] was in, at the
	// end of a tenant's deletion.
	EntriesAfter string `json:"hints_after,omitempty"`
	// Removed counts the deleted credentials.
	Removed int `json:"removed"`
	// Unrevoked are refs of the credentials whose grants could not be revoked at the
	// last attempt, or could not so far at this one, the first hundred; UnrevokedCount
	// is how many there are.
	Unrevoked      []string `json:"unrevoked,omitempty"`
	UnrevokedCount int      `json:"unrevoked_count,omitempty"`
	// Due is the key of the removal's entry in the due index.
	Due string `json:"due"`
}

// removal returns the removal of ref's installation, or nil.
func (t Tenant) removal(ref tenant.Ref) *Removal {
	if r, ok := t.Removals[ref.Provider]; ok {
		return &r
	}
	return nil
}

// dues returns the keys of the entries in the due index that the record names.
func (t Tenant) dues() (keys []string) {
	for _, removal := range t.Removals {
		keys = append(keys, removal.Due)
	}
	for _, scan := range t.Scans {
		keys = append(keys, scan.Due)
	}
	if t.Deletion != nil {
		keys = append(keys, t.Deletion.Due)
	}
	keys = append(keys, t.NextRotation.Due)
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" })
}

// Tenants reads and writes the tenants' own records.
type Tenants struct {
	*records
	keyrings *keyrings
	mount    *Mount
	cached   *cache.Records[Tenant]

	mu sync.Mutex // guards deletions
	// deletions counts how often each tenant's deletion has begun in this process.
	deletions map[tenant.ID]int
}

func newTenants(r *records, k *keyrings, m *Mount) *Tenants {
	return &Tenants{
		records: r, keyrings: k, mount: m, cached: cache.NewRecords[Tenant](r.storage, "tenant", tenantsCached, false),
		deletions: map[tenant.ID]int{},
	}
}

// A tenantReader is [Tenants.Read], or its stored.
type tenantReader func(context.Context, tenant.ID) (Tenant, error)

// Read returns what is stored of the tenant, or ErrNotFound.
func (t *Tenants) Read(ctx context.Context, id tenant.ID) (Tenant, error) {
	if record, ok := t.cached.Cached(tenantKey(id)); ok {
		return record, nil
	}
	return t.stored(ctx, id)
}

// stored is Read for a read that decides a write: it bypasses the cache.
func (t *Tenants) stored(ctx context.Context, id tenant.ID) (Tenant, error) {
	return t.cached.Load(ctx, tenantKey(id), tenantOpener(id))
}

// standing is stored for work that a tenant's deletion ends: ErrNotFound is returned
// if that has begun.
func (t *Tenants) standing(ctx context.Context, id tenant.ID) (Tenant, error) {
	record, err := t.stored(ctx, id)
	if err == nil && record.Deletion != nil {
		return Tenant{}, ErrNotFound
	}
	return record, err
}

var errRotation = errors.New("its rotation does not say of which key")

func tenantOpener(id tenant.ID) func([]byte) (Tenant, error) {
	return func(b []byte) (t Tenant, err error) {
		if b == nil {
			return Tenant{}, ErrNotFound
		}
		if err := json.Unmarshal(b, &t); err != nil {
			return Tenant{}, corrupt(tenantKey(id), err)
		}
		if t.Version != formatVersion {
			return Tenant{}, corrupt(tenantKey(id), errVersion)
		}
		if scan, ok := t.Scans[DueRotation]; ok && scan.Rotation == nil {
			return Tenant{}, corrupt(tenantKey(id), errRotation)
		}
		return t, nil
	}
}

func (t *Tenants) put(ctx context.Context, id tenant.ID, record Tenant) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return t.cached.Save(ctx, &logical.StorageEntry{Key: tenantKey(id), Value: b}, tenantOpener(id))
}

// List returns the ids of all tenants, each with a slash after it, sorted by bytes.
func (t *Tenants) List(ctx context.Context) ([]string, error) {
	names, err := t.storage.List(ctx, tenantPrefix)
	if err != nil {
		return nil, err
	}
	names = slices.Clone(names)
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], "/") + "/"
	}
	slices.Sort(names)
	return names, nil
}

// sealing keeps the tenant's keyring as it is until unlock is called. What was
// sealed is put in between. Nothing is sealed any more for a tenant that is being
// deleted: the error wraps [ErrDeleting].
func (t *Tenants) sealing(ctx context.Context, id tenant.ID) (unlock func(), err error) {
	unlock = t.tenantLocks.rlock(string(id))
	if err := deleting(ctx, t.stored, id); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// ensure creates the tenant if there is none, and its keyring. It is called while
// sealing.
func (t *Tenants) ensure(ctx context.Context, id tenant.ID) error {
	if _, err := t.keyrings.of(ctx, id); errors.Is(err, ErrNotFound) {
		// Should the process end before the record is stored, no session ends the keyring.
		if err := t.keepNew(ctx, id, t.now().Add(SessionKept)); err != nil {
			return err
		}
	}
	if err := t.keyrings.ensure(ctx, id); err != nil {
		return err
	}
	defer t.locks.lock(tenantKey(id))()
	if _, err := t.stored(ctx, id); !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := t.create(ctx, id, Tenant{Version: formatVersion, CreatedAt: t.now().UTC()}); err != nil {
		return err
	}
	_ = t.deleteNew(ctx, id) // EndNewTenant does it too
	return nil
}

// create stores the new tenant's record. The settings may be changed until it is
// stored, and the work that plans rotations anew have passed the tenant by: then its own
// is planned again.
func (t *Tenants) create(ctx context.Context, id tenant.ID, record Tenant) error {
	for {
		settings, err := t.mount.Settings(ctx)
		if err != nil {
			return err
		}
		if record.NextRotation, err = t.scheduleRotation(ctx, id, record, settings.KeyRotationPeriod); err != nil {
			return err
		}
		if err := t.put(ctx, id, record); err != nil {
			return err
		}
		if now, err := t.mount.Settings(ctx); err != nil || now.KeyRotationPeriod == settings.KeyRotationPeriod {
			return err
		}
	}
}

// DeletionCount returns how often the tenant's deletion has begun in this process. A
// caller that waits for a provider's answer, to store it for a tenant, compares the
// counts of before and after: the tenant may have been deleted meanwhile, and have been
// created again.
func (t *Tenants) DeletionCount(id tenant.ID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.deletions[id]
}

func (t *Tenants) countDeletion(id tenant.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deletions[id]++
}

// deleting returns an error that wraps [ErrDeleting] if the tenant that read
// returns is being deleted.
func deleting(ctx context.Context, read tenantReader, id tenant.ID) error {
	t, err := read(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case t.Deletion != nil:
		return &oauth.Error{
			Code: oauth.NotFound, Err: ErrDeleting,
			Message: fmt.Sprintf("tenant %s is being deleted; watch tenants/%s, and connect again when the deletion is over", id, id),
		}
	}
	return nil
}

// Deleting returns an error that wraps [ErrDeleting] if the tenant is being
// deleted.
func (t *Tenants) Deleting(ctx context.Context, id tenant.ID) error {
	return deleting(ctx, t.Read, id)
}

// Deletion returns the tenant's deletion, or ErrNotFound.
func (t *Tenants) Deletion(ctx context.Context, id tenant.ID) (Removal, error) {
	record, err := t.Read(ctx, id)
	if err == nil && record.Deletion == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Removal{}, err
	}
	return *record.Deletion, nil
}

// purged reports whether the tenant's keys were purged before its records.
func (t *Tenants) purged(ctx context.Context, id tenant.ID) (bool, error) {
	record, err := t.Read(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return record.Deletion != nil && record.Deletion.Force, err
}

// removalOf returns the removal that ref falls under, of the tenant that read returns,
// or nil.
func removalOf(ctx context.Context, read tenantReader, ref tenant.Ref) (*Removal, error) {
	if ref.Kind() == tenant.Static {
		return nil, nil
	}
	t, err := read(ctx, ref.Tenant)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return t.removal(ref), err
}

// Removal returns the removal that ref falls under, or ErrNotFound.
func (t *Tenants) Removal(ctx context.Context, ref tenant.Ref) (Removal, error) {
	switch r, err := removalOf(ctx, t.Read, ref); {
	case err != nil:
		return Removal{}, err
	case r == nil:
		return Removal{}, ErrNotFound
	default:
		return *r, nil
	}
}

// Suspend has nothing of the tenant be served or connected any more, or ends
// that. The grants stay, and are refreshed. ErrNotFound is returned if there is no
// such tenant, or if it is being deleted.
//
// Nothing is sealed meanwhile: a connection was stored before, or is refused.
func (t *Tenants) Suspend(ctx context.Context, id tenant.ID, suspended bool) error {
	defer t.tenantLocks.lock(string(id))()
	defer t.locks.lock(tenantKey(id))()
	record, err := t.standing(ctx, id)
	if err != nil || suspended == !record.SuspendedAt.IsZero() {
		return err
	}
	e := event.Event{At: t.now().UTC(), Type: event.TenantResumed, Ref: string(id)}
	record.SuspendedAt = time.Time{}
	if suspended {
		e.Type, record.SuspendedAt = event.TenantSuspended, e.At
	}
	if err := t.put(ctx, id, record); err != nil {
		return err
	}
	t.events.Add(e)
	return nil
}
