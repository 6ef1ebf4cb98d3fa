package authpipe

import (
	"context"
	"errors"
	"time"
)

// A call is one request to the engine about a ref, shared by all callers that wait for it. It belongs to none of them: a caller
// that gives up does not end it.
type call struct {
	ref        ref
	background bool // the scheduler began it

	// Guarded by the cache's mu:

	again   bool        // the response may be outdated: send the request again
	suspect *Credential // was reported dead since the call began: have it checked first

	done   chan struct{} // closed when result is set
	result *answer       // nil: the client was closed
}

// wait returns the call's result.
func (k *call) wait(ctx context.Context) (*answer, error) {
	select {
	case <-k.done:
		if k.result == nil {
			return nil, ErrClosed
		}
		return k.result, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin begins a call for r, which has none. It is called with mu held.
func (c *cache) begin(r ref, suspect *Credential, background bool) *call {
	if e := c.table.get(&r); e != nil && suspect == nil {
		suspect = e.unchecked
	}
	k := &call{ref: r, suspect: suspect, background: background, done: make(chan struct{})}
	c.calls[r] = k
	c.running.Go(func() { c.run(k, suspect) })
	return k
}

// run sends the request until its response is not outdated.
func (c *cache) run(k *call, suspect *Credential) {
	for {
		o := c.request(k.ref, suspect)
		c.mu.Lock()
		if !k.again || c.closed {
			c.finish(k, o)
			c.mu.Unlock()
			c.log(k, o)
			return
		}
		if k.again, suspect = false, k.suspect; suspect != nil && o.answer != nil && !o.answer.credential.same(suspect) {
			suspect = nil // it has been replaced already
		}
		c.mu.Unlock()
	}
}

// An outcome is what one request of a call brought: an answer or an error.
type outcome struct {
	answer *answer // nil: err
	err    error

	noCheck   time.Duration // for how long the credential is not checked (again)
	unchecked *Credential   // was reported dead, and could not be checked for now
}

// request has the engine check a suspect credential, and then reads the credential. If the check finds it dead, that is the
// outcome. If the check is not possible (the policy does not allow it, the provider is unreachable) the credential is read anyway.
func (c *cache) request(r ref, suspect *Credential) outcome {
	var o outcome
	if suspect != nil && r.name == "" {
		err := c.mount.check(r)
		var dead *NeedsReauthError
		if errors.As(err, &dead) {
			return outcome{err: err}
		}
		o.noCheck = checkAge
		if err != nil {
			c.options.Logger.Warn("checking a credential that was reported dead failed", "ref", r.String(), "error", err)
			if !definitive(err) {
				o.noCheck, o.unchecked = checkRetry, suspect
			}
		}
	}
	sent := c.now()
	got, err := c.mount.read(r)
	if o.err = err; err == nil {
		o.answer = c.options.fresh(got, sent)
	}
	return o
}

// finish ends a call with its outcome. It is called with mu held.
func (c *cache) finish(k *call, o outcome) {
	delete(c.calls, k.ref)
	if k.background {
		c.background--
		c.wakeScheduler()
	}
	if !c.closed {
		k.result = c.store(k.ref, o)
	}
	close(k.done)
}

// log logs a failure that no caller sees, because the former answer still stands. It is called without the lock: a log handler may
// be slow, or read a credential itself.
func (c *cache) log(k *call, o outcome) {
	if o.err != nil && k.result != nil && k.result.err != o.err {
		c.options.Logger.Warn("renewing a credential failed", "ref", k.ref.String(), "error", o.err, "again_in", k.result.due-c.now())
	}
}
