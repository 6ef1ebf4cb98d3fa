// Package breaker is the circuit breaker between the engine and its providers: it
// makes no calls to a provider that fails, or that has limited their rate.
package breaker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/singleflight"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// A Breaker has a circuit for each provider. A circuit is open, and no calls are made,
// while the provider is in one of these states:
//
//	throttled       It has answered with a rate limit: until the time that it named.
//	misconfigured   It refuses the client, whatever the call.
//	transient       It cannot be reached, or fails, whatever the call.
//
// While a circuit is open, callers get the cached error, and no credential is marked
// as failing. The latter two states are confirmed by a probe before the circuit opens,
// and a probe at each tick closes it.
//
// A rate limit of one account, page or business pauses the calls for that account
// alone. Such pauses are in memory only: after a restart each costs one call.
//
// Make one with [New]. It is safe for concurrent use.
type Breaker struct {
	Options
	probes singleflight.Group

	mu       sync.Mutex
	circuits map[string]*circuit
}

// Options are what a Breaker needs.
type Options struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	Now       func() time.Time
	Log       hclog.Logger
	// Writable reports whether this node may write. Where it may not, the active node
	// opens and closes the circuits.
	Writable func() bool
	// Context ends when the mount shuts down. The results of calls that end with it
	// are ignored.
	Context context.Context
	// Called is called after each call, with its provider, operation, result and
	// duration. Nil: no function is called.
	Called func(provider, operation string, err error, took time.Duration)
}

// A circuit is the breaker's state for one provider.
type circuit struct {
	mu     sync.Mutex
	loaded bool
	// standby says that it was loaded while this node was not allowed to write.
	standby bool
	// outage is why the circuit is open. An outage whose time is over stays until a call
	// succeeds.
	outage *store.Outage
	// failures counts the consecutive calls that failed for the provider's own reasons,
	// unknown those that were answered with an error that no rule knows, and pauses
	// the consecutive rate limits that named no time.
	failures, unknown, pauses int
	// suspicion has the times of the first and the last of the failures. Its Until is
	// zero. Nil: there are none.
	suspicion *store.Outage
	// accounts are the rate limits of single accounts, by account.
	accounts map[string]*accountPause
}

const (
	// failureThreshold is how many consecutive calls must fail before a probe decides
	// whether the circuit opens.
	failureThreshold = 5
	// ShortestPause and longestPause bound a pause whose length the provider does not
	// name. Many count by the hour.
	ShortestPause, longestPause = 5 * time.Minute, time.Hour
	// longestOutage bounds a pause whose length the provider names.
	longestOutage = 24 * time.Hour
)

// New returns a Breaker.
func New(o Options) *Breaker {
	if o.Called == nil {
		o.Called = func(string, string, error, time.Duration) {}
	}
	return &Breaker{Options: o, circuits: map[string]*circuit{}}
}

// Call calls the provider that is called name with call, unless its circuit is open:
// then it returns the cached error, which wraps [provider.ErrCircuitOpen]. It records
// and returns call's error. The error of a rate limit has the time at which Call will
// call again. Operation names the call in metrics: "refresh".
func (b *Breaker) Call(ctx context.Context, name, operation string, call func() error) error {
	return b.CallFor(ctx, Subject{name, ""}, operation, call)
}

// A Subject is an account at a provider: of a person, a system user or a page.
// Account is its id there, or "" for calls that no account's token authorizes.
type Subject struct{ Provider, Account string }

// CallFor is Call for calls with a token of the subject's account. It makes no call
// during a pause of that account, either.
func (b *Breaker) CallFor(ctx context.Context, s Subject, operation string, call func() error) error {
	c, err := b.circuit(ctx, s.Provider)
	if err != nil {
		return err
	}
	if err := c.errorFor(s.Account, b.Now()); err != nil {
		return err
	}
	began := b.Now()
	err = call()
	b.Called(s.Provider, operation, err, b.Now().Sub(began))
	return b.record(ctx, s, c, err)
}

// Open returns the error that CallFor would return without a call, or nil.
func (b *Breaker) Open(ctx context.Context, s Subject) error {
	c, err := b.circuit(ctx, s.Provider)
	if err != nil {
		return err
	}
	return c.errorFor(s.Account, b.Now())
}

// Outage returns why CallFor makes no calls for the subject, or nil.
func (b *Breaker) Outage(ctx context.Context, s Subject) (*store.Outage, error) {
	c, err := b.circuit(ctx, s.Provider)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := b.Now(); c.outage == nil || c.over(now) {
		return c.accountOutage(s.Account, now), nil
	}
	return c.outage, nil
}

// A Health is the state of a provider.
type Health struct {
	State State
	// Outage has the state's beginning and end, and the provider's last answer. Nil if
	// State is [StateOK].
	Outage *store.Outage
	// ThrottledAccounts is how many accounts are paused by a rate limit of their own.
	ThrottledAccounts int
}

