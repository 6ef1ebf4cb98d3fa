package store

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Tenant is what is kept of a tenant beside its keyring and credentials. It
// exists from the tenant's first credential, holds no secret and is not
// sealed, for it must outlive the keyring.
type Tenant struct {
	Version   int       `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	// Removals are the installations that are being removed, by provider.
	Removals map[string]Removal `json:"removals,omitempty"`
}

// A Removal is the deletion of an installation and all under it. While it
// stands nothing under the installation is served, connected or refreshed.
type Removal struct {
	StartedAt time.Time `json:"started_at"`
	// Revoke says whether the provider is told.
	Revoke bool `json:"revoke"`
	// Revoked says that the installation's own grant has been taken away.
	Revoked bool `json:"revoked,omitempty"`
	// Attempts is how often the worker went through what is left.
	Attempts int `json:"attempts"`
	// Removed counts the credentials that are gone.
	Removed int `json:"removed"`
	// Unrevoked are the refs of those whose grants could not be taken away.
	Unrevoked []string `json:"unrevoked,omitempty"`
	// Due is the key of the removal's entry in the due index.
	Due string `json:"due"`
}

// Tenant returns what is kept of the tenant, or ErrNotFound.
func (s *Store) Tenant(ctx context.Context, id tenant.ID) (Tenant, error) {
	b, err := s.get(ctx, tenantKey(id))
	if err != nil {
		return Tenant{}, err
	}
	if b == nil {
		return Tenant{}, ErrNotFound
	}
	var t Tenant
	if err := json.Unmarshal(b, &t); err != nil {
		return Tenant{}, corrupt(tenantKey(id), err)
	}
	if t.Version != formatVersion {
		return Tenant{}, corrupt(tenantKey(id), errVersion)
	}
	return t, nil
}

func (s *Store) ensureTenant(ctx context.Context, id tenant.ID) error {
	defer s.records.lock(tenantKey(id))()
	if _, err := s.Tenant(ctx, id); !errors.Is(err, ErrNotFound) {
		return err
	}
	return s.putTenant(ctx, id, Tenant{Version: formatVersion, CreatedAt: s.now().UTC()})
}

func (s *Store) putTenant(ctx context.Context, id tenant.ID, t Tenant) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return s.put(ctx, tenantKey(id), b)
}

// removal returns the removal that ref falls under, or nil.
func (s *Store) removal(ctx context.Context, ref tenant.Ref) (*Removal, error) {
	t, err := s.Tenant(ctx, ref.Tenant)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r, ok := t.Removals[ref.Provider]; ok && ref.Kind() != tenant.Static {
		return &r, nil
	}
	return nil, nil
}

// Removal returns the removal that ref falls under, or ErrNotFound.
func (s *Store) Removal(ctx context.Context, ref tenant.Ref) (Removal, error) {
	switch r, err := s.removal(ctx, ref); {
	case err != nil:
		return Removal{}, err
	case r == nil:
		return Removal{}, ErrNotFound
	default:
		return *r, nil
	}
}

// Connected is like [Store.Credential], but a credential that is being removed
// is not found.
func (s *Store) Connected(ctx context.Context, ref tenant.Ref) (Credential, error) {
	removal, err := s.removal(ctx, ref)
	if err != nil {
		return Credential{}, err
	}
	if removal != nil {
		return Credential{}, ErrNotFound
	}
	return s.Credential(ctx, ref)
}

// UpdateRemoval stores what change makes of the removal of ref's installation
// and when the worker shall next go about it. old is nil if there is none.
// Nothing is sealed meanwhile: what is stored before is seen by the worker,
// and what comes after is refused. An error of change is returned, and nothing
// is stored.
func (s *Store) UpdateRemoval(ctx context.Context, ref tenant.Ref, change func(old *Removal) (Removal, time.Time, error)) error {
	defer s.tenants.lock(string(ref.Tenant))()
	defer s.records.lock(tenantKey(ref.Tenant))()
	t, err := s.Tenant(ctx, ref.Tenant)
	if err != nil {
		return err
	}
	var old *Removal
	if r, ok := t.Removals[ref.Provider]; ok {
		old = &r
	}
	removal, at, err := change(old)
	if err != nil {
		return err
	}
	due, err := s.schedule(ctx, at, time.Time{}, DueRemoval, ref.Installation().Flat())
	if err != nil {
		return err
	}
	removal.Due = due.key()
	t.Removals = maps.Clone(t.Removals)
	if t.Removals == nil {
		t.Removals = map[string]Removal{}
	}
	t.Removals[ref.Provider] = removal
	if err := s.putTenant(ctx, ref.Tenant, t); err != nil || old == nil || old.Due == removal.Due {
		return err
	}
	return s.storage.Delete(ctx, old.Due)
}

// EndRemoval forgets the removal of ref's installation.
func (s *Store) EndRemoval(ctx context.Context, ref tenant.Ref) error {
	defer s.records.lock(tenantKey(ref.Tenant))()
	t, err := s.Tenant(ctx, ref.Tenant)
	if err != nil {
		return err
	}
	removal, ok := t.Removals[ref.Provider]
	if !ok {
		return nil
	}
	t.Removals = maps.Clone(t.Removals)
	delete(t.Removals, ref.Provider)
	if err := s.putTenant(ctx, ref.Tenant, t); err != nil {
		return err
	}
	return s.storage.Delete(ctx, removal.Due)
}
