package authpipe

import (
	"context"
	"time"
)

// believed is for how long the engine's word is taken that a token lives, whatever else is heard: it has asked the provider. A
// crowd that reports the same token makes one check.
const believed = time.Minute

// unchecked is for how long nobody is asked again where the check failed: Vault is restarting, or the provider throttles. What a
// crowd goes on reporting meanwhile would make it worse, and leave nothing in the cache.
const unchecked = 5 * time.Second

// ReportDead is for who was told by the provider that a credential is dead, or its proof invalid. It drops the credential from
// the cache, has the engine ask the provider about it (connections/<ref>/check), and returns the credential to go on with: a
// fresh one, or the same if the engine found it alive. If it is dead the error is a [*NeedsReauthError].
//
// It may be called by many at once, and often: a token is checked once a minute at most, and one that was replaced in the
// meantime is not checked at all. Where the check fails for the time being it is made up for, seconds later at the earliest, by who
// reports it then, and at the latest by the next renewal. Of a static credential nobody can be asked; it is read anew.
func (c *Client) ReportDead(ctx context.Context, dead *Credential) (*Credential, error) {
	r := dead.ref
	if err := r.check(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	f := c.suspect(r, dead)
	c.mu.Unlock()
	if f == nil {
		return c.Credential(ctx, r.request())
	}
	a, err := f.wait(ctx)
	switch {
	case err != nil:
		return nil, err
	case a.err != nil:
		return nil, a.err
	case c.now() >= a.ends: // it was woken late
		return c.Credential(ctx, r.request())
	}
	return a.credential, nil
}

// suspect drops what was reported dead, and returns the flight that will tell of it; nil if nothing is to be asked. It is called
// with the lock held.
func (c *Client) suspect(r ref, dead *Credential) *flight {
	e := c.table.get(&r)
	if e != nil {
		a := e.answer.Load()
		replaced := a.err != nil || !a.credential.is(dead)
		if now := c.now(); now < a.until && (replaced || now < a.checked) {
			return nil
		}
		c.drop(e)
	}
	f := c.flights[r]
	if f == nil {
		return c.takeOff(r, dead, false)
	}
	if f.suspect == nil || !f.suspect.is(dead) {
		// It asks for what may be the same token once more, so it goes round again, and checks first.
		f.suspect, f.again = dead, true
	}
	return f
}
