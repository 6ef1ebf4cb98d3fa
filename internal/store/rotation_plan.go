package store

import (
	"context"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A PlannedRotation is a rotation of a tenant's key that nobody has asked for: see
// [Settings.KeyRotationPeriod]. The zero value is none.
type PlannedRotation struct {
	At time.Time `json:"at"`
	// Due is the key of its entry in the due index.
	Due string `json:"due"`
}

// keySince returns when the tenant's key began to seal.
func (t Tenant) keySince() time.Time {
	if walk, ok := t.Walks[DueRotation]; ok {
		return walk.StartedAt
	}
	return t.CreatedAt
}

// PlanRotation plans the next rotation of the tenant's key anew, by the mount's
// settings and the age of the key. ErrNotFound is returned if there is no such
// tenant, or if it is being deleted.
func (s *Store) PlanRotation(ctx context.Context, id tenant.ID) error {
	defer s.records.lock(tenantKey(id))()
	t, err := s.standingTenant(ctx, id)
	if err != nil {
		return err
	}
	settings, err := s.Settings(ctx)
	if err != nil {
		return err
	}
	former := t.NextRotation
	if former.Due == "" && settings.KeyRotationPeriod == 0 {
		return nil
	}
	if t.NextRotation, err = s.scheduleRotation(ctx, id, t, settings.KeyRotationPeriod); err != nil {
		return err
	}
	if err := s.putTenant(ctx, id, t); err != nil {
		return err
	}
	if former.Due != "" && former.Due != t.NextRotation.Due {
		_ = s.storage.Delete(ctx, former.Due) // a hint, as in UpdateCredential
	}
	return nil
}

// scheduleRotation writes the entry of the tenant's next rotation in the due index.
// A period of 0 means none.
func (s *Store) scheduleRotation(ctx context.Context, id tenant.ID, t Tenant, period time.Duration) (PlannedRotation, error) {
	if period <= 0 {
		return PlannedRotation{}, nil
	}
	at := tenant.RotationAt(id, t.keySince(), t.NextRotation.At, period, s.now())
	due, err := s.schedule(ctx, at, time.Time{}, DueKeyAge, string(id))
	return PlannedRotation{at, due.key()}, err
}
