package store

import (
	"context"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A PlannedRotation is a rotation of a tenant's key by its age: see
// [Settings.KeyRotationPeriod]. The zero value is none.
type PlannedRotation struct {
	At time.Time `json:"at"`
	// Due is the key of its entry in the due index.
	Due string `json:"due"`
}

// KeySince returns when the tenant's key began to seal.
func (t Tenant) KeySince() time.Time {
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
	former, period := t.NextRotation, settings.KeyRotationPeriod
	if former.Due == "" && period == 0 {
		return nil
	}
	if period > 0 && former.At.Equal(tenant.RotationAt(id, t.KeySince(), former.At, period, s.now())) {
		if found, err := s.willBeFound(ctx, former.Due); found || err != nil {
			return err // it is planned so already
		}
	}
	if t.NextRotation, err = s.scheduleRotation(ctx, id, t, period); err != nil {
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
	at := tenant.RotationAt(id, t.KeySince(), t.NextRotation.At, period, s.now())
	due, err := s.schedule(ctx, at, time.Time{}, DueKeyAge, string(id))
	return PlannedRotation{at, due.key()}, err
}

// PlanRotationsAfter has the worker plan the rotations of all tenants after the one with
// that id, "" being before the first: see [DueKeyAges].
func (s *Store) PlanRotationsAfter(ctx context.Context, id tenant.ID) error {
	_, err := s.schedule(ctx, s.now(), time.Time{}, DueKeyAges, string(id))
	return err
}
