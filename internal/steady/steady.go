// Package steady has a clock for what must not outlive its time.
package steady

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Clock tells how much time has passed since it was made. It goes by the process' monotonic clock, which nobody can set. On
// most systems that stands still while the machine sleeps (CLOCK_MONOTONIC on Linux), and lives of tokens do not: so what the wall
// clock gains on it is added. What the wall clock loses counts for nothing, so that nobody who sets it prolongs a life.
//
// Make it with [New] or [Of]; the zero value does not work.
type Clock struct {
	ticks, wall func() time.Duration

	slept atomic.Int64 // what the wall clock has gained in all
	look  atomic.Int64 // by the monotonic clock, when to look at the wall's again

	mu    sync.Mutex
	ahead time.Duration // the wall clock, of the monotonic one
}

const (
	// tolerance is how far the clocks may drift apart before that is taken for a sleep.
	tolerance = time.Second
	// pace is how often the wall clock is looked at. It is as long as a sleep may go unnoticed after it has ended.
	pace = 10 * time.Millisecond
)

// New returns a clock that begins now.
func New() *Clock {
	began := time.Now()
	wall := began.Round(0) // without its monotonic reading
	return Of(
		func() time.Duration { return time.Since(began) },
		func() time.Duration { return time.Now().Round(0).Sub(wall) },
	)
}

// Of returns a clock over two others, which tell what has passed since some moment: a monotonic one, which began with this one, and
// the wall's.
func Of(ticks, wall func() time.Duration) *Clock {
	return &Clock{ticks: ticks, wall: wall, ahead: wall() - ticks()}
}

// Elapsed tells how much time has passed. It is safe for concurrent use, and takes a lock a hundred times a second at most.
func (c *Clock) Elapsed() time.Duration {
	ticks := c.ticks()
	if int64(ticks) >= c.look.Load() {
		c.reckon()
	}
	return ticks + time.Duration(c.slept.Load())
}

// reckon compares the clocks, for all who ask at the time.
func (c *Clock) reckon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	ticks := c.ticks()
	if int64(ticks) < c.look.Load() {
		return // another has, meanwhile
	}
	gained := c.wall() - ticks - c.ahead
	if gained.Abs() > tolerance {
		c.ahead += gained
		c.slept.Add(int64(max(gained, 0)))
	}
	c.look.Store(int64(ticks + pace))
}
