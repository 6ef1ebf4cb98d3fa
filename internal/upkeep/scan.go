// Package upkeep does background work over all records of a tenant: it rotates keys,
// rebuilds indexes and plans checks anew. The work is done in slices, with a cursor in
// the tenant's record, so that a restart continues it.
package upkeep

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Options are what an Upkeep needs.
type Options struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	Now       func() time.Time
	Log       hclog.Logger
}

// An Upkeep begins scans and does their work. It is safe for concurrent use.
type Upkeep struct{ Options }

// New returns an Upkeep.
func New(o Options) *Upkeep { return &Upkeep{o} }

// sliceTime is how long a scan may go on in one sweep.
const sliceTime = 20 * time.Second

// errUnchanged is returned by a change of a record that there is no need to store.
var errUnchanged = errors.New("nothing changes")

// A task says which records are visited, and what is done at each.
type task struct {
	// refs yields the refs after a given one, in a stable order.
	refs func(ctx context.Context, id tenant.ID, after string) iter.Seq2[tenant.Ref, error]
	// visit may be repeated for a ref: after a crash a slice begins anew. It reports
	// whether it has changed the record.
	visit func(context.Context, tenant.Ref) (changed bool, err error)
	// again is called after the last ref, and returns when the scan begins again at the
	// first one. Zero: the scan has ended. Nil: likewise.
	again func(context.Context, *store.Scan) (time.Time, error)
	// ended is called when the end is stored. Nil: no function is called.
	ended func()
}

// uncounted is a visit whose changes are not counted.
func uncounted(visit func(context.Context, tenant.Ref) error) func(context.Context, tenant.Ref) (bool, error) {
	return func(ctx context.Context, ref tenant.Ref) (bool, error) { return false, visit(ctx, ref) }
}

// begin begins the tenant's scan of that kind. One that is under way continues, with a
// new entry in the due index, for the old one may be lost.
func (u *Upkeep) begin(ctx context.Context, id tenant.ID, kind string) (store.Scan, error) {
	scan, err := u.Store.Tenants.UpdateScan(ctx, id, kind, func(old *store.Scan) (store.Scan, time.Time, error) {
		if old != nil && old.FinishedAt.IsZero() {
			return *old, u.Now(), nil
		}
		return u.newScan(), u.Now(), nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = admission.TenantNotFound(ctx, u.Store, id)
	}
	return scan, err
}

func (u *Upkeep) newScan() store.Scan {
	return store.Scan{ID: store.NewID(), StartedAt: u.Now().UTC()}
}

// errOtherScan is returned if another scan has taken the place of the one that is
// stored.
var errOtherScan = errors.New("another scan has begun")

// work does one slice of a scan. It does nothing if the tenant was deleted.
func (u *Upkeep) work(ctx context.Context, entry due.Entry, t task) error {
	if dropped, err := u.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return err
	}
	id, err := tenant.ParseID(entry.ID)
	if err != nil {
		return err
	}
	scan, err := u.Store.Tenants.Scan(ctx, id, entry.Kind)
	if err != nil {
		return ignoreGone(err)
	}
	next := time.Time{}
	finished, cause := u.slice(ctx, id, &scan, t)
	if finished && t.again != nil {
		next, cause = t.again(ctx, &scan)
		finished = next.IsZero() && cause == nil
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case finished:
		scan.FinishedAt = u.Now().UTC()
		u.Log.Info("finished", "work", entry.Kind, "tenant", id, "records", scan.Done, "unreadable", scan.Unreadable)
	case next.IsZero():
		next = u.Now()
	}
	_, err = u.Store.Tenants.UpdateScan(ctx, id, entry.Kind, func(now *store.Scan) (store.Scan, time.Time, error) {
		if now == nil || now.ID != scan.ID {
			return store.Scan{}, time.Time{}, errOtherScan
		}
		return scan, next, nil
	})
	if finished && err == nil && t.ended != nil {
		t.ended()
	}
	return errors.Join(ignoreGone(cause), ignoreGone(err))
}

// slice visits as many refs as there is time for, and moves the cursor in scan. It
// reports whether it has visited the last one. A record that does not open is skipped; an
// error of storage ends the slice before it.
func (u *Upkeep) slice(ctx context.Context, id tenant.ID, scan *store.Scan, t task) (finished bool, err error) {
	begun := u.Now()
	ctx = store.WithoutCaching(ctx)
	if scan.After == "" {
		scan.Done, scan.Unreadable = 0, 0 // it may begin again
	}
	for ref, err := range t.refs(ctx, id, scan.After) {
		if err != nil || ctx.Err() != nil || u.Now().Sub(begun) > sliceTime {
			return false, err
		}
		changed, err := t.visit(ctx, ref)
		switch {
		case errors.Is(err, store.ErrCorrupt):
			u.Log.Warn("skipped a record that does not open", "ref", ref.String(), "error", err)
			scan.Unreadable++
		case err != nil:
			return false, err
		case changed:
			scan.Changed++
		}
		scan.After = ref.String()
		scan.Done++
	}
	return true, nil
}

// ignoreGone returns err, or nil if it says that the tenant or the scan is gone.
func ignoreGone(err error) error {
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, errOtherScan) {
		return nil
	}
	return err
}

// eachTenant calls do with each tenant, concurrently.
func (u *Upkeep) eachTenant(ctx context.Context, do func(tenant.ID) error) error {
	names, err := u.Store.Tenants.List(ctx)
	if err != nil {
		return err
	}
	return sweep.InParallel(ctx, sweep.Parallel, len(names), func(i int) error {
		return ignoreGone(do(tenant.ID(strings.TrimSuffix(names[i], "/"))))
	})
}
