package refresh

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// hear learns from how a call for the subject went, and returns err. If that is
// a limit, it has the time at which the gate makes the next call.
func (g *Gate) hear(ctx context.Context, s Subject, d *door, err error) error {
	var e *provider.Error
	switch {
	case g.Life.Err() != nil:
		return err // what was given up with the mount says nothing of the provider
	case err != nil && !errors.As(err, &e):
		return err // storage's, or the caller's
	case err == nil:
		d.accountAnswered(s.Account, g.Now())
		g.answered(ctx, s.Provider, d)
	case errors.Is(e, provider.ErrPending), errors.Is(e, provider.ErrSlowDown):
		g.answered(ctx, s.Provider, d)
	case e.Class == provider.Throttled:
		return g.limited(ctx, s, d, e)
	case e.Class == provider.Misconfigured:
		g.suspect(ctx, s.Provider, d)
	case e.Class == provider.Transient && e.Uncertain && e.Owner() == provider.ConcernsRequest:
		if d.unknown() {
			g.suspect(ctx, s.Provider, d)
		}
	case e.Class == provider.Transient && e.Owner() == provider.ConcernsApp:
		if g.strike(d, e) {
			g.suspect(ctx, s.Provider, d)
		}
	default:
		// An error that the provider tells apart says that it works.
		g.answered(ctx, s.Provider, d)
	}
	return err
}

// limited pauses whom a limit concerns. An account's limit pauses no other.
func (g *Gate) limited(ctx context.Context, s Subject, d *door, e *provider.Error) error {
	limit := *e
	switch {
	case e.Owner() == provider.ConcernsApp:
		limit.Until = g.pause(ctx, s.Provider, d, e)
	case cmp.Or(s.Account, e.Account) != "":
		limit.Until = d.pauseAccount(cmp.Or(s.Account, e.Account), e, g.Now().UTC())
		g.answered(ctx, s.Provider, d)
	case e.Until.IsZero():
		limit.Until = g.Now().UTC().Add(shortestPause)
	}
	return &limit
}

// strike counts a call that failed, and reports whether it is time to suspect
// the provider. From the first on, the provider's health says so.
func (g *Gate) strike(d *door, e *provider.Error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := g.Now().UTC()
	d.strikes++
	since := now
	if d.suspicion != nil {
		since = d.suspicion.Since
	}
	d.suspicion = &store.Outage{Cause: *failure(e, now), Since: since}
	return d.strikes%strikesOut == 0
}

// unknown counts an error that no rule knows, and reports whether it is time to
// suspect the provider: it may be what every call is answered.
func (d *door) unknown() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unknowns++
	return d.unknowns%strikesOut == 0
}

// trust forgets the failures. It is called with the lock held.
func (d *door) trust() { d.strikes, d.unknowns, d.suspicion = 0, 0, nil }

// answered takes in that the provider works. A pause that is not over stays:
// the call may have begun before it.
func (g *Gate) answered(ctx context.Context, name string, d *door) {
	d.mu.Lock()
	d.trust()
	over := d.outage != nil && d.over(g.Now())
	d.mu.Unlock()
	if over {
		g.open(ctx, name, d)
	}
}

// pause shuts the gate until the time that the provider said, and returns the
// time at which it opens.
func (g *Gate) pause(ctx context.Context, name string, d *door, e *provider.Error) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := g.Now().UTC()
	until := e.Until
	if until.IsZero() {
		if d.outage == nil || d.over(now) || d.pauses == 0 {
			d.pauses++ // of those who are told at the same time the first counts
		}
		until = now.Add(min(shortestPause<<min(d.pauses-1, 10), longestPause))
	}
	until = now.Add(min(max(until.Sub(now), time.Minute), longestOutage))
	if d.outage != nil && d.outage.Cause.Class == string(provider.Throttled) && !d.over(now) && !d.outage.Until.Add(time.Minute).Before(until) {
		return d.outage.Until
	}
	g.shut(ctx, name, d, e, until)
	return until
}

// suspect probes the provider, and shuts the gate if that fails too: else it
// was what was asked about. Who suspects at the same time shares the probe. It
// has time of its own: what was asked about may have used up the caller's, who
// waits for it no longer than that lasts.
func (g *Gate) suspect(ctx context.Context, name string, d *door) {
	arrival := g.probes.DoChan(name, func() (any, error) {
		switch err, known := g.probe(name); {
		case !known || g.Life.Err() != nil:
		case err == nil:
			g.works(g.Life, name, d)
		default:
			g.fail(g.Life, name, d, err)
		}
		return nil, nil
	})
	_, _ = await(ctx, arrival)
}

// works takes in that a probe succeeded. A pause that is not over stays.
func (g *Gate) works(ctx context.Context, name string, d *door) {
	d.mu.Lock()
	d.trust()
	paused := d.outage == nil || !d.outage.Until.IsZero() && !d.over(g.Now())
	d.mu.Unlock()
	if !paused {
		g.open(ctx, name, d)
	}
}

