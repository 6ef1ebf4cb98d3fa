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
//	the keyring has another key           which is in use from then on
//	a scan                                has sealed what was sealed before
//	a scan, after KeepUntil               has found nothing that was
//	the keyring has that key alone        and the rotation has ended
//
// Sessions are sealed with the same keys, and those of one tenant cannot be
// listed: the former key is kept until all of them are over.
type Rotation struct {
	// Version counts the tenant's keys: that of the new one.
	Version int `json:"version"`
	// Replaces is the id of the key that it replaces, in the keyset.
	Replaces uint32 `json:"replaces"`
	// Rewritten counts the records that were sealed again by the scans before the
	// one that is under way, which has a count of its own.
	Rewritten int `json:"rewritten,omitempty"`
	// KeepUntil is until when the former key is kept at least. Zero: it is not known
	// yet, for the first scan goes on.
	KeepUntil time.Time `json:"keep_until,omitzero"`
}

// KeyVersion returns which key of the tenant's seals, or is about to: 1 is the
// first.
func (t Tenant) KeyVersion() int {
	if scan, ok := t.Scans[DueRotation]; ok {
		return scan.Rotation.Version
	}
	return max(1, t.KeyVersionAtDeletion)
}

// Rotations changes the keys that tenants' records are sealed under.
type Rotations struct {
	*records
	keyrings    *keyrings
	tenants     *Tenants
	credentials *Credentials
}

// Begin stores what begin returns for the tenant's last rotation, nil if
// there was none, as its next one, and then changes the key. Should that fail,
// the rotation has begun, and [Rotations.ReplaceKey] makes up for it.
func (r *Rotations) Begin(ctx context.Context, id tenant.ID, begin func(old *Scan) (Scan, time.Time, error)) (Scan, error) {
	defer r.tenantLocks.lock(string(id))()
	scan, err := r.tenants.UpdateScan(ctx, id, DueRotation, func(old *Scan) (Scan, time.Time, error) {
		scan, at, err := begin(old)
		if err != nil {
			return scan, at, err
		}
		scan.Rotation = &Rotation{Version: 2}
		if old != nil {
			scan.Rotation.Version = old.Rotation.Version + 1
		}
		k, err := r.keyrings.existing(ctx, id)
		if err == nil {
			scan.Rotation.Replaces, err = k.Primary()
		}
		return scan, at, err
	})
	if err != nil {
		return scan, err
	}
	return scan, r.replaceKey(ctx, id, scan)
}

// ReplaceKey gives the tenant another key to seal with, if the rotation that is
// under way has not done so.
func (r *Rotations) ReplaceKey(ctx context.Context, id tenant.ID) error {
	defer r.tenantLocks.lock(string(id))()
	scan, err := r.underWay(ctx, id)
	if err != nil {
		return err
	}
	return r.replaceKey(ctx, id, scan)
}

// underWay returns the tenant's rotation, or ErrNotFound if none is under way.
func (r *Rotations) underWay(ctx context.Context, id tenant.ID) (Scan, error) {
	t, err := r.tenants.standing(ctx, id)
	if err != nil {
		return Scan{}, err
	}
	scan, ok := t.Scans[DueRotation]
	if !ok || !scan.FinishedAt.IsZero() {
		return Scan{}, ErrNotFound
	}
	return scan, nil
}

func (r *Rotations) replaceKey(ctx context.Context, id tenant.ID, scan Scan) error {
	k, err := r.keyrings.existing(ctx, id)
	if err != nil {
		return err
	}
	if primary, err := k.Primary(); err != nil || primary != scan.Rotation.Replaces {
		return err
	}
	if k, err = k.Rotate(); err != nil {
		return err
	}
	return r.keyrings.save(ctx, id, k)
}

// PurgeReplaced destroys the keys that the tenant's rotation with the id scan has
// replaced. ErrNotFound is returned if that is not under way.
func (r *Rotations) PurgeReplaced(ctx context.Context, id tenant.ID, scan string) error {
	defer r.tenantLocks.lock(string(id))()
	switch now, err := r.underWay(ctx, id); {
	case err != nil:
		return err
	case now.ID != scan:
		return ErrNotFound
	}
	k, err := r.keyrings.existing(ctx, id)
	if err != nil || k.Keys() == 1 {
		return err
	}
	if k, err = k.Purge(); err != nil {
		return err
	}
	return r.keyrings.save(ctx, id, k)
}

// Reseal seals ref's record with the key that seals now, and reports whether it
// was sealed with another. What the record says stays as it is, to the byte, so
// that the result of a call that is under way is still stored.
func (r *Rotations) Reseal(ctx context.Context, ref tenant.Ref) (bool, error) {
	key := credentialKey(ref)
	defer r.locks.lock(key)()
	defer r.tenantLocks.rlock(string(ref.Tenant))()
	b, err := r.get(ctx, key)
	if b == nil || err != nil {
		return false, err
	}
	if len(b) == 0 || b[0] != formatVersion {
		return false, corrupt(key, errVersion)
	}
	k, err := r.keyrings.of(ctx, ref.Tenant)
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
	return true, r.credentials.cached.Save(ctx, &logical.StorageEntry{Key: key, Value: value}, r.credentials.opener(ctx, ref))
}
