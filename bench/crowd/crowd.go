// Package crowd stores a million idle credentials as copies of one. To connect them would take the better part of a day.
package crowd

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Person is one person of the crowd: the ref of their credential and their id at Facebook.
type Person struct{ Ref, ID string }

// PerTenant is the number of people in a tenant.
const PerTenant = 100

// Nth returns the nth person, from 0.
func Nth(n int) Person {
	return Person{fmt.Sprintf("org_%05d/facebook/users/user_%07d", n/PerTenant, n), fmt.Sprintf("1%09d", n)}
}

// Fill stores a copy of the first person's credential for each person from first up to last, excluded. Each is sealed and indexed by
// the engine's own store.
func Fill(ctx context.Context, s *store.Store, now time.Time, first, last, parallel int) error {
	ref, err := tenant.ParseRef(Nth(0).Ref)
	if err != nil {
		return err
	}
	pattern, err := s.Credentials.Read(ctx, ref)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for from := max(first, 1); from < last; from = (from/PerTenant + 1) * PerTenant {
		group.Go(func() error {
			for n := from; n < min(last, (from/PerTenant+1)*PerTenant) && ctx.Err() == nil; n++ {
				if err := copyTo(ctx, s, pattern, now, n); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

const day = 24 * time.Hour

// copyTo stores a copy of the pattern for the nth person, due between the 30th and the 48th day, like a token of 60 days.
func copyTo(ctx context.Context, s *store.Store, pattern store.Credential, now time.Time, n int) error {
	p := Nth(n)
	ref, err := tenant.ParseRef(p.Ref)
	if err != nil {
		return err
	}
	token := pattern.Token.AccessToken.Reveal()
	c := pattern
	c.Birth, c.Due = rand.Text(), ""
	c.Token.Account = p.ID
	c.Token.AccessToken = oauth.NewSecret(token[:len(token)-10] + strings.Repeat("0", 10-len(p.ID)) + p.ID)
	c.NextRefresh = now.Add(30*day + time.Duration(n*7919%(18*24*60))*time.Minute)
	_, err = s.Credentials.Update(ctx, ref, func(*store.Credential) (store.Credential, error) { return c, nil })
	return err
}
