package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// idleMount returns a mount with n credentials. One is due after a day, when its token can be extended; the others are not due within
// a month. Checks are off: by default each credential would be due once a day.
//
// They are copies of one that was connected, each sealed and indexed by the engine's own store. To connect a million would take the
// better part of an hour.
func (s *session) idleMount(ctx context.Context, n int) (*mount, error) {
	if m := s.filled[n]; m != nil {
		return m, nil
	}
	m, err := newMount(ctx, map[string]any{"check_interval": "0"})
	if err != nil {
		return nil, err
	}
	s.filled[n] = m
	if err := m.connect(ctx, 1); err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := m.fill(ctx, n); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "%d credentials sealed in %.0f s … ", n, time.Since(begun).Seconds())
	at := m.clock.Now().Add(day + time.Hour)
	return m, m.change(ctx, 1, func(c *store.Credential) { c.NextRefresh = at })
}

// fill stores copies of the first person's credential for the next n-1.
func (m *mount) fill(ctx context.Context, n int) error {
	return crowd.Fill(ctx, store.New(store.Options{Storage: m.storage, Now: m.clock.Now}), m.clock.Now(), 0, n, parallel)
}
