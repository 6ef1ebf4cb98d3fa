package backend_test

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A world is an engine that is driven through months, the Facebook that it
// keeps credentials at, and what truly became of each. All chance in it comes
// from one seed and is drawn between the sweeps, so that a seed gives the same
// run again; in which order the engine's goroutines run within a sweep it
// does not say.
type world struct {
	*enginetest.Engine
	seed uint64
	rand *rand.Rand
	// skew is by how much the engine's clock is ahead of e.clock, which is
	// Facebook's and the truth.
	skew atomic.Int64
	life *life // of the engine that runs
	late []*http.Request

	kept []*kept
	// gone are the last tokens of what was deleted, by ref.
	gone map[string]string
	// uninstall are the tenants that an operator wants gone.
	uninstall []string
	until     map[trouble]time.Time // troubles, and when each is over
	mends     map[trouble]func()

	budget budget
	begun  time.Time
	wrongs int
}

// sweepEvery is how often the engine is swept. Vault does it each minute; an
// hour makes 200 days short, and every bound below counts in it.
const sweepEvery = time.Hour

// newWorld returns a world without credentials.
func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		Engine: enginetest.New(t, authpipetest.Options{LogLimit: 1000}), seed: seed, rand: rand.New(rand.NewPCG(seed, 0)),
		until: map[trouble]time.Time{}, mends: map[trouble]func(){}, gone: map[string]string{},
	}
	w.begun = w.Clock.Now()
	w.start()
	// The person's browser is not what is on trial here.
	w.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
	return w
}

// now is what the engine takes the time to be.
func (w *world) now() time.Time { return w.Clock.Now().Add(time.Duration(w.skew.Load())) }

// start makes an engine over what the last one left behind. That one's calls
// under way reach Facebook only now.
func (w *world) start() {
	w.T.Helper()
	w.Storage.Reset()
	w.life = &life{w: w}
	b, err := backend.New(context.Background(), &logical.BackendConfig{
		StorageView: mortal{w.Storage, w.life}, System: enginetest.SystemView(), Logger: hclog.NewNullLogger(),
	}, backend.Options{Now: w.now, Transport: wire{w.life}, CallsPerSecond: 1_000_000})
	if err != nil {
		w.T.Fatalf("making the engine: %v", err)
	}
	w.Backend = b
	for _, r := range w.late {
		if resp, err := w.Facebook.Transport().RoundTrip(r); err == nil {
			resp.Body.Close()
		}
	}
	w.late = nil
}

// A life is that of one process, which ends in the middle of things: nothing
// is cleaned up, and nothing that it would still do is done.
type life struct {
	w    *world
	dead atomic.Bool
	// ops and calls are how many storage operations and provider calls are left
	// to it. Zero: it is not to die of them.
	ops, calls atomic.Int64
	// carried says that what it dies of takes effect all the same; late, that it
	// does so only when the next process runs.
	carried, late bool
	mu            sync.Mutex // guards w.late
}

var errKilled = errors.New("the process was killed")

// last counts one of what is left, and reports whether it was the last.
func (l *life) last(left *atomic.Int64) bool {
	if left.Load() <= 0 || left.Add(-1) != 0 {
		return false
	}
	l.dead.Store(true)
	return true
}

// mortal is the storage as one process sees it.
type mortal struct {
	*enginetest.Storage
	life *life
}

func (m mortal) do(take func() error) error {
	if m.life.dead.Load() {
		return errKilled
	}
	last := m.life.last(&m.life.ops)
	if last && !m.life.carried {
		return errKilled
	}
	if err := take(); err != nil || !last {
		return err
	}
	return errKilled
}

// Get implements [logical.Storage], as do the others.
func (m mortal) Get(ctx context.Context, key string) (e *logical.StorageEntry, err error) {
	err = m.do(func() error { e, err = m.Storage.Get(ctx, key); return err })
	return e, err
}

func (m mortal) Put(ctx context.Context, e *logical.StorageEntry) error {
	return m.do(func() error { return m.Storage.Put(ctx, e) })
}

func (m mortal) Delete(ctx context.Context, key string) error {
	return m.do(func() error { return m.Storage.Delete(ctx, key) })
}

func (m mortal) List(ctx context.Context, prefix string) (names []string, err error) {
	err = m.do(func() error { names, err = m.Storage.List(ctx, prefix); return err })
	return names, err
}

// wire is Facebook as one process sees it.
type wire struct{ life *life }

// RoundTrip implements [http.RoundTripper].
func (t wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.life.dead.Load() {
		return nil, errKilled
	}
	if !t.life.last(&t.life.calls) {
		return enginetest.Unhurried{RoundTripper: t.life.w.Facebook.Transport()}.RoundTrip(r)
	}
	// It was sent: it takes effect, whether anybody hears the answer or not.
	sent := r.Clone(context.Background())
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		sent.Body = io.NopCloser(bytes.NewReader(body))
	}
	if t.life.late {
		t.life.mu.Lock()
		defer t.life.mu.Unlock()
		t.life.w.late = append(t.life.w.late, sent)
		return nil, errKilled
	}
	if resp, err := (enginetest.Unhurried{RoundTripper: t.life.w.Facebook.Transport()}).RoundTrip(sent); err == nil {
		resp.Body.Close()
	}
	return nil, errKilled
}

// doom has the process die at one of the next storage operations or calls.
func (w *world) doom() {
	w.life.carried, w.life.late = w.rand.IntN(2) == 0, w.rand.IntN(2) == 0
	if w.rand.IntN(2) == 0 {
		w.life.calls.Store(1 + w.rand.Int64N(20))
	} else {
		w.life.ops.Store(1 + w.rand.Int64N(200))
	}
}

// failStorage has each operation fail with probability p. Which ones is a
// matter of the key and how often it came, not of the order of the goroutines.
func (w *world) failStorage(p float64) {
	var mu sync.Mutex
	came := map[storagetest.Operation]int{}
	salt := w.rand.Uint64()
	w.Storage.Fail(func(_ int, op storagetest.Operation) error {
		mu.Lock()
		came[op]++
		n := came[op]
		mu.Unlock()
		h := fnv.New64a()
		h.Write([]byte(strconv.Itoa(n) + op.Verb + op.Key))
		if rand.New(rand.NewPCG(salt, h.Sum64())).Float64() < p {
			return storagetest.ErrStorage
		}
		return nil
	})
}
