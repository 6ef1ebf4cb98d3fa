package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

var (
	start = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	app   = breaker.Subject{Provider: "facebook"}
	ada   = breaker.Subject{Provider: "facebook", Account: "ada"}
	bob   = breaker.Subject{Provider: "facebook", Account: "bob"}
)

// A server is a provider whose probe returns down.
type server struct {
	provider.Provider
	down   error
	probed int
}

func (s *server) Probe(context.Context, oauth.Client) error {
	s.probed++
	return s.down
}

type engine struct {
	*testing.T
	breaker *breaker.Breaker
	storage *storagetest.Storage
	server  *server
	clock   *authpipetest.Clock
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{T: t, server: &server{}, clock: authpipetest.NewClock(start), storage: storagetest.New()}
	e.restart()
	err := e.breaker.Store.Mount.UpdateConfig(t.Context(), "facebook", func(store.Config) (store.Config, error) {
		day := 24 * time.Hour
		return store.Config{ClientID: "123", CheckInterval: &day, ClientSecretOverlap: &day}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// restart has a new process take over the storage.
func (e *engine) restart() {
	e.breaker = breaker.New(breaker.Options{
		Store:     store.New(store.Options{Storage: e.storage, Now: e.clock.Now}),
		Providers: map[string]provider.Provider{"facebook": e.server}, Now: e.clock.Now, Log: hclog.NewNullLogger(),
		Writable: func() bool { return true }, Context: e.Context(),
	})
}

// call makes a call that ends with err, and reports whether it was made.
func (e *engine) call(s breaker.Subject, err error) (made bool) {
	_ = e.breaker.CallFor(e.Context(), s, "refresh", func() error {
		made = true
		return err
	})
	return made
}

func (e *engine) state() breaker.State {
	e.Helper()
	h, err := e.breaker.Health(e.Context(), "facebook")
	if err != nil {
		e.Fatal(err)
	}
	return h.State
}

func failure(class provider.Class) error { return &provider.Error{Class: class} }

var unreachable = &provider.Error{Class: provider.Transient, Concerns: provider.ConcernsApp}

func TestCircuitOpensAfterAFailedProbe(t *testing.T) {
	for name, row := range map[string]struct {
		err   error
		calls int
		down  error
		want  breaker.State
	}{
		"one failure":                               {unreachable, 1, unreachable, breaker.StateSuspected},
		"four failures":                             {unreachable, 4, unreachable, breaker.StateSuspected},
		"five failures":                             {unreachable, 5, unreachable, breaker.StateUnavailable},
		"five failures, and the probe succeeds":     {unreachable, 5, nil, breaker.StateOK},
		"a refused client":                          {failure(provider.Misconfigured), 1, failure(provider.Misconfigured), breaker.StateMisconfigured},
		"a refused client, and a probe that is not": {failure(provider.Misconfigured), 1, nil, breaker.StateOK},
		"a refused client, and a dead token's error for the probe": {failure(provider.Misconfigured), 1, failure(provider.NeedsReauth), breaker.StateMisconfigured},
		"five dead tokens":       {failure(provider.NeedsReauth), 5, unreachable, breaker.StateOK},
		"five unknown errors":    {&provider.Error{Class: provider.Transient, Concerns: provider.ConcernsRequest, Uncertain: true}, 5, unreachable, breaker.StateUnavailable},
		"five errors of storage": {errors.New("disk full"), 5, unreachable, breaker.StateOK},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.server.down = row.down
			for range row.calls {
				e.call(app, row.err)
			}
			if got := e.state(); got != row.want {
				t.Errorf("the provider is %s, want %s", got, row.want)
			}
		})
	}
}

func TestOpenCircuitMakesNoCallsUntilAProbeSucceeds(t *testing.T) {
	e := newEngine(t)
	e.server.down = unreachable
	for range 5 {
		e.call(app, unreachable)
	}
	e.restart()
	for range 3 {
		e.clock.Advance(time.Minute)
		e.breaker.Tick(t.Context())
		if e.call(app, nil) {
			t.Error("a call is made")
		}
		if err := e.breaker.Open(t.Context(), app); !errors.Is(err, provider.ErrCircuitOpen) {
			t.Errorf("the cached error is %v", err)
		}
	}
	e.server.down = nil
	e.breaker.Tick(t.Context())
	if !e.call(app, nil) || e.state() != breaker.StateOK {
		t.Errorf("after a probe that succeeds the provider is %s", e.state())
	}
}

func TestPauseOfARateLimitDoubles(t *testing.T) {
	e := newEngine(t)
	for _, want := range []time.Duration{5, 10, 20, 40, 60, 60} {
		e.call(app, failure(provider.Throttled))
		outage, err := e.breaker.Outage(t.Context(), app)
		if err != nil || outage == nil {
			t.Fatalf("no calls are paused, %v", err)
		}
		if got := outage.Until.Sub(e.clock.Now()); got != want*time.Minute {
			t.Errorf("they are paused for %v, want %v", got, want*time.Minute)
		}
		e.clock.Set(outage.Until)
	}
	e.call(app, nil)
	e.call(app, failure(provider.Throttled))
	if outage, err := e.breaker.Outage(t.Context(), app); err != nil || outage.Until.Sub(e.clock.Now()) != 5*time.Minute {
		t.Errorf("after a success they are paused until %v, %v", outage, err)
	}
}

func TestPauseEndsWhenTheProviderSays(t *testing.T) {
	for name, row := range map[string]struct{ named, want time.Duration }{
		"in ten minutes": {10 * time.Minute, 10 * time.Minute},
		"in a second":    {time.Second, time.Minute},
		"in a week":      {7 * 24 * time.Hour, 24 * time.Hour},
		"some hours ago": {-3 * time.Hour, time.Minute},
	} {
		e := newEngine(t)
		e.call(app, &provider.Error{Class: provider.Throttled, Until: start.Add(row.named)})
		outage, err := e.breaker.Outage(t.Context(), app)
		if err != nil || outage == nil || outage.Until.Sub(start) != row.want {
			t.Errorf("%s: calls are paused until %+v, %v", name, outage, err)
		}
	}
}

func TestRateLimitOfAnAccountPausesThatAccount(t *testing.T) {
	e := newEngine(t)
	e.call(ada, &provider.Error{Class: provider.Throttled, Concerns: provider.ConcernsAccount})
	if e.call(ada, nil) || !e.call(bob, nil) || !e.call(app, nil) || e.state() != breaker.StateOK {
		t.Error("ada's calls are made, or others are not")
	}
	e.clock.Advance(5 * time.Minute)
	if !e.call(ada, nil) {
		t.Error("ada's calls are not made after the pause")
	}
}

func TestPauseFromAClockThatWasAheadIsIgnored(t *testing.T) {
	e := newEngine(t)
	e.clock.Set(start.Add(30 * 24 * time.Hour))
	e.call(app, failure(provider.Throttled))
	e.clock.Set(start)
	if !e.call(app, nil) {
		t.Error("calls are paused for a month")
	}
}

func TestResetKeepsAPause(t *testing.T) {
	e := newEngine(t)
	e.server.down = failure(provider.Misconfigured)
	e.call(app, failure(provider.Misconfigured))
	if e.breaker.Reset(t.Context(), "facebook"); !e.call(app, nil) {
		t.Error("with another configuration no call is made")
	}
	e.call(app, failure(provider.Throttled))
	if e.breaker.Reset(t.Context(), "facebook"); e.call(app, nil) {
		t.Error("another configuration ends the pause of a rate limit")
	}
}
