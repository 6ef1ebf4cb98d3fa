package authpipe

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const forever time.Duration = math.MaxInt64

// ages is longer than a process lives, and ten times as long is a Duration still: what is told as longer is reckoned as this.
const ages = 10 * 365 * 24 * time.Hour

// An answer is what is known about a ref: a credential, or why there is none. But for nudged it never changes, so it is shared
// by all who read it. Its times are by the client's clock.
type answer struct {
	credential *Credential
	err        error // or nil
	absent     bool  // the engine knows no such credential

	until   time.Duration // when it is dropped: its token has ended, or it was not confirmed for too long
	ends    time.Duration // when the token ends; forever if it does not
	limit   time.Duration // how long it stands while no other can be had
	due     time.Duration // when it is to be asked for anew
	checked time.Duration // until when it is not checked, whoever reports it dead
	nudged  atomic.Bool   // that it is due was noticed by a reader
}

// A reply is what the engine answered about a credential.
type reply struct {
	credential *Credential
	ttl        time.Duration // zero: no refresh is planned
	left       time.Duration // of the token's life, as the question was sent; forever if it does not end
}

// margin is what is taken off a token's life. Vault's clock tells whole seconds, so that it may be later there than it says.
const margin = time.Second

// lifeLeft reckons how long a credential lives from when the question was sent, told by the clock of who answered, at the
// least: the answer was written later than that.
func lifeLeft(expiresAt, answeredAt time.Time) time.Duration {
	if expiresAt.IsZero() {
		return forever
	}
	return min(expiresAt.Sub(answeredAt)-margin, ages)
}

// fresh is the answer that a reply to a question sent at sent makes.
func (c *Client) fresh(r reply, sent time.Duration) *answer {
	wait := c.options.MaxAge
	if r.ttl > 0 {
		wait = min(wait, r.ttl)
	}
	// Later than planned by up to a tenth, so that what came together does not come together again.
	oldest := wait + wait/10
	wait = spread(wait, oldest)
	a := &answer{credential: r.credential, ends: forever}
	if r.left != forever {
		a.ends = sent + r.left
		// What the engine cannot prolong is asked for ever closer to its end.
		wait = min(wait, spread(r.left*6/10, r.left*8/10))
	}
	r.credential.until = a.ends
	a.due = sent + wait
	a.limit = sent + oldest + c.options.MaxStale
	a.until = min(a.ends, a.limit)
	return a
}

// checkedAs is until when credential, which comes in its place, is not checked: as long as it, if it is the same.
func (a *answer) checkedAs(credential *Credential, now time.Duration) time.Duration {
	if now < a.checked && a.credential.is(credential) {
		return a.checked
	}
	return 0
}

// stands reports whether an answer is good while it cannot be renewed: a token until its end, a refusal if it is definitive, and both
// no longer than MaxStale.
func (a *answer) stands(now time.Duration) bool {
	if a.err != nil {
		return definitive(a.err) && now < a.limit
	}
	return now < a.until
}

// deferred is an answer that stands, and could not be renewed for the time being.
func (c *Client) deferred(a *answer, now time.Duration, failures int) *answer {
	wait := spread(backoff(failures)/2, backoff(failures))
	if a.err != nil {
		return &answer{err: a.err, absent: a.absent, due: now + wait, until: min(now+wait+c.options.Timeout, a.limit), limit: a.limit}
	}
	if a.ends != forever {
		wait = min(wait, max(spread((a.ends-now)/4, (a.ends-now)/2), 100*time.Millisecond))
	}
	return &answer{credential: a.credential, until: a.until, ends: a.ends, limit: a.limit, checked: a.checked, due: now + wait}
}

// refusal is the answer that an error makes.
func (c *Client) refusal(err error, now time.Duration, failures int) *answer {
	age := c.options.RefusalAge
	if definitive(err) {
		// Half of its age is left for it to be renewed behind those who ask: with ForAny, they wait for what they do not want.
		return &answer{
			err: err, absent: errors.Is(err, ErrNotFound), until: now + age, due: now + spread(age/2, age*6/10), limit: now + age + c.options.MaxStale,
		}
	}
	// Trouble that passes. All are told of it meanwhile, for a crowd that asks at once would make it worse.
	return &answer{err: err, until: now + min(spread(backoff(failures)/2, backoff(failures)), age), due: forever}
}

// backoff is how long to wait after so many failures in a row: half a second, doubled each time, half a minute at most.
func backoff(failures int) time.Duration {
	return min(500*time.Millisecond<<min(max(failures-1, 0), 10), 30*time.Second)
}

// spread returns something from least to most, at random.
func spread(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + rand.N(most-least)
}
