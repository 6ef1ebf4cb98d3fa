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
	if scan, ok := t.Scans[DueRotation]; ok {
		return scan.StartedAt
	}
	return t.CreatedAt
}

// PlanRotation plans the next rotation of the tenant's key anew, by the mount's
// settings and the age of the key. ErrNotFound is returned if there is no such
// tenant, or if it is being deleted.
func (t *Tenants) PlanRotation(ctx context.Context, id tenant.ID) error {
	defer t.locks.lock(tenantKey(id))()
	record, err := t.standing(ctx, id)
	if err != nil {
		return err
	}
	settings, err := t.mount.Settings(ctx)
	if err != nil {
		return err
	}
	former, period := record.NextRotation, settings.KeyRotationPeriod
	if former.Due == "" && period == 0 {
		return nil
	}
	var at time.Time
	if period > 0 {
		at = tenant.RotationAt(id, record.KeySince(), former.At, period, t.now())
		if former.At.Equal(at) {
			if found, err := t.due.WillBeFound(ctx, former.Due); found || err != nil {
				return err // it is planned so already
			}
		}
	}
	return t.putWithDue(ctx, work{DueKeyAge, string(id), at, former.Due}, func(due string) error {
		record.NextRotation = PlannedRotation{at, due}
		return t.put(ctx, id, record)
	})
}

// scheduleRotation writes the entry of a new tenant's first rotation in the due index.
// A period of 0 means none.
func (t *Tenants) scheduleRotation(ctx context.Context, id tenant.ID, record Tenant, period time.Duration) (PlannedRotation, error) {
	if period <= 0 {
		return PlannedRotation{}, nil
	}
	at := tenant.RotationAt(id, record.KeySince(), record.NextRotation.At, period, t.now())
	due, err := t.due.Schedule(ctx, at, time.Time{}, DueKeyAge, string(id))
	return PlannedRotation{at, due.Key()}, err
}

// PlanRotationsAfter has the worker plan the rotations of all tenants after the one with
// that id, "" being before the first: see [DueKeyAges].
func (t *Tenants) PlanRotationsAfter(ctx context.Context, id tenant.ID) error {
	_, err := t.due.Schedule(ctx, t.now(), time.Time{}, DueKeyAges, string(id))
	return err
}
