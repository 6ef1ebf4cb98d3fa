package vaulttest

import (
	"fmt"
	"time"
)

// Patience is how long a test waits for something that must happen. It is generous: only a failing test spends it.
const Patience = 5 * time.Minute

// Await calls check again and again until it returns nil. It returns an error after within, or once gone is closed: the error says
// what was awaited and what check returned last. A nil gone ends nothing.
func Await(what string, within time.Duration, gone <-chan struct{}, check func() error) error {
	deadline := time.After(within)
	for {
		begun := time.Now()
		last := check()
		if last == nil {
			return nil
		}
		select {
		case <-time.After(max(20*time.Millisecond, time.Since(begun))): // a check that costs much is not made all the time
		case <-gone:
			return fmt.Errorf("awaiting %s: the process has ended; before that: %w", what, last)
		case <-deadline:
			return fmt.Errorf("awaiting %s: given up after %v; last: %w", what, within, last)
		}
	}
}
