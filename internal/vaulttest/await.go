package vaulttest

import (
	"fmt"
	"time"
)

// Patience is how long a test waits for an event that must happen. It is long because only a failing test waits that long.
const Patience = 5 * time.Minute

// Await calls check again and again until it returns nil. After within, or when gone is closed, it returns an error with what was
// awaited and check's last error. A nil gone is never closed.
func Await(what string, within time.Duration, gone <-chan struct{}, check func() error) error {
	deadline := time.After(within)
	for {
		begun := time.Now()
		last := check()
		if last == nil {
			return nil
		}
		select {
		case <-time.After(max(20*time.Millisecond, time.Since(begun))): // not all the time is spent on a slow check
		case <-gone:
			return fmt.Errorf("awaiting %s: the process has ended; before that: %w", what, last)
		case <-deadline:
			return fmt.Errorf("awaiting %s: not within %v; last: %w", what, within, last)
		}
	}
}