// Health returns the state of the provider that is called name.
func (b *Breaker) Health(ctx context.Context, name string) (Health, error) {
	c, err := b.circuit(ctx, name)
	if err != nil {
		return Health{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := b.Now()
	h := Health{State: StateOK, ThrottledAccounts: c.throttledAccounts(now)}
	switch {
	case c.outage != nil && !c.over(now):
		h.State, h.Outage = stateOf(c.outage), c.outage
	case c.suspicion != nil:
		h.State, h.Outage = StateSuspected, c.suspicion
	}
	return h, nil
}

// A State is the state of a provider, as health has it.
type State string

// The states of a provider. It is suspected from the first call that fails for the
// provider's own reasons.
const (
	StateOK            State = "ok"
	StateSuspected     State = "suspected"
	StateThrottled     State = "throttled"
	StateMisconfigured State = "misconfigured"
	StateUnavailable   State = "unavailable"
)

// States has all states.
var States = []State{StateOK, StateSuspected, StateThrottled, StateMisconfigured, StateUnavailable}

func stateOf(o *store.Outage) State {
	switch {
	case o.Cause.Class == string(provider.Throttled):
		return StateThrottled
	case o.Cause.Class == string(provider.Misconfigured):
		return StateMisconfigured
	}
	return StateUnavailable
}

// Client returns the provider that is called name, and its configuration. Its errors, but
// those of storage, are of class [provider.Misconfigured].
func (b *Breaker) Client(ctx context.Context, name string) (provider.Provider, store.Config, error) {
	p, ok := b.Providers[name]
	if !ok {
		return nil, store.Config{}, &provider.Error{Class: provider.Misconfigured, Op: "finding the provider", Message: "there is no provider " + name}
	}
	c, err := b.Store.Mount.Config(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, store.Config{}, &provider.Error{Class: provider.Misconfigured, Op: "finding the client", Message: "config/" + name + " is missing"}
	}
	return p, c, err
}

// circuit returns the provider's circuit, as the active node has stored it.
func (b *Breaker) circuit(ctx context.Context, name string) (*circuit, error) {
	b.mu.Lock()
	c := b.circuits[name]
	if c == nil {
		c = &circuit{}
		b.circuits[name] = c
	}
	b.mu.Unlock()
	standby := !b.Writable()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded && !standby && !c.standby {
		return c, nil
	}
	outage, err := b.Store.Mount.Outage(ctx, name)
	if errors.Is(err, store.ErrCorrupt) {
		outage, err = nil, nil // the next calls show whether the provider works
	}
	c.outage, c.loaded, c.standby = outage, err == nil, standby
	return c, err
}

// Invalidate drops what this node remembers of the provider's circuit, after another
// node has stored it.
func (b *Breaker) Invalidate(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.circuits, name)
}

// error returns the cached error if the circuit is open, or nil.
func (c *circuit) error(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outage == nil || c.over(now) {
		return nil
	}
	return cachedError("calls to it", c.outage)
}

// errorFor returns the cached error if no calls are made for the account, or nil.
func (c *circuit) errorFor(account string, now time.Time) error {
	if err := c.error(now); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.accountOutage(account, now); o != nil {
		return cachedError("calls for this account", o)
	}
	return nil
}

// cachedError returns the error of what, calls that are not made because of o.
func cachedError(what string, o *store.Outage) error {
	cause := o.Cause
	return &provider.Error{
		Class: provider.Class(cause.Class), Op: "calling the provider",
		Concerns: provider.Concern(cause.Concerns), Remedy: provider.Remedy(cause.Remedy),
		Code: cause.Code, Subcode: cause.Subcode, TraceID: cause.TraceID,
		Message: fmt.Sprintf("%s are paused since %s, when it answered: %s", what, o.Since.Format(time.RFC3339), cause.Message),
		Until:   o.Until, Err: provider.ErrCircuitOpen,
	}
}

// over reports whether the outage had an end, which has passed. One that would last
// longer than any was stored before the clock was set back.
func (c *circuit) over(now time.Time) bool {
	left := c.outage.Until.Sub(now)
	return !c.outage.Until.IsZero() && (left <= 0 || left > longestOutage)
}

// Failure returns cause as it is stored, with the time at which it happened.
func Failure(cause error, at time.Time) *store.Failure {
	f := &store.Failure{Class: string(provider.ClassOf(cause)), Message: "internal error", At: at}
	var e *provider.Error
	if errors.As(cause, &e) {
		f.Concerns, f.Remedy = string(e.Owner()), string(e.Help())
		f.Code, f.Subcode, f.TraceID = e.Code, e.Subcode, e.TraceID
		f.Message = e.Op + ": " + e.Message
	}
	return f
}
