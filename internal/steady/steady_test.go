package steady_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/steady"
)

func TestElapsedAddsSleepAndIgnoresSettingBack(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	type step struct{ ticks, wall, want time.Duration }
	for name, steps := range map[string][]step{
		"the clocks agree":                          {{hour, hour, hour}, {day, day, day}},
		"the machine sleeps":                        {{hour, hour + day, hour + day}, {2 * hour, 2*hour + day, 2*hour + day}},
		"it sleeps again":                           {{hour, hour + day, hour + day}, {2 * hour, 2*hour + 2*day, 2*hour + 2*day}},
		"the wall clock is set back":                {{hour, hour - day, hour}, {2 * hour, 2*hour - day, 2 * hour}},
		"it is set back, and the machine sleeps":    {{hour, hour - day, hour}, {2 * hour, 2 * hour, 2*hour + day}},
		"it is set forward and back":                {{hour, hour + day, hour + day}, {2 * hour, 2 * hour, 2*hour + day}, {3 * hour, 3 * hour, 3*hour + day}},
		"it is corrected by less than a second":     {{hour, hour + time.Second, hour}, {2 * hour, 2*hour - time.Second, 2 * hour}},
		"it is corrected by a little over and over": {{hour, hour + time.Second, hour}, {2 * hour, 2*hour + 3*time.Second/2, 2*hour + 3*time.Second/2}},
		"the clocks are compared now and then":      {{hour, hour, hour}, {hour + 9*time.Millisecond, day, hour + 9*time.Millisecond}, {hour + 10*time.Millisecond, day, day}},
		"the clock was not read for long":           {{100 * day, 100 * day, 100 * day}},
	} {
		t.Run(name, func(t *testing.T) {
			var ticks, wall time.Duration
			clock := steady.Of(func() time.Duration { return ticks }, func() time.Duration { return wall })
			for i, s := range steps {
				ticks, wall = s.ticks, s.wall
				if got := clock.Elapsed(); got != s.want {
					t.Errorf("step %d: %v have passed, want %v", i+1, got, s.want)
				}
			}
		})
	}
}

func TestWallClocksOffsetIsNoSleep(t *testing.T) {
	ticks, wall := time.Minute, 24*time.Hour
	clock := steady.Of(func() time.Duration { return ticks }, func() time.Duration { return wall })
	ticks, wall = ticks+time.Hour, wall+time.Hour
	if got := clock.Elapsed(); got != time.Minute+time.Hour {
		t.Errorf("%v have passed", got)
	}
}

// Many goroutines read the clock when the machine wakes: all of them get the time with the sleep.
func TestSleepIsCountedOnceForConcurrentReaders(t *testing.T) {
	var ticks, wall atomic.Int64
	clock := steady.Of(func() time.Duration { return time.Duration(ticks.Load()) }, func() time.Duration { return time.Duration(wall.Load()) })
	for i := range int64(100) {
		ticks.Add(int64(time.Minute))
		wall.Add(int64(time.Minute + time.Hour))
		want := time.Duration(i+1) * (time.Minute + time.Hour)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if got := clock.Elapsed(); got != want {
					t.Errorf("%v have passed, want %v", got, want)
				}
			})
		}
		all.Wait()
	}
}

func TestClockOfProcessAdvances(t *testing.T) {
	clock := steady.New()
	before := clock.Elapsed()
	for clock.Elapsed() == before {
	}
	if after := clock.Elapsed(); after < before || after > time.Hour {
		t.Errorf("it went from %v to %v", before, after)
	}
}
