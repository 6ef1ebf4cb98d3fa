package main

import (
	"context"
	"fmt"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
)

const day = 24 * time.Hour

// due measures n credentials that are due in the same minute: first for a refresh, then for a check.
func due(ctx context.Context, s *session) ([]row, error) {
	m, err := newMount(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer m.close()
	begun := time.Now()
	if err := m.connect(ctx, s.due); err != nil {
		return nil, err
	}
	rows := []row{{
		what: "connecting, in process", figure: fmt.Sprintf("%.0f/s", float64(s.due)/time.Since(begun).Seconds()),
		detail: fmt.Sprintf("%d sessions, from authorization URL to stored credential, %d at a time", s.due, parallel),
	}}
	refresh, err := m.together(ctx, s.due, "refreshed_at", func(c *store.Credential, at time.Time) { c.NextRefresh, c.NextCheck = at, at.Add(day) })
	if err != nil {
		return rows, err
	}
	check, err := m.together(ctx, s.due, "checked_at", func(c *store.Credential, at time.Time) { c.NextRefresh, c.NextCheck = at.Add(day), at })
	if err != nil {
		return rows, err
	}
	return append(append(rows, refresh.rows("refresh", "≥ 300/s")...), check.rows("check", "")...), nil
}

// spent is the cost of a sweep.
type spent struct {
	n        int
	stored   calls
	provider int64
	took     time.Duration
	cpu      time.Duration
	sweeps   int
}

// together makes n credentials due in the same minute some weeks ahead, when their tokens can be extended, moves the clock there, and
// sweeps until a field of every connection shows that the work is done.
func (m *mount) together(ctx context.Context, n int, field string, plan func(c *store.Credential, at time.Time)) (spent, error) {
	at := m.clock.Now().Add(30 * day)
	if err := m.change(ctx, n, func(c *store.Credential) { plan(c, at) }); err != nil {
		return spent{}, err
	}
	m.clock.Set(at.Add(-time.Minute))
	if err := m.Sweep(ctx); err != nil { // over the weeks in which nothing is due
		return spent{}, err
	}
	total := spent{n: n}
	for {
		if total.sweeps++; total.sweeps > 60 {
			return total, fmt.Errorf("after %d sweeps some of %d credentials are still without %s", total.sweeps-1, n, field)
		}
		m.clock.Advance(time.Minute)
		stored, provider, used, begun := m.storage.calls(), m.wire.calls.Load(), cpu(), time.Now()
		if err := m.Sweep(ctx); err != nil {
			return total, err
		}
		total.took += time.Since(begun)
		total.cpu += cpu() - used
		total.provider += m.wire.calls.Load() - provider
		stored = m.storage.calls().since(stored)
		total.stored = calls{total.stored.gets + stored.gets, total.stored.puts + stored.puts, total.stored.deletes + stored.deletes, total.stored.lists + stored.lists}
		if done, err := m.all(ctx, n, field, at); done || err != nil {
			return total, err
		}
	}
}

// all reports whether the field of every connection is a time not before t.
func (m *mount) all(ctx context.Context, n int, field string, t time.Time) (bool, error) {
	for i := range n {
		c, err := m.read(ctx, "connections/"+crowd.Nth(i).Ref)
		if err != nil {
			return false, err
		}
		at, _ := c[field].(string)
		if done, err := time.Parse(time.RFC3339, at); err != nil || done.Before(t) {
			return false, nil
		}
	}
	return true, nil
}

func (s spent) rows(what, wanted string) []row {
	n := float64(s.n)
	return []row{
		{what: what + ": storage calls a credential", figure: fmt.Sprintf("%.2f", float64(s.stored.sum())/n), detail: fmt.Sprintf("%d due at one minute: %s", s.n, s.stored.each(n))},
		{what: what + ": provider calls a credential", figure: fmt.Sprintf("%.2f", float64(s.provider)/n), detail: fmt.Sprintf("%d due at one minute", s.n)},
		{what: what + ": credentials a second", figure: fmt.Sprintf("%.0f/s", n/s.took.Seconds()), wanted: wanted,
			detail: fmt.Sprintf("%d due at one minute, sweeps: %d, in %.1f s, over a storage in memory and without the pace of a thousand calls a second, %s of processor time each, the simulator's part included", s.n, s.sweeps, s.took.Seconds(), inUS(s.cpu/time.Duration(s.n)))},
	}
}
