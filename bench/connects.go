package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
)

// connects measures connecting through a real Vault, in rounds that alternate with writes to KV v2.
func connects(ctx context.Context, s *session) ([]row, error) {
	v, fb, stop, err := s.servers(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := v.call(ctx, http.MethodPost, "sys/mounts/authpipe", map[string]any{"type": "authpipe"}); err != nil {
		return nil, err
	}
	if err := fb.configure(ctx, mounted{v}, nil); err != nil {
		return nil, err
	}
	v.http.Transport = &http.Transport{MaxIdleConnsPerHost: 16}
	var person, version atomic.Int64
	session := func() error { return fb.connect(ctx, mounted{v}, crowd.Nth(int(person.Add(1)))) }
	write := func() error {
		_, err := v.call(ctx, http.MethodPost, fmt.Sprintf("secret/data/%d", version.Add(1)), map[string]any{"data": map[string]any{"access_token": crowd.Nth(0).Ref}})
		return err
	}
	var rows []row
	for _, at := range []int{1, 16} {
		sessions, writes := &contender{name: "connect"}, &contender{name: "KV v2"}
		for range max(s.rounds/4, 1) {
			for c, do := range map[*contender]func() error{sessions: session, writes: write} {
				if err := c.repeat(do, at, s.round); err != nil {
					return rows, fmt.Errorf("%s: %w", c.name, err)
				}
			}
		}
		rows = append(rows, sessionRows(sessions, writes, at)...)
	}
	return rows, nil
}

// repeat calls a function for d, in a number of goroutines.
func (c *contender) repeat(do func() error, at int, d time.Duration) error {
	var group errgroup.Group
	var done atomic.Int64
	begun := time.Now()
	for range at {
		group.Go(func() error {
			for time.Since(begun) < d {
				if err := do(); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	err := group.Wait()
	c.rates = append(c.rates, float64(done.Load())/time.Since(begun).Seconds())
	return err
}

func sessionRows(sessions, writes *contender, at int) []row {
	who := fmt.Sprintf(", %d at a time", at)
	ratio := ratioRow("connect: whole sessions to single writes to KV v2"+who, "", sessions.against(writes))
	ratio.detail += "; a session is two requests of Vault, and at Facebook a consent and three calls, the simulator's part included"
	return []row{ratio,
		{what: "connect: sessions" + who, figure: fmt.Sprintf("%.0f/s", median(sessions.rates)), detail: "from authorization URL to stored credential, redeemed by the callback"},
		{what: "connect: writes to KV v2" + who, figure: fmt.Sprintf("%.0f/s", median(writes.rates))},
	}
}