// fail takes in that a probe failed.
func (g *Gate) fail(ctx context.Context, name string, d *door, e *provider.Error) {
	switch e.Class {
	case provider.Throttled:
		g.pause(ctx, name, d, e)
	default:
		if e.Class != provider.Transient {
			// The call concerns no token: whatever is refused, it is the client.
			refused := *e
			refused.Class, e = provider.Misconfigured, &refused
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.outage == nil || d.outage.Cause.Class != string(e.Class) {
			g.shut(ctx, name, d, e, time.Time{})
		}
	}
}

// shut shuts the gate. If that cannot be stored, the next process finds out
// for itself. It is called with the door's lock held.
func (g *Gate) shut(ctx context.Context, name string, d *door, e *provider.Error, until time.Time) {
	now := g.Now().UTC()
	since := now
	switch {
	case d.outage != nil && d.outage.Cause.Class == string(e.Class):
		since = d.outage.Since
	case d.suspicion != nil && e.Class == provider.Transient:
		since = d.suspicion.Since // the first of the failures that led to this
	}
	longer := d.outage != nil && d.outage.Cause.Class == string(e.Class) && !d.over(now)
	d.outage = &store.Outage{Cause: *failure(e, now), Since: since, Until: until}
	if !longer {
		g.note(name, shutEvents[e.Class], e.Message)
	}
	fields := []any{"provider", name, "class", e.Class, "since", since.Format(time.RFC3339), "error", e}
	if !until.IsZero() {
		fields = append(fields, "until", until.Format(time.RFC3339))
	}
	g.Log.Warn("provider is left alone", fields...)
	if err := g.Store.PutOutage(context.WithoutCancel(ctx), name, d.outage); err != nil {
		g.Log.Warn("that the provider is left alone could not be stored", "provider", name, "error", err)
	}
}

// shutEvents tell why the gate was shut.
var shutEvents = map[provider.Class]store.EventType{
	provider.Throttled:     store.ProviderThrottled,
	provider.Misconfigured: store.ProviderMisconfigured,
	provider.Transient:     store.ProviderUnavailable,
}

func (g *Gate) note(name string, t store.EventType, reason string) {
	g.Store.Note(store.Event{At: g.Now().UTC(), Type: t, Ref: name, Reason: reason})
}

// open opens the gate.
func (g *Gate) open(ctx context.Context, name string, d *door) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trust()
	d.pauses = 0
	if d.outage == nil {
		return
	}
	g.note(name, store.ProviderRecovered, "")
	g.Log.Info("provider answers again", "provider", name, "class", d.outage.Cause.Class, "since", d.outage.Since.Format(time.RFC3339), "until", g.Now().UTC().Format(time.RFC3339), "lasted", g.Now().Sub(d.outage.Since).String())
	d.outage = nil
	if err := g.Store.PutOutage(context.WithoutCancel(ctx), name, nil); err != nil {
		g.Log.Warn("that the provider answers again could not be stored", "provider", name, "error", err)
	}
}

// probe asks the provider whether it works for the client. known is false if
// that could not be found out. A provider that cannot be asked is taken to.
func (g *Gate) probe(name string) (e *provider.Error, known bool) {
	defer func() {
		if p := recover(); p != nil {
			g.Log.Error("panic while probing the provider", "provider", name, "panic", p, "stack", string(debug.Stack()))
			e, known = &provider.Error{Class: provider.Transient, Op: "probing the provider", Message: "internal error"}, true
		}
	}()
	p, ok := g.Providers[name].(provider.Prober)
	if !ok {
		return nil, true
	}
	calls, cancel := provider.Within(g.Life)
	defer cancel()
	config, err := g.Store.Config(calls, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, true
	}
	if err != nil {
		return nil, false // nobody is refused, or let through, for what storage fails to tell
	}
	began := g.Now()
	err = p.Probe(calls, config.Client())
	g.Called(name, "probe", err, g.Now().Sub(began))
	errors.As(err, &e)
	return e, true
}

// Tick asks each provider that was found not to work whether it does again,
// the ones too that were when the engine was last at work, and each that is
// suspected.
func (g *Gate) Tick(ctx context.Context) {
	for name := range g.Providers {
		d, err := g.door(ctx, name)
		if err != nil {
			continue
		}
		switch err := d.shut(g.Now()); {
		case err == nil && d.suspected(g.Now()):
			g.probeSuspected(name, d)
		case err != nil && provider.ClassOf(err) != provider.Throttled:
			g.suspect(provider.WithBudget(ctx), name, d)
		}
	}
}

// suspected reports whether the last call failed, a tick or more ago.
func (d *door) suspected(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.suspicion != nil && now.Sub(d.suspicion.Cause.At) >= time.Minute
}

// probeSuspected finds out whether a provider works whose last call failed. A
// probe that fails counts as one more failure.
func (g *Gate) probeSuspected(name string, d *door) {
	switch err, known := g.probe(name); {
	case !known || g.Life.Err() != nil:
	case err == nil:
		g.works(g.Life, name, d)
	case err.Class != provider.Transient || g.strike(d, err):
		g.fail(g.Life, name, d, err)
	}
}

// Reopen opens the gate before a provider whose configuration was changed: it
// has not been asked with that yet. A pause that it asked for is kept. Of a
// client that has two secrets it is asked which one it accepts, for the proofs
// that are served from now on.
func (g *Gate) Reopen(ctx context.Context, name string) {
	d, err := g.door(ctx, name)
	if err != nil {
		return
	}
	if err := d.shut(g.Now()); provider.ClassOf(err) == provider.Throttled && err != nil {
		return
	}
	g.open(ctx, name, d)
	if config, err := g.Store.Config(ctx, name); err == nil && !config.FormerSecret.IsZero() {
		g.suspect(ctx, name, d)
	}
}
