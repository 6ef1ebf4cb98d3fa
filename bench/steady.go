package main

import (
	"context"
	"fmt"
	"time"
)

// steadyDays is how long the default checks are measured.
const steadyDays = 2

// steady measures the default checks of connected credentials over some days.
func steady(ctx context.Context, s *session) ([]row, error) {
	m, err := newMount(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer m.close()
	if err := m.connect(ctx, s.due); err != nil {
		return nil, err
	}
	if err := m.minutes(ctx, 24*60, nil); err != nil { // sessions end, and checks spread
		return nil, err
	}
	fullest, last := int64(0), m.storage.calls()
	stored, provider, used := last, m.wire.calls.Load(), cpu()
	err = m.minutes(ctx, steadyDays*24*60, func() {
		now := m.storage.calls()
		fullest, last = max(fullest, now.since(last).sum()), now
	})
	if err != nil {
		return nil, err
	}
	stored, provider, used = m.storage.calls().since(stored), m.wire.calls.Load()-provider, cpu()-used
	n := float64(s.due) * steadyDays
	how := fmt.Sprintf("%d credentials, %d simulated days, a sweep a minute", s.due, steadyDays)
	return []row{
		{what: "default checks: storage calls a credential and day", figure: fmt.Sprintf("%.2f", float64(stored.sum())/n), detail: how + ": " + stored.each(n)},
		{what: "default checks: provider calls a credential and day", figure: fmt.Sprintf("%.2f", float64(provider)/n), detail: how + "; few are due at a minute"},
		{what: "default checks: processor time a credential and day", figure: inUS(time.Duration(float64(used) / n)), detail: how + ", the simulator's part included"},
		{what: "default checks: storage calls of the fullest sweep", figure: fmt.Sprint(fullest),
			detail: fmt.Sprintf("%.1f on average: how well the checks are spread", float64(stored.sum())/(steadyDays*24*60))},
	}, nil
}
