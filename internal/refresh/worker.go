package refresh

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
)

// Work does due work of one kind, soonest expiry first. The entries that led to
// it are then gone: done, moved or outdated. One that stays is met again by
// each sweep, which costs a storage call for its minute and keeps nothing else
// from being done.
type Work func(context.Context, []store.Due) error

// Each returns the Work that does one piece at a time, several at once.
func Each(do func(context.Context, store.Due) error) Work {
	return func(ctx context.Context, due []store.Due) error {
		return inParallel(ctx, parallel, len(due), func(i int) error { return do(ctx, due[i]) })
	}
}

// A Worker does what is due, in a goroutine of its own. It costs nothing
// between pokes, and one storage call a poke if nothing is due.
type Worker struct {
	WorkerOptions
	poke chan struct{}
	done sync.WaitGroup
	// sweeping is held by the one sweep.
	sweeping sync.Mutex
	last     atomic.Pointer[Swept]
}

// A Swept is what a sweep did.
type Swept struct {
	// At is when it began, Took how long it lasted.
	At   time.Time
	Took time.Duration
	// Due counts what it found due, Failed says that some of that could not be
	// done, or not all be found.
	Due    int
	Failed bool
}

// LastSweep returns what the last sweep of this process did, or nil.
func (w *Worker) LastSweep() *Swept { return w.last.Load() }

const (
	// parallel is how many pieces of due work of one kind are done at once.
	parallel = 32
	// parallelBatches is how many batches are, and how many of the answers to one
	// are taken in.
	parallelBatches = 8
	// sweepLot is about how much of what is due is held in memory at once, and put
	// in the order of its expiry.
	sweepLot = 10_000
)

// WorkerOptions are what a Worker needs.
type WorkerOptions struct {
	Store *store.Store
	// Before is called at the beginning of a sweep.
	Before func(context.Context)
	// Works are what can be done, by the kinds of the due index.
	Works map[string]Work
	Now   func() time.Time
	Log   hclog.Logger
	// Life ends when the mount does, and the Worker with it.
	Life context.Context
	// Swept is told of each sweep. Nil: nobody is.
	Swept func(Swept)
}

// NewWorker returns a Worker.
func NewWorker(o WorkerOptions) *Worker {
	if o.Swept == nil {
		o.Swept = func(Swept) {}
	}
	return &Worker{WorkerOptions: o, poke: make(chan struct{}, 1)}
}

// OverdueAfter is for how long due work may wait: for its minute to end, the
// tick that follows, and its turn.
const OverdueAfter = 3 * time.Minute

// Start starts the goroutine.
func (w *Worker) Start() {
	w.done.Go(func() {
		for {
			select {
			case <-w.Life.Done():
				return
			case <-w.poke:
				if err := w.guarded(); err != nil && w.Life.Err() == nil {
					w.Log.Error("sweeping what is due", "error", err)
				}
			}
		}
	})
}

// guarded is Sweep for the goroutine, which a panic must not end: it would take
// every mount of the process along.
func (w *Worker) guarded() (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.Log.Error("panic in the sweep", "panic", p, "stack", string(debug.Stack()))
			err = errors.New("internal error")
		}
	}()
	return w.Sweep(w.Life)
}

// Poke asks for a sweep and returns at once. Pokes that come during a sweep
// make one more.
func (w *Worker) Poke() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// Wait returns when the goroutine has ended.
func (w *Worker) Wait() { w.done.Wait() }

// Sweep does all that is due by now, and returns the errors of what could not
// be done. One piece's trouble does not keep the others from being done.
func (w *Worker) Sweep(ctx context.Context) error {
	w.sweeping.Lock()
	defer w.sweeping.Unlock()
	began, found := w.Now(), 0
	err := w.sweep(ctx, &found)
	swept := Swept{began, w.Now().Sub(began), found, err != nil}
	w.last.Store(&swept)
	w.Swept(swept)
	return err
}

// sweep is Sweep, and adds to found how much was due.
func (w *Worker) sweep(ctx context.Context, found *int) error {
	w.Before(ctx)
	stuck, first, last, err := w.Store.DueMinutes(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var (
		errs []error
		due  = lot{found: found}
	)
	for _, minute := range stuck {
		errs = append(errs, w.gather(ctx, minute, &due))
	}
	for minute := first; minute <= last && w.Store.Begun(minute) && ctx.Err() == nil; minute++ {
		errs = append(errs, w.gather(ctx, minute, &due))
	}
	return errors.Join(append(errs, w.finish(ctx, &due))...)
}

// A lot is what a sweep has gathered and not done yet, and the minutes that it
// was due at.
type lot struct {
	due     []store.Due
	minutes []int64
	found   *int // how much all lots of the sweep held
}

// gather adds what is due at minute to the lot, and does the lot if it is full.
func (w *Worker) gather(ctx context.Context, minute int64, l *lot) error {
	due, err := w.Store.Pass(ctx, minute)
	if err != nil || len(due) == 0 {
		return err
	}
	l.due, l.minutes = append(l.due, due...), append(l.minutes, minute)
	*l.found += len(due)
	if len(l.due) < sweepLot {
		return nil
	}
	return w.finish(ctx, l)
}

// finish does the lot, and looks whether anything is left at its minutes.
func (w *Worker) finish(ctx context.Context, l *lot) error {
	errs := []error{w.do(ctx, l.due), w.Store.FlushEvents(ctx)}
	for _, minute := range l.minutes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err := w.Store.Pass(ctx, minute)
		errs = append(errs, err)
	}
	*l = lot{found: l.found}
	return errors.Join(errs...)
}

// do does what is due, soonest expiry first, each kind beside the others.
func (w *Worker) do(ctx context.Context, due []store.Due) error {
	slices.SortStableFunc(due, func(a, b store.Due) int { return cmp.Compare(a.Expiry, b.Expiry) })
	kinds := map[string][]store.Due{}
	for _, d := range due {
		kinds[d.Kind] = append(kinds[d.Kind], d)
	}
	names := slices.Sorted(maps.Keys(kinds))
	return inParallel(ctx, len(names), len(names), func(i int) error {
		work, ok := w.Works[names[i]]
		if !ok {
			return fmt.Errorf("due work of an unknown kind %q, %d pieces", names[i], len(kinds[names[i]]))
		}
		return work(ctx, kinds[names[i]])
	})
}

// inParallel calls do with each number below n, in order and limit at once, and
// returns their errors. A panic is one: nobody else would catch it, and it
// would take every mount of the process along.
func inParallel(ctx context.Context, limit, n int, do func(i int) error) error {
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
