package ha_test

import (
	"sync"
	"time"
)

// stalls are the times in which the machine did not run this process, and so probably not the others either.
type stalls struct {
	mu    sync.Mutex
	ended []time.Time
	took  []time.Duration
}

// watch looks for stalls until end is called.
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

// within returns the sum of the stalls between two times.
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
