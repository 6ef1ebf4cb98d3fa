package authpipe

import (
	"context"
	"errors"
	"time"
)

// A flight is one question to the engine about a ref, shared by all who want to know. It belongs to none of them: who gives up
// waiting does not end it.
type flight struct {
	ref        ref
	background bool // the scheduler began it

	// With the client's lock only:

	again   bool        // what it brings is of before something happened: ask once more
	suspect *Credential // what was reported dead since: to be checked first

	landed chan struct{} // closed when answer is set
	answer *answer       // nil: the client was closed
}

// await joins the flight for r, or begins it, and returns what it brings.
func (c *Client) await(ctx context.Context, r ref) (*answer, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, ErrClosed
		}
		f := c.flights[r]
		if f == nil {
			// It may have landed since the table was looked at.
			if e := c.table.get(&r); e != nil {
				if a, now := e.answer.Load(), c.now(); now < a.until && !c.slept(e, a, now) {
					c.mu.Unlock()
					return a, nil
				}
			}
			f = c.takeOff(r, nil, false)
		}
		c.mu.Unlock()
		a, err := f.wait(ctx)
		// Who was woken late may hold a token that has ended meanwhile. A refusal is good for who has waited for it.
		if err != nil || a.err != nil || c.now() < a.ends {
			return a, err
		}
	}
}

func (f *flight) wait(ctx context.Context) (*answer, error) {
	select {
	case <-f.landed:
		if f.answer == nil {
			return nil, ErrClosed
		}
		return f.answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// takeOff begins a flight. It is called with the lock held, for a ref that has none.
func (c *Client) takeOff(r ref, suspect *Credential, background bool) *flight {
	if e := c.table.get(&r); e != nil && suspect == nil {
		suspect = e.untold
	}
	f := &flight{ref: r, suspect: suspect, background: background, landed: make(chan struct{})}
	c.flights[r] = f
	c.running.Go(func() { c.fly(f, suspect) })
	return f
}

// fly asks until what it is told is not outdated.
func (c *Client) fly(f *flight, suspect *Credential) {
	for {
		l := c.ask(f.ref, suspect)
		c.mu.Lock()
		if !f.again || c.closed {
			c.land(f, l)
			c.mu.Unlock()
			c.tell(f, l)
			return
		}
		if f.again, suspect = false, f.suspect; suspect != nil && l.answer != nil && !l.answer.credential.is(suspect) {
			suspect = nil // it has been replaced already
		}
		c.mu.Unlock()
	}
}

// A landing is what a flight brings: a reply, or an error.
type landing struct {
	answer *answer // nil: err
	err    error

	rest   time.Duration // for how long it is not to be checked (again)
	untold *Credential   // what was reported dead, and could not be checked for the time being
}

// ask has the engine check what is suspect, and then asks it for the credential. Where the check tells that there is none, that
// is the answer. Where the check is not possible (no policy lets it, the provider is away) the credential is asked for all the same.
func (c *Client) ask(r ref, suspect *Credential) landing {
	var l landing
	if suspect != nil && r.name == "" {
		err := c.check(c.life, r)
		var dead *NeedsReauthError
		if errors.As(err, &dead) {
			return landing{err: err}
		}
		l.rest = believed
		if err != nil {
			c.options.Logger.Warn("checking a credential that was reported dead failed", "ref", r.String(), "error", err)
			if !definitive(err) {
				l.rest, l.untold = unchecked, suspect
			}
		}
	}
	sent := c.now()
	got, err := c.read(c.life, r)
	if l.err = err; err == nil {
		l.answer = c.fresh(got, sent)
	}
	return l
}

// land takes in what a flight has brought. It is called with the lock held.
func (c *Client) land(f *flight, l landing) {
	delete(c.flights, f.ref)
	if f.background {
		c.background--
		c.poke()
	}
	if !c.closed {
		f.answer = c.learn(f.ref, l)
	}
	close(f.landed)
}

// tell logs what nobody is told who asks, because an answer of before stands. It is called without the lock: a log may be slow, or
// itself ask the client.
func (c *Client) tell(f *flight, l landing) {
	if l.err != nil && f.answer != nil && f.answer.err != l.err {
		c.options.Logger.Warn("renewing a credential failed", "ref", f.ref.String(), "error", l.err, "again_in", f.answer.due-c.now())
	}
}

// learn puts what was learned about r into the table. It is called with the lock held.
func (c *Client) learn(r ref, l landing) *answer {
	now := c.now()
	e := c.table.get(&r)
	failures := 1
	if e != nil {
		failures = e.failures + 1
	}
	a := l.answer
	switch {
	case a != nil:
		failures = 0
		if l.rest > 0 {
			a.checked = now + l.rest
		} else if e != nil {
			a.checked = e.answer.Load().checkedAs(a.credential, now)
		}
	case e != nil && !definitive(l.err) && e.answer.Load().stands(now):
		a = c.deferred(e.answer.Load(), now, failures)
	default:
		a = c.refusal(l.err, now, failures)
	}
	switch {
	case e == nil && a.err != nil && !definitive(a.err) && c.table.full():
		// What cannot be had for the moment throws nothing out that may not be had again either.
		return a
	case e == nil:
		var gone *entry
		if e, gone = c.table.put(r, a); gone != nil {
			c.agenda.remove(gone)
		}
	default:
		e.marks.And(^uint32(used))
		e.answer.Store(a)
		e.marks.And(^uint32(asleep))
	}
	e.failures, e.untold = failures, l.untold
	c.plan(e)
	return a
}

// drop takes e out of the cache. It is called with the lock held.
func (c *Client) drop(e *entry) {
	c.agenda.remove(e)
	c.table.remove(e)
}
