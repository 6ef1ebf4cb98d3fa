package breaker

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
)

// record updates the circuit by the result of a call for the subject, and returns err.
// The error of a rate limit gets the time at which the breaker makes the next call.
func (b *Breaker) record(ctx context.Context, s Subject, c *circuit, err error) error {
	var e *provider.Error
	switch {
	case b.Context.Err() != nil:
		return err // the call was cancelled with the mount
	case err != nil && !errors.As(err, &e):
		return err // an error of storage, or of the caller
	case err == nil:
		c.accountAnswered(s.Account, b.Now())
		b.succeeded(ctx, s.Provider, c)
	case errors.Is(e, provider.ErrPending), errors.Is(e, provider.ErrSlowDown):
		b.succeeded(ctx, s.Provider, c)
	case e.Class == provider.Throttled:
		return b.recordLimit(ctx, s, c, e)
	case e.Class == provider.Misconfigured:
		b.probeNow(ctx, s.Provider, c)
	case e.Class == provider.Transient && e.Uncertain && e.Owner() == provider.ConcernsRequest:
		if c.countUnknown() {
			b.probeNow(ctx, s.Provider, c)
		}
	case e.Class == provider.Transient && e.Owner() == provider.ConcernsApp:
		if c.countFailure(e, b.Now().UTC()) {
			b.probeNow(ctx, s.Provider, c)
		}
	default:
		b.succeeded(ctx, s.Provider, c) // an error about one credential shows that the provider works
	}
	return err
}

// recordLimit pauses the calls that a rate limit concerns: all calls for the app's limit,
// one account's for any other.
func (b *Breaker) recordLimit(ctx context.Context, s Subject, c *circuit, e *provider.Error) error {
	limit := *e
	switch {
	case e.Owner() == provider.ConcernsApp:
		limit.Until = b.pause(ctx, s.Provider, c, e)
	case cmp.Or(s.Account, e.Account) != "":
		limit.Until = c.pauseAccount(cmp.Or(s.Account, e.Account), e, b.Now().UTC())
		b.succeeded(ctx, s.Provider, c)
	case e.Until.IsZero():
		limit.Until = b.Now().UTC().Add(ShortestPause)
	}
	return &limit
}

// countFailure counts a failed call, from the first of which on the provider's health
// is "suspected". It reports whether a probe is to decide now.
func (c *circuit) countFailure(e *provider.Error, now time.Time) (probe bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	since := now
	if c.suspicion != nil {
		since = c.suspicion.Since
	}
	c.suspicion = &store.Outage{Cause: *Failure(e, now), Since: since}
	return c.failures%failureThreshold == 0
}

// countUnknown counts an error that no rule knows, which may be the answer to every
// call. It reports whether a probe is to decide now.
func (c *circuit) countUnknown() (probe bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unknown++
	return c.unknown%failureThreshold == 0
}

// resetFailures is called with the lock held.
func (c *circuit) resetFailures() { c.failures, c.unknown, c.suspicion = 0, 0, nil }

// succeeded records that the provider works. A pause that is not over stays: the call
// may have begun before it.
func (b *Breaker) succeeded(ctx context.Context, name string, c *circuit) {
	c.mu.Lock()
	c.resetFailures()
	over := c.outage != nil && c.over(b.Now())
	c.mu.Unlock()
	if over {
		b.close(ctx, name, c)
	}
}

// pause opens the circuit until the time that the provider named, and returns the time
// at which it closes.
func (b *Breaker) pause(ctx context.Context, name string, c *circuit, e *provider.Error) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := b.Now().UTC()
	if e.Until.IsZero() && (c.outage == nil || c.over(now) || c.pauses == 0) {
		c.pauses++ // concurrent calls that met the same limit count once
	}
	until := pauseEnd(e.Until, c.pauses, now)
	if c.outage != nil && c.outage.Cause.Class == string(provider.Throttled) && !c.over(now) && !c.outage.Until.Add(time.Minute).Before(until) {
		return c.outage.Until
	}
	b.open(ctx, name, c, e, until)
	return until
}

// pauseEnd returns when a pause ends that begins now: at the time that the provider named,
// or else after a time that doubles with each of count pauses in a row.
func pauseEnd(named time.Time, count int, now time.Time) time.Time {
	if named.IsZero() {
		named = now.Add(min(ShortestPause<<min(count-1, 10), longestPause))
	}
	return now.Add(min(max(named.Sub(now), time.Minute), longestOutage))
}

// probeNow probes the provider, and opens the circuit if the probe fails. Concurrent
// callers share a probe. It has a time limit of its own, for the call that failed may
// have used up the caller's; the caller waits no longer than its own lasts.
func (b *Breaker) probeNow(ctx context.Context, name string, c *circuit) {
	result := b.probes.DoChan(name, func() (any, error) {
		switch err, known := b.probe(name); {
		case !known || b.Context.Err() != nil:
		case err == nil:
			b.probeSucceeded(b.Context, name, c)
		default:
			b.probeFailed(b.Context, name, c, err)
		}
		return nil, nil
	})
	patience, cancel := provider.Patience(ctx)
	defer cancel()
	select {
	case <-result:
	case <-patience.Done():
	}
}

// probeSucceeded closes the circuit, unless it is open for a pause that is not over.
func (b *Breaker) probeSucceeded(ctx context.Context, name string, c *circuit) {
	c.mu.Lock()
	c.resetFailures()
	paused := c.outage == nil || !c.outage.Until.IsZero() && !c.over(b.Now())
	c.mu.Unlock()
	if !paused {
		b.close(ctx, name, c)
	}
}

