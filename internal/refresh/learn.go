package refresh

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// hear learns from how a call went.
func (g *Gate) hear(ctx context.Context, name string, d *door, err error) {
	var e *provider.Error
	switch {
	case g.Life.Err() != nil:
		return // what was given up with the mount says nothing of the provider
	case err != nil && !errors.As(err, &e):
		return // storage's, or the caller's
	case err == nil, errors.Is(e, provider.ErrPending), errors.Is(e, provider.ErrSlowDown),
		e.Class == provider.NeedsReauth, e.Class == provider.Revoked, e.Class == provider.Permission, e.Class == provider.Caller:
		g.answered(ctx, name, d)
	case e.Class == provider.Throttled:
		g.pause(ctx, name, d, e)
	case e.Class == provider.Misconfigured, d.strike(e):
		g.suspect(ctx, name, d)
	}
}

// strike counts a call that failed, and reports whether it is time to suspect
// the provider. An error that the provider tells apart says that it works.
func (d *door) strike(e *provider.Error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.Code > 2 { // 1 and 2 are Facebook's for "unknown" and "service"
		d.strikes = 0
		return false
	}
	d.strikes++
	return d.strikes%strikesOut == 0
}

// answered takes in that the provider works. A pause that is not over stays:
// the call may have begun before it.
func (g *Gate) answered(ctx context.Context, name string, d *door) {
	d.mu.Lock()
	d.strikes = 0
	over := d.outage != nil && d.over(g.Now())
	d.mu.Unlock()
	if over {
		g.open(ctx, name, d)
	}
}

// pause shuts the gate until the time that the provider said.
func (g *Gate) pause(ctx context.Context, name string, d *door, e *provider.Error) {
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
		return
	}
	g.shut(ctx, name, d, e, until)
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
	d.strikes = 0
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
	if d.outage != nil && d.outage.Cause.Class == string(e.Class) {
		since = d.outage.Since
	}
	longer := d.outage != nil && d.outage.Cause.Class == string(e.Class) && !d.over(now)
	d.outage = &store.Outage{Cause: *failure(e, now), Since: since, Until: until}
	if !longer {
		g.note(name, shutEvents[e.Class], e.Message)
	}
	g.Log.Warn("provider is left alone", "provider", name, "class", e.Class, "until", until, "error", e)
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
	d.strikes, d.pauses = 0, 0
	if d.outage == nil {
		return
	}
	g.note(name, store.ProviderRecovered, "")
	g.Log.Info("provider answers again", "provider", name, "after", g.Now().Sub(d.outage.Since), "class", d.outage.Cause.Class)
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
// the ones too that were when the engine was last at work.
func (g *Gate) Tick(ctx context.Context) {
	for name := range g.Providers {
		d, err := g.door(ctx, name)
		if err != nil {
			continue
		}
		if err := d.shut(g.Now()); err == nil || provider.ClassOf(err) == provider.Throttled {
			continue
		}
		g.suspect(provider.WithBudget(ctx), name, d)
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
