package ha_test

import (
	"sync"
	"time"
)

// stalls are when this machine had no time for this process, and so none for the others either, as far as that can be told.
type stalls struct {
	mu    sync.Mutex
	ended []time.Time
	took  []time.Duration
}

// watch looks at the clock all the time, until end is called.
func (s *stalls) watch() (end func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		const every = 50 * time.Millisecond
		pace := time.NewTicker(every)
		defer pace.Stop()
		for last := time.Now(); ; {
			select {
			case <-over:
				return
			case <-pace.C:
			}
			now := time.Now()
			if late := now.Sub(last) - every; late > every {
				s.note(now, late)
			}
			last = now
		}
	}()
	return func() { close(over); <-done }
}

func (s *stalls) note(ended time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.took = append(s.ended, ended), append(s.took, took)
}

// within adds up the stalls between two moments.
func (s *stalls) within(begun, ended time.Time) (sum time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range s.ended {
		if at.After(begun) && at.Add(-s.took[i]).Before(ended) {
			sum += s.took[i]
		}
	}
	return sum
}
