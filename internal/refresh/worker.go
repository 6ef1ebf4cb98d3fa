package refresh

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Work does one kind of due work. The entry that led to it is then gone: done,
// moved or outdated. One that stays is met again by each sweep, which costs a
// storage call for its minute and keeps nothing else from being done.
type Work func(context.Context, store.Due) error

// A Worker does what is due, in a goroutine of its own. It costs nothing
// between pokes, and one storage call a poke if nothing is due.
type Worker struct {
	store *store.Store
	works map[string]Work
	log   hclog.Logger
	life  context.Context
	poke  chan struct{}
	done  sync.WaitGroup
}

// parallel is how many pieces of due work are done at once.
const parallel = 8

// NewWorker returns a Worker that knows works, by the kinds of the due index.
// It ends with life.
func NewWorker(life context.Context, s *store.Store, works map[string]Work, log hclog.Logger) *Worker {
	return &Worker{store: s, works: works, log: log, life: life, poke: make(chan struct{}, 1)}
}

// Start starts the goroutine.
func (w *Worker) Start() {
	w.done.Go(func() {
		for {
			select {
			case <-w.life.Done():
				return
			case <-w.poke:
				if err := w.guarded(); err != nil && w.life.Err() == nil {
					w.log.Error("sweeping what is due", "error", err)
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
			w.log.Error("panic in the sweep", "panic", p, "stack", string(debug.Stack()))
			err = errors.New("internal error")
		}
	}()
	return w.Sweep(w.life)
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
	stuck, first, last, err := w.store.DueMinutes(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, minute := range stuck {
		errs = append(errs, w.minute(ctx, minute))
	}
	for minute := first; minute <= last && w.store.Begun(minute) && ctx.Err() == nil; minute++ {
		errs = append(errs, w.minute(ctx, minute))
	}
	return errors.Join(errs...)
}

// minute does what is due at one minute.
func (w *Worker) minute(ctx context.Context, minute int64) error {
	due, err := w.store.Pass(ctx, minute, false)
	if err != nil || len(due) == 0 {
		return err
	}
	err = w.do(ctx, due)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, passErr := w.store.Pass(ctx, minute, true)
	return errors.Join(err, passErr)
}

func (w *Worker) do(ctx context.Context, due []store.Due) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	errs := make([]error, len(due))
	for i, d := range due {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			errs[i] = w.one(ctx, d)
			return nil
		})
	}
	group.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

func (w *Worker) one(ctx context.Context, d store.Due) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("panic in due work", "kind", d.Kind, "id", d.ID, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s %s: internal error", d.Kind, d.ID)
		}
	}()
	work, ok := w.works[d.Kind]
	if !ok {
		return fmt.Errorf("%s %s: due work of an unknown kind", d.Kind, d.ID)
	}
	return work(ctx, d)
}

// failingLong is for how long a refresh may fail for reasons that are not
// understood before the provider is asked whether the token lives at all.
const failingLong = 24 * time.Hour

// Keep is the due work at a credential: it refreshes or checks it, whatever is
// due. How that went is in the credential; the error is one of storage.
func (r *Refresher) Keep(ctx context.Context, due store.Due) error {
	if dropped, err := r.Store.DropOutdated(ctx, due); dropped || err != nil {
		return err
	}
	ref, err := tenant.ParseFlat(due.ID)
	if err != nil {
		return err
	}
	if ref.Kind() == tenant.Page {
		if _, err := r.Store.Credential(ctx, ref.Above()); errors.Is(err, store.ErrNotFound) {
			return r.dropPage(ctx, ref.Above(), ref.Page)
		}
	}
	c, err := r.Store.Credential(ctx, ref)
	if err != nil {
		return err
	}
	if !c.NextRefresh.IsZero() && !r.Now().Before(c.NextRefresh) {
		_, err = r.Refresh(ctx, ref)
		if err != nil && !c.FailingSince.IsZero() && r.Now().Sub(c.FailingSince) >= failingLong {
			// Nobody knows what the refusals mean: ask about the token itself.
			_, err = r.Check(ctx, ref)
		}
	} else {
		_, err = r.Check(ctx, ref)
	}
	if _, dropErr := r.Store.DropOutdated(ctx, due); dropErr != nil {
		return dropErr
	}
	if oauth.CodeOf(err) != "" {
		return nil
	}
	return err
}