func (b *Breaker) probeFailed(ctx context.Context, name string, c *circuit, e *provider.Error) {
	if e.Class == provider.Throttled {
		b.pause(ctx, name, c, e)
		return
	}
	if e.Class != provider.Transient {
		// A probe concerns no token: any refusal is of the client.
		refused := *e
		refused.Class, e = provider.Misconfigured, &refused
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outage == nil || c.outage.Cause.Class != string(e.Class) {
		b.open(ctx, name, c, e, time.Time{})
	}
}

// open opens the circuit. If that cannot be stored, the next process finds it out by
// itself. It is called with the circuit's lock held.
func (b *Breaker) open(ctx context.Context, name string, c *circuit, e *provider.Error, until time.Time) {
	now := b.Now().UTC()
	since := now
	switch {
	case c.outage != nil && c.outage.Cause.Class == string(e.Class):
		since = c.outage.Since
	case c.suspicion != nil && e.Class == provider.Transient:
		since = c.suspicion.Since // the first of the failures that led to this
	}
	longer := c.outage != nil && c.outage.Cause.Class == string(e.Class) && !c.over(now)
	c.outage = &store.Outage{Cause: *Failure(e, now), Since: since, Until: until}
	if !longer {
		b.publish(name, openEvents[e.Class], e.Message)
	}
	fields := []any{"provider", name, "class", e.Class, "since", since.Format(time.RFC3339), "error", e}
	if !until.IsZero() {
		fields = append(fields, "until", until.Format(time.RFC3339))
	}
	b.Log.Warn("calls to the provider are paused", fields...)
	if err := b.Store.Mount.PutOutage(context.WithoutCancel(ctx), name, c.outage); err != nil {
		b.Log.Warn("storing the provider's outage failed", "provider", name, "error", err)
	}
}

// openEvents are the events of an opened circuit.
var openEvents = map[provider.Class]event.Type{
	provider.Throttled:     event.ProviderThrottled,
	provider.Misconfigured: event.ProviderMisconfigured,
	provider.Transient:     event.ProviderUnavailable,
}

func (b *Breaker) publish(name string, t event.Type, reason string) {
	b.Store.Events.Add(event.Event{At: b.Now().UTC(), Type: t, Ref: name, Reason: reason})
}

// close closes the circuit.
func (b *Breaker) close(ctx context.Context, name string, c *circuit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resetFailures()
	c.pauses = 0
	if c.outage == nil {
		return
	}
	now := b.Now().UTC()
	b.publish(name, event.ProviderRecovered, "")
	b.Log.Info("calls to the provider go on", "provider", name, "class", c.outage.Cause.Class,
		"since", c.outage.Since.Format(time.RFC3339), "until", now.Format(time.RFC3339), "lasted", now.Sub(c.outage.Since).String())
	c.outage = nil
	if err := b.Store.Mount.PutOutage(context.WithoutCancel(ctx), name, nil); err != nil {
		b.Log.Warn("deleting the provider's outage failed", "provider", name, "error", err)
	}
}

// probe makes a call that shows whether the provider works for the client. known is false
// if the client's configuration could not be read.
func (b *Breaker) probe(name string) (e *provider.Error, known bool) {
	defer func() {
		if p := recover(); p != nil {
			b.Log.Error("panic while probing the provider", "provider", name, "panic", p, "stack", string(debug.Stack()))
			e, known = &provider.Error{Class: provider.Transient, Op: "probing the provider", Message: "internal error"}, true
		}
	}()
	calls, cancel := provider.Within(b.Context)
	defer cancel()
	p, ok := b.Providers[name]
	if !ok {
		return nil, false // this build does not know it: nothing shows whether it works
	}
	config, err := b.Store.Mount.Config(calls, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, true
	}
	if err != nil {
		return nil, false
	}
	began := b.Now()
	err = p.Probe(calls, config.Client())
	b.Called(name, "probe", err, b.Now().Sub(began))
	errors.As(err, &e)
	return e, true
}

// Tick probes each provider whose circuit is open without a time at which it closes,
// also if that was stored by a former process, and each that is suspected.
func (b *Breaker) Tick(ctx context.Context) {
	for name := range b.Providers {
		c, err := b.circuit(ctx, name)
		if err != nil {
			continue
		}
		switch err := c.error(b.Now()); {
		case err == nil && c.suspected(b.Now()):
			b.probeSuspected(name, c)
		case err != nil && provider.ClassOf(err) != provider.Throttled:
			b.probeNow(provider.WithBudget(ctx), name, c)
		}
	}
}

// suspected reports whether the last call failed, a tick or more ago.
func (c *circuit) suspected(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.suspicion != nil && now.Sub(c.suspicion.Cause.At) >= time.Minute
}

// probeSuspected probes a provider whose last call failed. A failed probe counts as one
// more failure.
func (b *Breaker) probeSuspected(name string, c *circuit) {
	switch err, known := b.probe(name); {
	case !known || b.Context.Err() != nil:
	case err == nil:
		b.probeSucceeded(b.Context, name, c)
	case err.Class != provider.Transient || c.countFailure(err, b.Now().UTC()):
		b.probeFailed(b.Context, name, c, err)
	}
}

// Reset closes the circuit of a provider whose configuration was changed, for the
// outage was that of the former one. The pause of a rate limit stays. If
// the client has two secrets, a probe finds out which of them the provider accepts, for
// the proofs that are served from now on.
func (b *Breaker) Reset(ctx context.Context, name string) {
	c, err := b.circuit(ctx, name)
	if err != nil {
		return
	}
	if err := c.error(b.Now()); err != nil && provider.ClassOf(err) == provider.Throttled {
		return
	}
	b.close(ctx, name, c)
	if config, err := b.Store.Mount.Config(ctx, name); err == nil && !config.FormerSecret.IsZero() {
		b.probeNow(ctx, name, c)
	}
}
