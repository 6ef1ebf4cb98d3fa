package upkeep

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// BeginRotation gives the tenant a new key, which is in use as soon as it returns. The
// worker then reseals what was sealed with the former key. A second rotation meanwhile is
// refused: it would prolong the life of the former key, or do nothing.
func (u *Upkeep) BeginRotation(ctx context.Context, id tenant.ID) (store.Walk, error) {
	walk, err := u.Store.BeginRotation(ctx, id, func(old *store.Walk) (store.Walk, time.Time, error) {
		if old != nil && old.FinishedAt.IsZero() {
			return store.Walk{}, time.Time{}, oauth.Errorf(oauth.Pending, "the key of %s is being rotated since %s; watch tenants/%s and try again when that has ended", id, old.StartedAt.Format(time.RFC3339), id)
		}
		return u.newWalk(), u.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = u.Store.TenantNotFound(ctx, id)
	}
	if err != nil {
		return walk, err
	}
	return walk, ignoreGone(u.Store.PlanRotation(ctx, id))
}

// PlanRotations plans the next rotation of every tenant's key anew, after the mount's
// period was changed.
func (u *Upkeep) PlanRotations(ctx context.Context) error {
	return u.eachTenant(ctx, func(id tenant.ID) error { return u.Store.PlanRotation(ctx, id) })
}

// RotateAged is the due work at a key that has reached the mount's period: it begins a
// rotation, unless one is under way.
func (u *Upkeep) RotateAged(ctx context.Context, due store.Due) error {
	if dropped, err := u.Store.DropOutdated(ctx, due); dropped || err != nil {
		return err
	}
	id, err := tenant.ParseID(due.ID)
	if err != nil {
		return err
	}
	settings, err := u.Store.Settings(ctx)
	if err != nil {
		return err
	}
	if settings.KeyRotationPeriod == 0 {
		return ignoreGone(u.Store.PlanRotation(ctx, id)) // none
	}
	_, err = u.BeginRotation(ctx, id)
	switch oauth.CodeOf(err) {
	case oauth.Pending:
		return ignoreGone(u.Store.PlanRotation(ctx, id))
	case oauth.NotFound:
		return nil
	}
	return err
}

// Rotate is the due work at a rotation.
func (u *Upkeep) Rotate(ctx context.Context, due store.Due) error {
	id, err := tenant.ParseID(due.ID)
	if err != nil {
		return err
	}
	if err := u.Store.ReplaceKey(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return u.work(ctx, due, scan{
		refs:  u.Store.Refs,
		visit: u.Store.Reseal,
		again: func(ctx context.Context, walk *store.Walk) (time.Time, error) { return u.retire(ctx, id, walk) },
		ended: func() {
			u.Store.Note(store.Event{At: u.Now().UTC(), Type: store.TenantKeyRotated, Ref: string(id)})
		},
	})
}

// retire deletes the former key once no session is left that it may have sealed, and a
// whole scan has found no record that it has. Until then the scan begins again.
func (u *Upkeep) retire(ctx context.Context, id tenant.ID, walk *store.Walk) (time.Time, error) {
	rotation, now := *walk.Rotation, u.Now().UTC()
	clean := walk.Changed == 0 && !rotation.KeepUntil.IsZero()
	if rotation.KeepUntil.IsZero() {
		rotation.KeepUntil = now.Add(store.SessionKept)
	}
	if clean && !now.Before(rotation.KeepUntil) {
		return time.Time{}, u.Store.RetireKeys(ctx, id, walk.ID)
	}
	rotation.Rewritten += walk.Changed
	walk.Rotation, walk.After, walk.Changed = &rotation, "", 0
	if now.Before(rotation.KeepUntil) {
		return rotation.KeepUntil, nil
	}
	return now, nil
}
