package refresh

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

// A Gate stands between the engine and its providers. It is shut while one
// must be left alone:
//
//	throttled       it said so. Until the time that it said.
//	misconfigured   it refuses the client, whatever it is asked.
//	transient       it cannot be reached, or fails, whatever it is asked.
//
// Who asks meanwhile is answered from memory, and no credential is blamed. The
// latter two are found out by a probe, and a probe at each tick finds out when
// they are over.
//
// A limit of one account, page or business pauses the calls for that account
// alone. Such pauses are kept in memory: after a restart each costs one call.
//
// Make one with [NewGate]. It is safe for concurrent use.
type Gate struct {
	GateOptions
	probes singleflight.Group

	mu    sync.Mutex
	doors map[string]*door
}

// GateOptions are what a Gate needs.
type GateOptions struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	Now       func() time.Time
	Log       hclog.Logger
	// Writable reports whether this node may write. Where it may not, another one
	// opens and shuts the gate.
	Writable func() bool
	// Life ends when the mount does. Calls that end with it tell nothing.
	Life context.Context
	// Called is told of each call that was made: of whom, what for, how it went and
	// how long it took. Nil: nobody is.
	Called func(provider, operation string, err error, took time.Duration)
}

// A door is the gate before one provider.
type door struct {
	mu     sync.Mutex
	loaded bool
	// standby says that it was loaded while this node might not write.
	standby bool
	// outage is why it is shut. One whose time is over is kept until a call shows
	// that it is.
	outage *store.Outage
	// strikes counts the calls in a row to which there was no answer worth the
	// name, unknowns those whose answer was an error that no rule knows, pauses the
	// throttlings in a row that named no time.
	strikes, unknowns, pauses int
	// suspicion tells of the first and the last of the strikes. Its Until is zero.
	// Nil: there are none.
	suspicion *store.Outage
	// accounts are the limits of accounts that were met, by account.
	accounts map[string]*accountPause
}

const (
	// strikesOut is how many calls in a row must fail before the provider is
	// suspected, and not what was asked about.
	strikesOut = 5
	// shortestPause and longestPause bound a pause of which the provider does
	// not say how long it is. Facebook counts by the hour.
	shortestPause, longestPause = 5 * time.Minute, time.Hour
	// longestOutage is for how long, at most, a provider's word is taken.
	longestOutage = 24 * time.Hour
)

// NewGate returns a Gate.
func NewGate(o GateOptions) *Gate {
	if o.Called == nil {
		o.Called = func(string, string, error, time.Duration) {}
	}
	return &Gate{GateOptions: o, doors: map[string]*door{}}
}

// Ask makes calls to the provider that is called name, unless it is being left
// alone: then the error wraps [provider.ErrShut] and says why. It returns
// call's error, and learns from it. The error of a limit has the time at which
// Ask will call again. Operation says in a word what they are for.
func (g *Gate) Ask(ctx context.Context, name, operation string, call func() error) error {
	return g.AskFor(ctx, Subject{name, ""}, operation, call)
}

// A Subject is an account at a provider: of a person, a system user or a page.
// Account is its id there, or "" for calls that no account's token authorizes.
type Subject struct{ Provider, Account string }

// AskFor is Ask for calls with a token of the subject's account. It makes none
// while a limit of that account lasts, either.
func (g *Gate) AskFor(ctx context.Context, s Subject, operation string, call func() error) error {
	d, err := g.door(ctx, s.Provider)
	if err != nil {
		return err
	}
	if err := d.shutFor(s.Account, g.Now()); err != nil {
		return err
	}
	began := g.Now()
	err = call()
	g.Called(s.Provider, operation, err, g.Now().Sub(began))
	return g.hear(ctx, s, d, err)
}

// Shut returns the error that AskFor would return without asking, or nil.
func (g *Gate) Shut(ctx context.Context, s Subject) error {
	d, err := g.door(ctx, s.Provider)
	if err != nil {
		return err
	}
	return d.shutFor(s.Account, g.Now())
}

