package sweep_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// scheduled returns a store with sessions to be reaped at several minutes, the
// later the sooner they expire, and a clock that has passed them all.
func scheduled(t *testing.T, ids ...string) (*store.Store, *authpipetest.Clock) {
	t.Helper()
	clock := authpipetest.NewClock(noon)
	s := store.New(store.Options{Storage: storagetest.New(), Now: clock.Now})
	ref := tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: "uma"}
	for i, id := range ids {
		session := store.Session{ID: id, Ref: ref, ExpiresAt: noon.Add(24*time.Hour - time.Duration(i)*time.Hour)}
		if err := s.Sessions.Create(t.Context(), session, noon.Add(time.Duration(i+1)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(time.Hour)
	return s, clock
}

// works maps sessions to work, and what their tenant's keyring needs to its own.
func works(s *store.Store, work sweep.Work) map[string]sweep.Work {
	return map[string]sweep.Work{store.DueSession: work, store.DueNewTenant: sweep.Each(s.Removals.EndNewTenant)}
}

// TestSweepDoesSoonestExpiryFirst has a sweep find work at several minutes
// that it missed.
func TestSweepDoesSoonestExpiryFirst(t *testing.T) {
	s, clock := scheduled(t, "first", "second", "third")
	var order []string
	work := func(ctx context.Context, entries []due.Entry) error {
		for _, d := range entries {
			order = append(order, d.ID)
			if err := s.Sessions.Expire(ctx, d); err != nil {
				return err
			}
		}
		return nil
	}
	w := sweep.New(sweep.Options{
		Store: s, Before: func(context.Context) {}, Works: works(s, work), Now: clock.Now, Log: hclog.NewNullLogger(), Context: t.Context(),
	})
	if err := w.Sweep(t.Context()); err != nil || !slices.Equal(order, []string{"third", "second", "first"}) {
		t.Errorf("done in the order %v, %v", order, err)
	}
}

// TestSweepsDoNotOverlap has a sweep begin while another is at work: it waits.
func TestSweepsDoNotOverlap(t *testing.T) {
	s, clock := scheduled(t, "only")
	inside, release := make(chan struct{}, 2), make(chan struct{})
	work := func(context.Context, []due.Entry) error {
		inside <- struct{}{}
		<-release
		return nil // it is left, and found by the next sweep
	}
	var sweeping, most atomic.Int32
	before := func(context.Context) { most.Store(max(most.Load(), sweeping.Load()+1)); sweeping.Add(1) }
	w := sweep.New(sweep.Options{
		Store: s, Before: before, Works: works(s, work), Now: clock.Now, Log: hclog.NewNullLogger(), Context: t.Context(),
	})
	var sweeps sync.WaitGroup
	sweep := func() {
		if err := w.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
	}
	sweeps.Go(sweep)
	<-inside
	begun := make(chan struct{})
	sweeps.Go(func() { close(begun); sweep() })
	<-begun
	for range 1000 { // it has every chance to go on
		runtime.Gosched()
	}
	if most.Load() != 1 {
		t.Error("a second sweep has begun beside the first")
	}
	sweeping.Store(0)
	close(release)
	sweeps.Wait()
	if len(inside) != 1 {
		t.Error("the second sweep did nothing after the first")
	}
}

// TestPanicDoesNotStopOtherWork has one kind of work panic, by itself and in
// one of its pieces: the rest is done, and the next sweep is made.
func TestPanicDoesNotStopOtherWork(t *testing.T) {
	s, clock := scheduled(t, "first", "second", "third")
	var reaped atomic.Int64
	each := sweep.Each(func(ctx context.Context, d due.Entry) error {
		if d.ID == "second" {
			panic("a record with a defect")
		}
		reaped.Add(1)
		return s.Sessions.Expire(ctx, d)
	})
	var whole sweep.Work = func(context.Context, []due.Entry) error { panic("work with a defect") }
	for name, work := range map[string]sweep.Work{"as a whole": whole, "in a piece": each} {
		w := sweep.New(sweep.Options{
			Store: s, Before: func(context.Context) {}, Works: works(s, work), Now: clock.Now, Log: hclog.NewNullLogger(), Context: t.Context(),
		})
		for range 2 {
			if err := w.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "with a defect") {
				t.Errorf("%s: the sweep says %v", name, err)
			}
		}
	}
	if n := reaped.Load(); n != 2 {
		t.Errorf("%d sessions were reaped beside the one that panics", n)
	}
}
