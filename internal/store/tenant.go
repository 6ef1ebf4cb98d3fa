package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Tenant is what is kept of a tenant beside its keyring and credentials. It
// exists from the tenant's first credential, holds no secret and is not
// sealed, for it must outlive the keyring. What it points to is shared, as with
// a [Credential].
type Tenant struct {
	Version   int       `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	// Removals are the installations that are being removed, by provider.
	Removals map[string]Removal `json:"removals,omitempty"`
	// Walks are the background work at all of the tenant's records, by kind: the
	// last one of each.
	Walks map[string]Walk `json:"walks,omitempty"`
	// NextRotation is when the tenant's key is rotated by itself. The zero value: it
	// is not.
	NextRotation PlannedRotation `json:"next_rotation,omitzero"`
	// SuspendedAt is since when nothing of the tenant is served or connected.
	// Zero: it is.
	SuspendedAt time.Time `json:"suspended_at,omitzero"`
	// Deletion is the removal of all that the tenant has, and of itself. Nil: it
	// stays.
	Deletion *Removal `json:"deletion,omitempty"`
	// KeyVersionAtDeletion is what [Tenant.KeyVersion] was when the deletion ended all
	// rotations. Zero: there is none, or a version wrote it that did not say.
	KeyVersionAtDeletion int `json:"key_version_at_deletion,omitempty"`
}

// A Removal is the deletion of an installation and all under it, or of a
// tenant. While it stands nothing under it is served, connected or refreshed.
type Removal struct {
	// ID is random: an installation may be removed, connected and removed again.
	ID        string    `json:"id"`
	StartedAt time.Time `json:"started_at"`
	// Revoke says whether the provider is told. Force says that what it cannot
	// be told is forgotten all the same: of a tenant, that its keys are destroyed
	// first.
	Revoke bool `json:"revoke"`
	Force  bool `json:"force,omitempty"`
	// RevokedBirth is the birth of the installation whose own grant has been
	// taken away. Empty: it has not, or need not be.
	RevokedBirth string `json:"revoked_birth,omitempty"`
	// Attempts is how often the worker went through what is left. After is the
	// last ref that it came to this time, "" before the first.
	Attempts int    `json:"attempts"`
	After    string `json:"after,omitempty"`
	// HintsAfter is the last directory that [Store.DropHints] was in, at the end of a
	// tenant's deletion.
	HintsAfter string `json:"hints_after,omitempty"`
	// Removed counts the credentials that are gone.
	Removed int `json:"removed"`
	// Unrevoked are refs of those whose grants could not be taken away at the
	// last attempt, or could not so far at this one, the first hundred; UnrevokedCount is how many there are.
	Unrevoked      []string `json:"unrevoked,omitempty"`
	UnrevokedCount int      `json:"unrevoked_count,omitempty"`
	// Due is the key of the removal's entry in the due index.
	Due string `json:"due"`
}

// Tenant returns what is kept of the tenant, or ErrNotFound.
func (s *Store) Tenant(ctx context.Context, id tenant.ID) (Tenant, error) {
	if t, ok := s.tenantRecords.recall(tenantKey(id)); ok {
		return t, nil
	}
	return s.storedTenant(ctx, id)
}

// storedTenant is Tenant for who decides a write by it.
func (s *Store) storedTenant(ctx context.Context, id tenant.ID) (Tenant, error) {
	return load(ctx, s, s.tenantRecords, tenantKey(id), tenantOpener(id))
}

var errRotation = errors.New("its rotation does not say of which key")

func tenantOpener(id tenant.ID) func([]byte) (Tenant, error) {
	return func(b []byte) (t Tenant, err error) {
		if err := json.Unmarshal(b, &t); err != nil {
			return Tenant{}, corrupt(tenantKey(id), err)
		}
		if t.Version != formatVersion {
			return Tenant{}, corrupt(tenantKey(id), errVersion)
		}
		if walk, ok := t.Walks[DueRotation]; ok && walk.Rotation == nil {
			return Tenant{}, corrupt(tenantKey(id), errRotation)
		}
		return t, nil
	}
}

// ensureTenant makes the tenant if there is none, and its keyring. It is called
// while sealing.
func (s *Store) ensureTenant(ctx context.Context, id tenant.ID) error {
	if _, err := s.keyring(ctx, id); errors.Is(err, ErrNotFound) {
		// Should the process die before the record is stored, no session ends the keyring.
		if err := s.keepNewTenant(ctx, id, s.now().Add(SessionKept)); err != nil {
			return err
		}
	}
	if err := s.ensureKeyring(ctx, id); err != nil {
		return err
	}
	defer s.records.lock(tenantKey(id))()
	if _, err := s.storedTenant(ctx, id); !errors.Is(err, ErrNotFound) {
		return err
	}
	t := Tenant{Version: formatVersion, CreatedAt: s.now().UTC()}
	if err := s.beginTenant(ctx, id, t); err != nil {
		return err
	}
	_ = s.forgetNewTenant(ctx, id) // EndNewTenant does it too
	return nil
}

// beginTenant stores the new tenant's record. The settings may be changed until it is
// stored, and the work that plans rotations anew have passed the tenant by: then its own
// is planned again.
func (s *Store) beginTenant(ctx context.Context, id tenant.ID, t Tenant) error {
	for {
		settings, err := s.Settings(ctx)
		if err != nil {
			return err
		}
		if t.NextRotation, err = s.scheduleRotation(ctx, id, t, settings.KeyRotationPeriod); err != nil {
			return err
		}
		if err := s.putTenant(ctx, id, t); err != nil {
			return err
		}
		if now, err := s.Settings(ctx); err != nil || now.KeyRotationPeriod == settings.KeyRotationPeriod {
			return err
		}
	}
}

func (s *Store) putTenant(ctx context.Context, id tenant.ID, t Tenant) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return save(ctx, s, s.tenantRecords, &logical.StorageEntry{Key: tenantKey(id), Value: b}, tenantOpener(id))
}

// removal returns the removal that ref falls under, or nil.
func (s *Store) removal(ctx context.Context, ref tenant.Ref) (*Removal, error) {
	return removalIn(ctx, s.Tenant, ref)
}

// removalIn is removal, of the tenant that read returns.
func removalIn(ctx context.Context, read func(context.Context, tenant.ID) (Tenant, error), ref tenant.Ref) (*Removal, error) {
	if ref.Kind() == tenant.Static {
		return nil, nil
	}
	t, err := read(ctx, ref.Tenant)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return t.removal(ref), err
}

// removal returns the removal of ref's installation, or nil.
func (t Tenant) removal(ref tenant.Ref) *Removal {
	if r, ok := t.Removals[ref.Provider]; ok {
		return &r
	}
	return nil
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

// Connected is like [Store.Credential], but a credential that is being removed,
// alone or with its tenant, is not found.
func (s *Store) Connected(ctx context.Context, ref tenant.Ref) (Credential, error) {
	if err := s.deleting(ctx, s.Tenant, ref.Tenant); err != nil {
		return Credential{}, cmp.Or(notDeleting(err), ErrNotFound)
	}
	removal, err := s.removal(ctx, ref)
	if err != nil {
		return Credential{}, err
	}
	if removal != nil {
		return Credential{}, ErrNotFound
	}
	return s.Credential(ctx, ref)
}

// Require is like Connected, but its error for a credential that is not found is for the
// caller of the API.
func (s *Store) Require(ctx context.Context, ref tenant.Ref) (Credential, error) {
	c, err := s.Connected(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		err = NoCredential(ref)
	}
	return c, err
}

// NoCredential is the error of a ref that names no credential.
func NoCredential(ref tenant.Ref) error {
	if ref.Kind() == tenant.Static {
		return oauth.Errorf(oauth.NotFound, "there is no credential %s; write it to creds/%s", ref, ref)
	}
	return oauth.Errorf(oauth.NotFound, "there is no credential %s; connect it with connect/%s", ref, ref.Above())
}

// Admit returns an error for the caller if ref cannot be connected as things
// stand: its tenant is suspended or being deleted, or its installation is being
// removed, or is required and missing.
func (s *Store) Admit(ctx context.Context, ref tenant.Ref, requireInstallation bool) error {
	if err := s.deleting(ctx, s.Tenant, ref.Tenant); err != nil {
		return err
	}
	if err := s.Serving(ctx, ref.Tenant); err != nil {
		return err
	}
	removal, err := s.removal(ctx, ref)
	if err != nil {
		return err
	}
	if removal != nil {
		return Removing(ref)
	}
	if ref.Kind() == tenant.Installation || !requireInstallation {
		return nil
	}
	_, err = s.Credential(ctx, ref.Installation())
	if errors.Is(err, ErrNotFound) {
		return oauth.Errorf(oauth.InstallationRequired, "%s has no installation; an admin installs first, with connect/%s", ref.Tenant, ref.Installation())
	}
	return err
}

// Removing is the error for who would connect under an installation that is
// being removed.
func Removing(ref tenant.Ref) error {
	return oauth.Errorf(oauth.Pending, "the installation of %s is still being removed; watch connections/%s and try again when it is gone", ref.Tenant, ref.Installation())
}

// UpdateRemoval stores what change makes of the removal of ref's installation
// and when the worker shall next go about it. old is nil if there is none.
// Nothing is sealed meanwhile: what is stored before is seen by the worker,
// and what comes after is refused. An error of change is returned, and nothing
// is stored.
func (s *Store) UpdateRemoval(ctx context.Context, ref tenant.Ref, change func(old *Removal) (Removal, time.Time, error)) error {
	defer s.tenants.lock(string(ref.Tenant))()
	defer s.records.lock(tenantKey(ref.Tenant))()
	t, err := s.standingTenant(ctx, ref.Tenant)
	if err != nil {
		return err
	}
	old := t.removal(ref)
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
	_ = s.storage.Delete(ctx, old.Due) // a hint, as in UpdateCredential
	return nil
}

// EndRemoval deletes the installation and ends its removal, if that is still
// the one called id and nothing stands under the installation any more. It
// reports whether it did. allow is asked about the installation's credential
// first, if there still is one; its error is returned.
func (s *Store) EndRemoval(ctx context.Context, ref tenant.Ref, id string, allow func(Credential) error) (bool, error) {
	ref = ref.Installation()
	defer s.tenants.lock(string(ref.Tenant))()
	defer s.records.lock(tenantKey(ref.Tenant))()
	t, err := s.storedTenant(ctx, ref.Tenant)
	if err != nil {
		return false, err
	}
	removal := t.removal(ref)
	if removal == nil || removal.ID != id {
		return false, nil
	}
	if bare, err := s.Bare(ctx, ref); !bare {
		return false, err
	}
	switch c, err := s.storedCredential(ctx, ref); {
	case err == nil:
		if err := allow(c); err != nil {
			return false, err
		}
		if err := s.deleteCredential(ctx, ref, c); err != nil {
			return false, err
		}
	case errors.Is(err, ErrCorrupt) && removal.Force:
		if err := s.discard(ctx, ref); err != nil {
			return false, err
		}
	case !errors.Is(err, ErrNotFound):
		return false, err
	}
	t.Removals = maps.Clone(t.Removals)
	delete(t.Removals, ref.Provider)
	if err := s.putTenant(ctx, ref.Tenant, t); err != nil {
		return false, err
	}
	_ = s.storage.Delete(ctx, removal.Due) // a hint, as in UpdateCredential
	return true, nil
}
