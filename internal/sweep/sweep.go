// Package sweep does the work that is due, by the due index of the store.
package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
)

// Work does due work of one kind, soonest expiry first, and deletes or moves its
// entries in the due index. Each sweep comes back to an entry that stays, which costs
// a storage call for its minute and delays no other work.
type Work func(context.Context, []due.Entry) error

// Each returns the Work that calls do with one entry at a time, concurrently.
func Each(do func(context.Context, due.Entry) error) Work {
	return func(ctx context.Context, entries []due.Entry) error {
		return InParallel(ctx, Parallel, len(entries), func(i int) error { return do(ctx, entries[i]) })
	}
}

// A Worker does what is due, in a goroutine of its own. Between pokes it costs nothing,
// and a poke with nothing due costs one storage call.
type Worker struct {
	Options
	poke chan struct{}
	done sync.WaitGroup
	// sweeping is held during a sweep.
	sweeping sync.Mutex
	last     atomic.Pointer[Result]
}

// A Result says what a sweep did.
type Result struct {
	// At is when it began, Took how long it lasted.
	At   time.Time
	Took time.Duration
	// Due counts the entries that were due. Failed says that some work failed, or that
	// not all entries could be listed.
	Due    int
	Failed bool
}

const (
	// Parallel is how many entries of one kind of work are done concurrently.
	Parallel = 32
	// batchSize is about how many entries are held in memory and sorted by their expiry
	// at a time.
	batchSize = 10_000
	// OverdueAfter is how late due work may be done: its minute has to end, the next
	// tick to come, and the work before it to be done.
	OverdueAfter = 3 * time.Minute
)

// Options are what a Worker needs.
type Options struct {
	Store *store.Store
	// Before is called at the beginning of each sweep.
	Before func(context.Context)
	// Works maps the kinds of the due index to their work.
	Works map[string]Work
	Now   func() time.Time
	Log   hclog.Logger
	// Context ends when the mount shuts down, and the Worker with it.
	Context context.Context
	// Done is called after each sweep. Nil: no function is called.
	Done func(Result)
}

// New returns a Worker.
func New(o Options) *Worker {
	if o.Done == nil {
		o.Done = func(Result) {}
	}
	return &Worker{Options: o, poke: make(chan struct{}, 1)}
}

// Last returns the result of this process's last sweep, or nil.
func (w *Worker) Last() *Result { return w.last.Load() }

// Start starts the goroutine.
func (w *Worker) Start() {
	w.done.Go(func() {
		for {
			select {
			case <-w.Context.Done():
				return
			case <-w.poke:
				if err := w.guarded(); err != nil && w.Context.Err() == nil {
					w.Log.Error("sweeping failed", "error", err)
				}
			}
		}
	})
}

// guarded is Sweep for the goroutine. A panic there would end every mount of the
// process.
func (w *Worker) guarded() (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.Log.Error("panic in the sweep", "panic", p, "stack", string(debug.Stack()))
			err = errors.New("internal error")
		}
	}()
	return w.Sweep(w.Context)
}

// Poke requests a sweep and returns immediately. Any number of pokes during a sweep
// cause one more.
func (w *Worker) Poke() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// Wait returns when the goroutine has ended.
func (w *Worker) Wait() { w.done.Wait() }

// Sweep does everything that is due, and returns the errors of the work that failed.
// A failed entry does not stop the others.
func (w *Worker) Sweep(ctx context.Context) error {
	w.sweeping.Lock()
	defer w.sweeping.Unlock()
	began, found := w.Now(), 0
	err := w.sweep(ctx, &found)
	result := Result{began, w.Now().Sub(began), found, err != nil}
	w.last.Store(&result)
	w.Done(result)
	return err
}

// sweep is Sweep, and adds the number of due entries to found.
func (w *Worker) sweep(ctx context.Context, found *int) error {
	w.Before(ctx)
	stuck, first, last, err := w.Store.Due.Minutes(ctx)
	if err != nil {
		return err
	}
	var (
		errs []error
		due  = batch{found: found}
	)
	for _, minute := range stuck {
		errs = append(errs, w.gather(ctx, minute, &due))
	}
	for minute := first; minute <= last && w.Store.Due.Begun(minute) && ctx.Err() == nil; minute++ {
		errs = append(errs, w.gather(ctx, minute, &due))
	}
	return errors.Join(append(errs, w.finish(ctx, &due))...)
}

// A batch is the entries that a sweep has listed and not done yet, with their minutes.
type batch struct {
	due     []due.Entry
	minutes []int64
	found   *int // the number of entries in all batches of the sweep
}

// gather adds the entries of minute to the batch, and does the batch if it is full.
func (w *Worker) gather(ctx context.Context, minute int64, l *batch) error {
	entries, err := w.Store.Due.Pass(ctx, minute)
	if err != nil || len(entries) == 0 {
		return err
	}
	l.due, l.minutes = append(l.due, entries...), append(l.minutes, minute)
	*l.found += len(entries)
	if len(l.due) < batchSize {
		return nil
	}
	return w.finish(ctx, l)
}

// finish does the batch, and lists its minutes again for entries that are left.
func (w *Worker) finish(ctx context.Context, l *batch) error {
	errs := []error{w.do(ctx, l.due), w.Store.Events.Flush(ctx)}
	for _, minute := range l.minutes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err := w.Store.Due.Pass(ctx, minute)
		errs = append(errs, err)
	}
	*l = batch{found: l.found}
	return errors.Join(errs...)
}

// do does the work of due, soonest expiry first, the kinds concurrently.
func (w *Worker) do(ctx context.Context, entries []due.Entry) error {
	slices.SortStableFunc(entries, func(a, b due.Entry) int { return cmp.Compare(a.Expiry, b.Expiry) })
	kinds := map[string][]due.Entry{}
	for _, d := range entries {
		kinds[d.Kind] = append(kinds[d.Kind], d)
	}
	names := slices.Sorted(maps.Keys(kinds))
	return InParallel(ctx, len(names), len(names), func(i int) error {
		work, ok := w.Works[names[i]]
		if !ok {
			return fmt.Errorf("%d entries of the due index are of the unknown kind %q; a newer version may have written them", len(kinds[names[i]]), names[i])
		}
		return work(ctx, kinds[names[i]])
	})
}

// InParallel calls do with each number below n in order, up to limit calls at a time,
// and returns their errors. A panic becomes an error: in a goroutine it would end every
// mount of the process.
func InParallel(ctx context.Context, limit, n int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(limit)
	errs := make([]error, n)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic in due work: %v\n%s", p, debug.Stack())
				}
			}()
			errs[i] = do(i)
			return nil
		})
	}
	group.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}
