package upkeep

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// BeginRotation gives the tenant a new key, which is in use as soon as it returns. The
// worker then reseals what was sealed with the former key. A second rotation meanwhile is
// refused: it would delay the purge of the former key, or do nothing.
func (u *Upkeep) BeginRotation(ctx context.Context, id tenant.ID) (store.Scan, error) {
	scan, err := u.Store.Rotations.Begin(ctx, id, func(old *store.Scan) (store.Scan, time.Time, error) {
		if old != nil && old.FinishedAt.IsZero() {
			return store.Scan{}, time.Time{}, oauth.Errorf(oauth.Pending, "the key of %s is being rotated since %s; watch tenants/%s and try again when that has ended", id, old.StartedAt.Format(time.RFC3339), id)
		}
		return u.newScan(), u.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = admission.TenantNotFound(ctx, u.Store, id)
	}
	if err != nil {
		return scan, err
	}
	if err := ignoreGone(u.Store.Tenants.PlanRotation(ctx, id)); err != nil {
		// RotateAged looks at the key's age, and plans the next one then.
		u.Log.Warn("planning the next rotation failed", "tenant", id, "error", err)
	}
	return scan, nil
}

// PlanRotations has the worker plan the next rotation of every tenant's key anew, after the
// mount's period was changed.
func (u *Upkeep) PlanRotations(ctx context.Context) error {
	return u.Store.Tenants.PlanRotationsAfter(ctx, "")
}

// PlanAges is the due work at that: one slice of it. A tenant whose record does not open
// is skipped.
func (u *Upkeep) PlanAges(ctx context.Context, entry due.Entry) error {
	ids, err := u.tenantsAfter(ctx, entry.ID)
	if err != nil {
		return err
	}
	begun, last := u.Now(), entry.ID
	for ids := range slices.Chunk(ids, 10*sweep.Parallel) {
		if u.Now().Sub(begun) > sliceTime {
			if err := u.Store.Tenants.PlanRotationsAfter(ctx, tenant.ID(last)); err != nil {
				return err
			}
			break
		}
		err := sweep.InParallel(ctx, sweep.Parallel, len(ids), func(i int) error {
			id := tenant.ID(ids[i])
			err := ignoreGone(u.Store.Tenants.PlanRotation(ctx, id))
			if errors.Is(err, store.ErrCorrupt) {
				u.Log.Warn("skipped a tenant whose record does not open", "tenant", id, "error", err)
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		last = ids[len(ids)-1]
	}
	return u.Store.Due.Delete(ctx, entry)
}

// tenantsAfter returns the ids of the tenants after the given one, sorted.
func (u *Upkeep) tenantsAfter(ctx context.Context, after string) ([]string, error) {
	ids, err := u.Store.Tenants.List(ctx)
	for i := range ids {
		ids[i] = strings.TrimSuffix(ids[i], "/")
	}
	slices.Sort(ids)
	first, found := slices.BinarySearch(ids, after)
	if found {
		first++
	}
	return ids[first:], err
}

// RotateAged is the due work at a key that has reached the mount's period: it begins a
// rotation. While another is under way, the entry in the due index stays.
func (u *Upkeep) RotateAged(ctx context.Context, entry due.Entry) error {
	if dropped, err := u.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return err
	}
	id, err := tenant.ParseID(entry.ID)
	if err != nil {
		return err
	}
	settings, err := u.Store.Mount.Settings(ctx)
	if err != nil {
		return err
	}
	known, err := u.Store.Tenants.Read(ctx, id)
	if err != nil {
		return ignoreGone(err)
	}
	since, now := known.KeySince(), u.Now() // since may be of a clock that was ahead
	if period := settings.KeyRotationPeriod; period == 0 || !since.After(now) && now.Before(since.Add(period-period/10)) {
		return ignoreGone(u.Store.Tenants.PlanRotation(ctx, id)) // none, or by a rotation that came first
	}
	switch _, err = u.BeginRotation(ctx, id); {
	case oauth.CodeOf(err) == oauth.Pending, oauth.CodeOf(err) == oauth.NotFound:
		return nil
	case errors.Is(err, store.ErrCorrupt):
		u.Log.Error("the tenant's key cannot be rotated: its keyring does not open", "tenant", id, "error", err)
		return u.Store.Due.Delete(ctx, entry)
	}
	return err
}

// Rotate is the due work at a rotation.
func (u *Upkeep) Rotate(ctx context.Context, entry due.Entry) error {
	id, err := tenant.ParseID(entry.ID)
	if err != nil {
		return err
	}
	if err := u.Store.Rotations.ReplaceKey(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return u.work(ctx, entry, task{
		refs:  u.Store.Credentials.Refs,
		visit: u.Store.Rotations.Reseal,
		again: func(ctx context.Context, scan *store.Scan) (time.Time, error) { return u.purgeFormerKey(ctx, id, scan) },
		ended: func() {
			u.Store.Events.Add(event.Event{At: u.Now().UTC(), Type: event.TenantKeyRotated, Ref: string(id)})
		},
	})
}

// purgeFormerKey purges the former key when no session is left that it may have sealed, and
// a whole scan has found no record that it has. Until then the scan begins again.
func (u *Upkeep) purgeFormerKey(ctx context.Context, id tenant.ID, scan *store.Scan) (time.Time, error) {
	rotation, now := *scan.Rotation, u.Now().UTC()
	clean := scan.Changed == 0 && !rotation.KeepUntil.IsZero()
	if rotation.KeepUntil.IsZero() {
		rotation.KeepUntil = now.Add(store.SessionKept)
	}
	if clean && !now.Before(rotation.KeepUntil) {
		return time.Time{}, u.Store.Rotations.PurgeReplaced(ctx, id, scan.ID)
	}
	rotation.Rewritten += scan.Changed
	scan.Rotation, scan.After, scan.Changed = &rotation, "", 0
	if now.Before(rotation.KeepUntil) {
		return rotation.KeepUntil, nil
	}
	return now, nil
}
