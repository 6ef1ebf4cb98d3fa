package main

import (
	"context"
	"fmt"
	"time"
)

// steadyDays is how long the default checks are watched.
const steadyDays = 2

// steady lets days pass over credentials that are as they were connected, with the checks that a mount makes by default.
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
	stored, provider, begun := m.storage.calls(), m.wire.calls.Load(), time.Now()
	if err := m.minutes(ctx, steadyDays*24*60, nil); err != nil {
		return nil, err
	}
	took := time.Since(begun)
	stored, provider = m.storage.calls().since(stored), m.wire.calls.Load()-provider
	n := float64(s.due) * steadyDays
	how := fmt.Sprintf("%d credentials, %d simulated days, a sweep a minute", s.due, steadyDays)
	return []row{
		{what: "default checks: storage calls a credential and day", figure: fmt.Sprintf("%.2f", float64(stored.sum())/n), detail: how + ": " + stored.each(n)},
		{what: "default checks: provider calls a credential and day", figure: fmt.Sprintf("%.2f", float64(provider)/n), detail: how},
		{what: "default checks: time a credential and day", figure: inUS(time.Duration(float64(took) / n)), detail: how + ", the simulator's part included"},
	}, nil
}
