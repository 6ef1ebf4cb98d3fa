// Package steady has a clock for lifetimes that must not be prolonged.
package steady

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Clock measures the time since it was made. It uses the process' monotonic clock, which cannot be set. On most systems that clock
// stops while the machine sleeps (CLOCK_MONOTONIC on Linux), but a token's lifetime does not: so the Clock adds the time that the
// wall clock gains on it. It ignores the time that the wall clock loses, so that setting it back prolongs no lifetime.
//
// Make it with [New] or [Of]; the zero value does not work.
type Clock struct {
	ticks, wall func() time.Duration

	slept atomic.Int64 // the sum of what the wall clock has gained
	look  atomic.Int64 // by the monotonic clock, when to compare it with the wall clock again

	mu    sync.Mutex
	ahead time.Duration // by how much the wall clock is ahead of the monotonic one
}

const (
	// tolerance is how far the clocks may drift apart before that counts as sleep.
	tolerance = time.Second
	// pace is the least time between two comparisons, and so the longest time until a sleep is noticed.
	pace = 10 * time.Millisecond
)

// New returns a clock that starts now.
func New() *Clock {
	began := time.Now()
	wall := began.Round(0) // without its monotonic reading
	return Of(
		func() time.Duration { return time.Since(began) },
		func() time.Duration { return time.Now().Round(0).Sub(wall) },
	)
}

// Of returns a clock that is based on two others: a monotonic one, which starts with it, and the wall clock. Both return the time since
// some moment.
func Of(ticks, wall func() time.Duration) *Clock {
	return &Clock{ticks: ticks, wall: wall, ahead: wall() - ticks()}
}

// Elapsed returns the time since the clock was made. It is safe for concurrent use, and takes a lock a hundred times a second at most.
func (c *Clock) Elapsed() time.Duration {
	ticks := c.ticks()
	if int64(ticks) >= c.look.Load() {
		c.compare()
	}
	return ticks + time.Duration(c.slept.Load())
}

// compare compares the clocks, once for all concurrent callers.
func (c *Clock) compare() {
	c.mu.Lock()
	defer c.mu.Unlock()
	ticks := c.ticks()
	if int64(ticks) < c.look.Load() {
		return // another caller has just compared them
	}
	gained := c.wall() - ticks - c.ahead
	if gained.Abs() > tolerance {
		c.ahead += gained
		c.slept.Add(int64(max(gained, 0)))
	}
	c.look.Store(int64(ticks + pace))
}
