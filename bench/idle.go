package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// few is the number of idle credentials that many are compared with.
const few = 1_000

// quiet is the cost of sweeps that found nothing due.
type quiet struct {
	calls       []int64 // of each sweep, sorted
	times       []time.Duration
	catchUp     calls // of one sweep after a day without any
	catchUpTook time.Duration
}

// idle measures the sweeps of each minute while no credential is due, after days in which one was.
func idle(ctx context.Context, s *session) ([]row, error) {
	var rows []row
	var watched []quiet
	for _, n := range slices.Compact([]int{min(few, s.credentials), s.credentials}) {
		m, err := s.idleMount(ctx, n)
		if err != nil {
			return rows, err
		}
		q, err := m.watch(ctx)
		if err != nil {
			return rows, err
		}
		watched = append(watched, q)
		rows = append(rows, q.rows(n)...)
	}
	small, large := watched[0], watched[len(watched)-1]
	return append(rows, row{
		ratio: true, what: fmt.Sprintf("idle sweep: storage calls, %d credentials to %d", s.credentials, min(few, s.credentials)),
		figure: fmt.Sprintf("%.2f", large.mean()/small.mean()), wanted: "1.00",
		detail: fmt.Sprintf("time: %.2f", float64(quantile(large.times, 0.5))/float64(quantile(small.times, 0.5))),
	}), nil
}

// watch measures the sweeps of some hours, which include occasional writes. Before that two days pass: in the first the sessions end,
// in the second one credential is refreshed.
func (m *mount) watch(ctx context.Context) (quiet, error) {
	var q quiet
	if err := m.minutes(ctx, 2*24*60, nil); err != nil {
		return q, err
	}
	before, begun := m.storage.calls(), time.Now()
	err := m.minutes(ctx, 4*60, func() {
		now := m.storage.calls()
		q.calls, q.times = append(q.calls, now.since(before).sum()), append(q.times, time.Since(begun))
		before, begun = now, time.Now()
	})
	if err != nil {
		return q, err
	}
	slices.Sort(q.calls)
	slices.Sort(q.times)
	m.clock.Advance(day)
	before, begun = m.storage.calls(), time.Now()
	if err := m.Sweep(ctx); err != nil {
		return q, err
	}
	q.catchUp, q.catchUpTook = m.storage.calls().since(before), time.Since(begun)
	return q, nil
}

func (q quiet) mean() float64 {
	var sum int64
	for _, n := range q.calls {
		sum += n
	}
	return float64(sum) / float64(len(q.calls))
}

func (q quiet) rows(n int) []row {
	return []row{
		{what: fmt.Sprintf("idle sweep: storage calls at most, %d credentials", n), figure: fmt.Sprint(q.calls[len(q.calls)-1]), wanted: "≤ 3",
			detail: fmt.Sprintf("%d sweeps, one a minute, after two days with due work; %.2f on average", len(q.calls), q.mean())},
		{what: fmt.Sprintf("idle sweep: time, %d credentials", n), figure: inUS(quantile(q.times, 0.5)),
			detail: fmt.Sprintf("p99 %s, over a storage in memory", inUS(quantile(q.times, 0.99)))},
		{what: fmt.Sprintf("first sweep after a day without: storage calls, %d credentials", n), figure: fmt.Sprint(q.catchUp.sum()),
			detail: fmt.Sprintf("%s; %s", q.catchUp.each(1), inMS(q.catchUpTook))},
	}
}
