package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// sleeping returns a mount that keeps n credentials of which none comes due within a month, but one that does after a day,
// when its token can be extended. Checks are off: by default each credential would be due once a day.
//
// They are copies of one that was connected, each sealed and indexed by the engine's own store. To connect a million would
// take the better part of an hour.
func (s *session) sleeping(ctx context.Context, n int) (*mount, error) {
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
	s := store.New(store.Options{Storage: m.storage, Now: m.clock.Now})
	ref, err := tenant.ParseRef(nth(0).ref)
	if err != nil {
		return err
	}
	pattern, err := s.Credential(ctx, ref)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for first := 0; first < n; first += perTenant {
		group.Go(func() error {
			for i := max(first, 1); i < min(first+perTenant, n) && ctx.Err() == nil; i++ {
				if err := m.copyTo(ctx, s, pattern, i); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// copyTo stores a copy of the pattern for the nth person, due between the 30th and the 48th day as a token of 60 days is.
func (m *mount) copyTo(ctx context.Context, s *store.Store, pattern store.Credential, n int) error {
	p := nth(n)
	ref, err := tenant.ParseRef(p.ref)
	if err != nil {
		return err
	}
	token := pattern.Token.AccessToken.Reveal()
	c := pattern
	c.Birth, c.Due = rand.Text(), ""
	c.Token.Account = p.id
	c.Token.AccessToken = oauth.NewSecret(token[:len(token)-10] + strings.Repeat("0", 10-len(p.id)) + p.id)
	c.NextRefresh = m.clock.Now().Add(30*day + time.Duration(n*7919%(18*24*60))*time.Minute)
	_, err = s.UpdateCredential(ctx, ref, func(*store.Credential) (store.Credential, error) { return c, nil })
	return err
}
