package authpipe

import (
	"context"
	"time"
)

const (
	// checkAge is how long the result of a check holds: reports of the same token in that time begin no other check. The engine
	// has just asked the provider.
	checkAge = time.Minute

	// checkRetry is the least time between two checks if the first one failed, because Vault restarts or the provider throttles.
	// Until then the token stays in the cache, however often it is reported.
	checkRetry = 5 * time.Second
)

// ReportDead reports that the provider refused a credential as dead, or its proof as invalid. It drops the credential from the
// cache, has the engine ask the provider about it (connections/<ref>/check), and returns the credential to go on with: a new one,
// or the same if the engine found it alive. If it is dead the error is a [*NeedsReauthError].
//
// It may be called concurrently and often: a token is checked once a minute at most, and not at all if it has been replaced. A
// check that fails for now is repeated, at the earliest after five seconds with the next report, at the latest with the next
// renewal. A static credential cannot be checked; it is read again.
func (c *Client) ReportDead(ctx context.Context, dead *Credential) (*Credential, error) {
	r := dead.ref
	if err := r.check(); err != nil {
		return nil, err
	}
	k, err := c.cache.suspect(r, dead)
	if err != nil {
		return nil, err
	}
	if k == nil {
		return c.Credential(ctx, r.request())
	}
	a, err := k.wait(ctx)
	switch {
	case err != nil:
		return nil, err
	case a.err != nil:
		return nil, a.err
	case c.cache.now() >= a.ends: // it expired before this goroutine woke
		return c.Credential(ctx, r.request())
	}
	return a.credential, nil
}

// suspect drops a credential that was reported dead, and returns the call that has it checked; nil if no check is needed.
func (c *cache) suspect(r ref, dead *Credential) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if e := c.table.get(&r); e != nil {
		a := e.answer.Load()
		replaced := a.err != nil || !a.credential.same(dead)
		if now := c.now(); now < a.until && (replaced || now < a.checked) {
			return nil, nil
		}
		c.drop(e)
	}
	k := c.calls[r]
	if k == nil {
		return c.begin(r, dead, false), nil
	}
	if k.suspect == nil || !k.suspect.same(dead) {
		// The call may be reading the same token. It sends its request again, and has the token checked first.
		k.suspect, k.again = dead, true
	}
	return k, nil
}
