package authpipe

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const forever time.Duration = math.MaxInt64

// longest is the longest time that counts; longer ones are cut to it. No process runs as long, and sums of ten such times still
// fit into a Duration.
const longest = 10 * 365 * 24 * time.Hour

// An answer is what the engine's last response says about a ref: a credential, or why there is none. Except for requeued it never
// changes, so all its readers share it. Its times are by the client's clock.
type answer struct {
	credential *Credential
	err        error // or nil
	absent     bool  // the engine has no such credential

	until    time.Duration // when it is dropped: its token has expired, or it was not confirmed for too long
	ends     time.Duration // when the token expires; forever if it does not
	limit    time.Duration // how long it stands while it cannot be renewed
	due      time.Duration // when it is to be renewed
	checked  time.Duration // until when a report of a dead credential begins no check
	requeued atomic.Bool   // a reader has found it due, and queued its renewal
}

// A reply is the engine's response about a credential.
type reply struct {
	credential *Credential
	ttl        time.Duration // zero: no refresh is planned
	left       time.Duration // the token's remaining lifetime when the request was sent; forever if it does not expire
}

// margin is taken off a token's lifetime. Vault's Date has whole seconds, so Vault's clock may be later than it says.
const margin = time.Second

// lifeLeft returns the least time that a token lives after the request was sent. Both times are by Vault's clock, and the response
// was written after the request was sent.
func lifeLeft(expiresAt, answeredAt time.Time) time.Duration {
	if expiresAt.IsZero() {
		return forever
	}
	return min(expiresAt.Sub(answeredAt)-margin, longest)
}

// fresh returns the answer of a reply to a request that was sent at sent.
func (o *Options) fresh(r reply, sent time.Duration) *answer {
	wait := o.MaxAge
	if r.ttl > 0 {
		wait = min(wait, r.ttl)
	}
	// Up to a tenth later than planned, so that credentials that were read together are not renewed together.
	oldest := wait + wait/10
	wait = spread(wait, oldest)
	a := &answer{credential: r.credential, ends: forever}
	if r.left != forever {
		a.ends = sent + r.left
		// A token that the engine cannot prolong is read ever closer to its end.
		wait = min(wait, spread(r.left*6/10, r.left*8/10))
	}
	r.credential.until = a.ends
	a.due = sent + wait
	a.limit = sent + oldest + o.MaxStale
	a.until = min(a.ends, a.limit)
	return a
}

// checkedAs returns the checked time for the next answer: a's, if it has the same credential.
func (a *answer) checkedAs(credential *Credential, now time.Duration) time.Duration {
	if now < a.checked && a.credential.same(credential) {
		return a.checked
	}
	return 0
}

// stands reports whether an answer is good while it cannot be renewed: a token until it expires, a refusal if it is definitive, and
// both no longer than MaxStale.
func (a *answer) stands(now time.Duration) bool {
	if a.err != nil {
		return definitive(a.err) && now < a.limit
	}
	return now < a.until
}

// deferred returns an answer that stands, with a later time for its renewal, which has failed.
func (o *Options) deferred(a *answer, now time.Duration, failures int) *answer {
	wait := spread(backoff(failures)/2, backoff(failures))
	if a.err != nil {
		return &answer{err: a.err, absent: a.absent, due: now + wait, until: min(now+wait+o.Timeout, a.limit), limit: a.limit}
	}
	if a.ends != forever {
		wait = min(wait, max(spread((a.ends-now)/4, (a.ends-now)/2), 100*time.Millisecond))
	}
	return &answer{credential: a.credential, until: a.until, ends: a.ends, limit: a.limit, checked: a.checked, due: now + wait}
}

// refusal returns the answer of an error.
func (o *Options) refusal(err error, now time.Duration, failures int) *answer {
	age := o.RefusalAge
	if definitive(err) {
		// Half of its age is left to renew it in the background: with ForAny, callers would wait for it on the way to the
		// installation's credential.
		return &answer{
			err: err, absent: errors.Is(err, ErrNotFound), until: now + age, due: now + spread(age/2, age*6/10), limit: now + age + o.MaxStale,
		}
	}
	// A failure that passes. Meanwhile all callers get it, so that they do not add to the load.
	return &answer{err: err, until: now + min(spread(backoff(failures)/2, backoff(failures)), age), due: forever}
}

// backoff returns how long to wait after a number of failures in a row: half a second, doubled each time, half a minute at most.
func backoff(failures int) time.Duration {
	return min(500*time.Millisecond<<min(max(failures-1, 0), 10), 30*time.Second)
}

// spread returns a random duration from least to most.
func spread(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + rand.N(most-least)
}
