package refresh

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// BeginRotation gives the tenant a new key, which seals from now on, and has the
// worker seal anew what the former one has sealed. While that goes on another
// is refused: one that took its place would put the former key's end off, and
// one that did nothing would have its caller believe in a key that there is not.
func (r *Refresher) BeginRotation(ctx context.Context, id tenant.ID) (store.Walk, error) {
	walk, err := r.Store.BeginRotation(ctx, id, func(old *store.Walk) (store.Walk, time.Time, error) {
		if old != nil && old.FinishedAt.IsZero() {
			return store.Walk{}, time.Time{}, oauth.Errorf(oauth.Pending, "the key of %s is being rotated since %s; watch tenants/%s and try again when that has ended", id, old.StartedAt.Format(time.RFC3339), id)
		}
		return store.Walk{ID: random(), StartedAt: r.Now().UTC()}, r.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = r.noTenant(ctx, id)
	}
	if err != nil {
		return walk, err
	}
	return walk, quietly(r.Store.PlanRotation(ctx, id))
}

// PlanRotations plans the next rotation of every tenant's key anew, after the
// mount's period was changed.
func (r *Refresher) PlanRotations(ctx context.Context) error {
	names, err := r.Store.List(ctx, "")
	if err != nil {
		return err
	}
	return inParallel(ctx, parallel, len(names), func(i int) error {
		return quietly(r.Store.PlanRotation(ctx, tenant.ID(strings.TrimSuffix(names[i], "/"))))
	})
}

// RotateAged is the due work at a key that has reached the mount's period: to begin
// its rotation. One that is under way already is enough.
func (r *Refresher) RotateAged(ctx context.Context, due store.Due) error {
	if dropped, err := r.Store.DropOutdated(ctx, due); dropped || err != nil {
		return err
	}
	id, err := tenant.ParseID(due.ID)
	if err != nil {
		return err
	}
	settings, err := r.Store.Settings(ctx)
	if err != nil {
		return err
	}
	if settings.KeyRotationPeriod == 0 {
		return quietly(r.Store.PlanRotation(ctx, id)) // none
	}
	_, err = r.BeginRotation(ctx, id)
	switch oauth.CodeOf(err) {
	case oauth.Pending:
		return quietly(r.Store.PlanRotation(ctx, id))
	case oauth.NotFound:
		return nil
	}
	return err
}

// Rotate is the background work at a rotation.
func (r *Refresher) Rotate(ctx context.Context, due store.Due) error {
	id, err := tenant.ParseID(due.ID)
	if err != nil {
		return err
	}
	if err := r.Store.ReplaceKey(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return r.walk(ctx, due, route{
		refs:  r.Store.Refs,
		visit: r.Store.Reseal,
		again: func(ctx context.Context, walk *store.Walk) (time.Time, error) { return r.retire(ctx, id, walk) },
		ended: func() {
			r.Store.Note(store.Event{At: r.Now().UTC(), Type: store.TenantKeyRotated, Ref: string(id)})
		},
	})
}

// retire destroys the key that the rotation has replaced once that is of no use
// to anybody: no session is left that it may have sealed, and a whole walk has
// met no record that it has. Until then the walk begins again.
func (r *Refresher) retire(ctx context.Context, id tenant.ID, walk *store.Walk) (time.Time, error) {
	rotation, now := *walk.Rotation, r.Now().UTC()
	clean := walk.Changed == 0 && !rotation.KeepUntil.IsZero()
	if rotation.KeepUntil.IsZero() {
		rotation.KeepUntil = now.Add(store.SessionKept)
	}
	if clean && !now.Before(rotation.KeepUntil) {
		return time.Time{}, r.Store.RetireKeys(ctx, id, walk.ID)
	}
	rotation.Rewritten += walk.Changed
	walk.Rotation, walk.After, walk.Changed = &rotation, "", 0
	if now.Before(rotation.KeepUntil) {
		return rotation.KeepUntil, nil
	}
	return now, nil
}
