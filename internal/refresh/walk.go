package refresh

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// walkSlice is how long a walk may go on at a time, so that the sweep that it
// is part of ends.
const walkSlice = 20 * time.Second

// A route is where a walk goes and what it does there.
type route struct {
	// refs yields what comes after a ref, in an order that stays.
	refs func(ctx context.Context, id tenant.ID, after string) iter.Seq2[tenant.Ref, error]
	// visit must bear being repeated: after a crash a slice is walked again. It
	// reports whether it has changed what is counted.
	visit func(context.Context, tenant.Ref) (changed bool, err error)
	// again is called where nothing is left. It returns when the walk shall begin
	// again at the first ref; zero: it has ended. Nil: it has.
	again func(context.Context, *store.Walk) (time.Time, error)
	// ended is called when that was stored. Nil: there is nothing to do then.
	ended func()
}

// uncounted is a visit of which nothing is counted.
func uncounted(visit func(context.Context, tenant.Ref) error) func(context.Context, tenant.Ref) (bool, error) {
	return func(ctx context.Context, ref tenant.Ref) (bool, error) { return false, visit(ctx, ref) }
}

// beginWalk begins the tenant's walk of that kind. One that is under way goes
// on, with a new entry in the due index: the old one may be what was lost.
func (r *Refresher) beginWalk(ctx context.Context, id tenant.ID, kind string) (store.Walk, error) {
	walk, err := r.Store.UpdateWalk(ctx, id, kind, func(old *store.Walk) (store.Walk, time.Time, error) {
		if old != nil && old.FinishedAt.IsZero() {
			return *old, r.Now(), nil
		}
		return store.Walk{ID: random(), StartedAt: r.Now().UTC()}, r.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = r.noTenant(ctx, id)
	}
	return walk, err
}

// walk is the background work at a walk: one slice of it. A tenant that has
// gone meanwhile ends it.
func (r *Refresher) walk(ctx context.Context, due store.Due, to route) error {
	if dropped, err := r.Store.DropOutdated(ctx, due); dropped || err != nil {
		return err
	}
	id, err := tenant.ParseID(due.ID)
	if err != nil {
		return err
	}
	walk, err := r.Store.Walk(ctx, id, due.Kind)
	if err != nil {
		return quietly(err)
	}
	next := time.Time{}
	finished, cause := r.slice(ctx, id, &walk, to)
	if finished && to.again != nil {
		next, cause = to.again(ctx, &walk)
		finished = next.IsZero() && cause == nil
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case finished:
		walk.FinishedAt = r.Now().UTC()
		r.Log.Info("finished", "work", due.Kind, "tenant", id, "records", walk.Done, "unreadable", walk.Unreadable)
	case next.IsZero():
		next = r.Now()
	}
	_, err = r.Store.UpdateWalk(ctx, id, due.Kind, func(now *store.Walk) (store.Walk, time.Time, error) {
		if now == nil || now.ID != walk.ID {
			return store.Walk{}, time.Time{}, errSuperseded
		}
		return walk, next, nil
	})
	if finished && err == nil && to.ended != nil {
		to.ended()
	}
	return errors.Join(quietly(cause), quietly(err))
}

// slice visits what there is time for and writes down in walk how far it came.
// It reports whether nothing is left. A record that does not open is passed
// over; an error of storage ends the slice before it.
func (r *Refresher) slice(ctx context.Context, id tenant.ID, walk *store.Walk, to route) (finished bool, err error) {
	begun := r.Now()
	ctx = store.Passing(ctx)
	if walk.After == "" {
		walk.Done, walk.Unreadable = 0, 0 // it may begin again
	}
	for ref, err := range to.refs(ctx, id, walk.After) {
		if err != nil || ctx.Err() != nil || r.Now().Sub(begun) > walkSlice {
			return false, err
		}
		changed, err := to.visit(ctx, ref)
		switch {
		case errors.Is(err, store.ErrCorrupt):
			r.Log.Warn("passed over", "ref", ref.String(), "error", err)
			walk.Unreadable++
		case err != nil:
			return false, err
		case changed:
			walk.Changed++
		}
		walk.After = ref.String()
		walk.Done++
	}
	return true, nil
}

// quietly passes over the errors of work whose tenant, or whose reason, is
// gone.
func quietly(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, errSuperseded) {
		return nil
	}
	return err
}

// noTenant is the error of an id that names no tenant, or one that is being
// deleted.
func (r *Refresher) noTenant(ctx context.Context, id tenant.ID) error {
	if err := r.Store.Deleting(ctx, id); err != nil {
		return err
	}
	return NoTenant(id)
}

// NoTenant is the error of an id that names no tenant.
func NoTenant(id tenant.ID) error {
	return oauth.Errorf(oauth.NotFound, "there is no tenant %s; it exists from its first credential", id)
}