// Outage returns why no calls are made for the subject, or nil.
func (g *Gate) Outage(ctx context.Context, s Subject) (*store.Outage, error) {
	d, err := g.door(ctx, s.Provider)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := g.Now(); d.outage == nil || d.over(now) {
		return d.accountOutage(s.Account, now), nil
	}
	return d.outage, nil
}

// A Health is the state of a provider.
type Health struct {
	State State
	// Outage says since when the state lasts, until when, and what the provider
	// answered last. Nil if State is [StateOK].
	Outage *store.Outage
	// ThrottledAccounts is how many accounts are paused by a limit of their own.
	ThrottledAccounts int
}

// Health returns the state of the provider that is called name.
func (g *Gate) Health(ctx context.Context, name string) (Health, error) {
	d, err := g.door(ctx, name)
	if err != nil {
		return Health{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := g.Now()
	h := Health{State: StateOK, ThrottledAccounts: d.throttledAccounts(now)}
	switch {
	case d.outage != nil && !d.over(now):
		h.State, h.Outage = stateOf(d.outage), d.outage
	case d.suspicion != nil:
		h.State, h.Outage = StateSuspected, d.suspicion
	}
	return h, nil
}

// A State is how a provider is.
type State string

// The states that a provider can be in. It is suspected from the first call on
// that fails for its own reasons.
const (
	StateOK            State = "ok"
	StateSuspected     State = "suspected"
	StateThrottled     State = "throttled"
	StateMisconfigured State = "misconfigured"
	StateUnavailable   State = "unavailable"
)

// States are all of them.
var States = []State{StateOK, StateSuspected, StateThrottled, StateMisconfigured, StateUnavailable}

// stateOf returns the state of a provider that is left alone for o.
func stateOf(o *store.Outage) State {
	switch {
	case o.Cause.Class == string(provider.Throttled):
		return StateThrottled
	case o.Cause.Class == string(provider.Misconfigured):
		return StateMisconfigured
	}
	return StateUnavailable
}

// Witness returns what remembers the last answer of the provider, or nil.
func (g *Gate) Witness(name string) provider.Witness {
	w, _ := g.Providers[name].(provider.Witness)
	return w
}

// door returns the gate before the provider, as it was when the engine was
// last at work.
func (g *Gate) door(ctx context.Context, name string) (*door, error) {
	g.mu.Lock()
	d := g.doors[name]
	if d == nil {
		d = &door{}
		g.doors[name] = d
	}
	g.mu.Unlock()
	standby := !g.Writable()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loaded && !standby && !d.standby {
		return d, nil
	}
	outage, err := g.Store.Outage(ctx, name)
	if errors.Is(err, store.ErrCorrupt) {
		outage, err = nil, nil // whether the provider works, it tells itself
	}
	d.outage, d.loaded, d.standby = outage, err == nil, standby
	return d, err
}

// Forget is called when another node has written why the provider is left
// alone.
func (g *Gate) Forget(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.doors, name)
}

// shut returns why the provider must not be asked now, or nil.
func (d *door) shut(now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.outage == nil || d.over(now) {
		return nil
	}
	return leftAlone("it", d.outage)
}

// leftAlone is the error of calls that are not made because of o.
func leftAlone(what string, o *store.Outage) error {
	cause := o.Cause
	return &provider.Error{
		Class: provider.Class(cause.Class), Op: "asking the provider",
		Concerns: provider.Concern(cause.Concerns), Remedy: provider.Remedy(cause.Remedy),
		Code: cause.Code, Subcode: cause.Subcode, TraceID: cause.TraceID,
		Message: fmt.Sprintf("%s is left alone since %s, when the provider answered: %s", what, o.Since.Format(time.RFC3339), cause.Message),
		Until:   o.Until, Err: provider.ErrShut,
	}
}

// over reports whether the outage was for a time that is over. One that would
// last longer than any is that of a clock that was set back since.
func (d *door) over(now time.Time) bool {
	left := d.outage.Until.Sub(now)
	return !d.outage.Until.IsZero() && (left <= 0 || left > longestOutage)
}
