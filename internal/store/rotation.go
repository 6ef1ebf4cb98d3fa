package store

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Rotation is the change of the key that seals a tenant's records:
//
//	the record says that it has begun     nothing has changed
//	the keyring has another key           which seals from now on
//	a walk                                has sealed what was sealed before
//	a walk, after KeepUntil               has found nothing that was
//	the keyring has that key alone        and the rotation has ended
//
// Sessions are sealed with the same keys, and nobody can list those of one
// tenant: the former key is kept until all of them are over.
type Rotation struct {
	// Version counts the tenant's keys: that of the one that it brings.
	Version int `json:"version"`
	// Replaces is the id of the key that it replaces, in the keyset.
	Replaces uint32 `json:"replaces"`
	// Rewritten counts the records that were sealed anew by the walks before the
	// one that is under way, which has a count of its own.
	Rewritten int `json:"rewritten,omitempty"`
	// KeepUntil is until when the former key is kept at least. Zero: nobody knows
	// yet, for the first walk goes on.
	KeepUntil time.Time `json:"keep_until,omitzero"`
}

// KeyVersion returns which key of the tenant's seals, or is about to: 1 is the
// first.
func (t Tenant) KeyVersion() int {
	if walk, ok := t.Walks[DueRotation]; ok {
		return walk.Rotation.Version
	}
	return max(1, t.KeyVersionAtDeletion)
}

// BeginRotation stores what begin makes of the tenant's last rotation, nil if
// there was none, as its next one, and then changes the key. Should that fail,
// the rotation has begun, and [Store.ReplaceKey] makes up for it.
func (s *Store) BeginRotation(ctx context.Context, id tenant.ID, begin func(old *Walk) (Walk, time.Time, error)) (Walk, error) {
	defer s.tenants.lock(string(id))()
	walk, err := s.UpdateWalk(ctx, id, DueRotation, func(old *Walk) (Walk, time.Time, error) {
		walk, at, err := begin(old)
		if err != nil {
			return walk, at, err
		}
		walk.Rotation = &Rotation{Version: 2}
		if old != nil {
			walk.Rotation.Version = old.Rotation.Version + 1
		}
		k, err := s.sealingKeyring(ctx, id)
		if err == nil {
			walk.Rotation.Replaces, err = k.Primary()
		}
		return walk, at, err
	})
	if err != nil {
		return walk, err
	}
	return walk, s.replaceKey(ctx, id, walk)
}

// ReplaceKey gives the tenant another key to seal with, if the rotation that is
// under way has not done so.
func (s *Store) ReplaceKey(ctx context.Context, id tenant.ID) error {
	defer s.tenants.lock(string(id))()
	walk, err := s.rotation(ctx, id)
	if err != nil {
		return err
	}
	return s.replaceKey(ctx, id, walk)
}

// rotation returns the tenant's rotation, or ErrNotFound if none is under way.
func (s *Store) rotation(ctx context.Context, id tenant.ID) (Walk, error) {
	t, err := s.standingTenant(ctx, id)
	if err != nil {
		return Walk{}, err
	}
	walk, ok := t.Walks[DueRotation]
	if !ok || !walk.FinishedAt.IsZero() {
		return Walk{}, ErrNotFound
	}
	return walk, nil
}

func (s *Store) replaceKey(ctx context.Context, id tenant.ID, walk Walk) error {
	k, err := s.sealingKeyring(ctx, id)
	if err != nil {
		return err
	}
	if primary, err := k.Primary(); err != nil || primary != walk.Rotation.Replaces {
		return err
	}
	if k, err = k.Rotate(); err != nil {
		return err
	}
	return s.saveKeyring(ctx, id, k)
}

// sealingKeyring is storedKeyring for a tenant that has one.
func (s *Store) sealingKeyring(ctx context.Context, id tenant.ID) (*tenant.Keyring, error) {
	k, err := s.storedKeyring(ctx, id)
	if errors.Is(err, ErrNotFound) {
		err = corrupt(tenantKeyringKey(id), err)
	}
	return k, err
}

// RetireKeys destroys the keys that the tenant's rotation called walk has
// replaced. ErrNotFound is returned if that is not under way.
func (s *Store) RetireKeys(ctx context.Context, id tenant.ID, walk string) error {
	defer s.tenants.lock(string(id))()
	switch now, err := s.rotation(ctx, id); {
	case err != nil:
		return err
	case now.ID != walk:
		return ErrNotFound
	}
	k, err := s.sealingKeyring(ctx, id)
	if err != nil || k.Keys() == 1 {
		return err
	}
	if k, err = k.Retire(); err != nil {
		return err
	}
	return s.saveKeyring(ctx, id, k)
}

// Reseal seals ref's record with the key that seals now, and reports whether it
// was sealed with another. What the record says stays as it is, to the byte, so
// that the answer to a call that is under way is stored all the same.
func (s *Store) Reseal(ctx context.Context, ref tenant.Ref) (bool, error) {
	key := credentialKey(ref)
	defer s.records.lock(key)()
	defer s.tenants.rlock(string(ref.Tenant))()
	b, err := s.get(ctx, key)
	if b == nil || err != nil {
		return false, err
	}
	if len(b) == 0 || b[0] != formatVersion {
		return false, corrupt(key, errVersion)
	}
	k, err := s.keyring(ctx, ref.Tenant)
	switch {
	case errors.Is(err, ErrNotFound):
		return false, corrupt(key, err)
	case err != nil || k.Current(b[1:]):
		return false, err
	}
	plain, err := k.Open(b[1:], place(key))
	if err != nil {
		return false, corrupt(key, err)
	}
	sealed, err := k.Seal(plain, place(key))
	if err != nil {
		return false, err
	}
	value := append([]byte{formatVersion}, sealed...)
	return true, save(ctx, s, s.credentials, &logical.StorageEntry{Key: key, Value: value}, s.opener(ctx, ref))
}
