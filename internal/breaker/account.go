package breaker

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// An accountPause is a rate limit that one account, or a page or business of it, has
// met.
type accountPause struct {
	outage store.Outage
	// count is how many consecutive limits named no time.
	count int
}

// pauseAccount pauses the calls for the account until the time that the provider named,
// or for a time that doubles with each limit. It returns the end of the pause.
func (c *circuit) pauseAccount(account string, e *provider.Error, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleteOldPauses(now)
	former := c.accounts[account]
	if former != nil && former.outage.Until.After(now) {
		return former.outage.Until // a concurrent call for the account met the limit first
	}
	p := &accountPause{outage: store.Outage{Cause: *Failure(e, now), Since: now}}
	if former != nil {
		p.count = former.count
	}
	if e.Until.IsZero() {
		p.count++
	}
	p.outage.Until = pauseEnd(e.Until, p.count, now)
	if c.accounts == nil {
		c.accounts = map[string]*accountPause{}
	}
	c.accounts[account] = p
	return p.outage.Until
}

// deleteOldPauses limits the size of the map. A pause stays for a while after its end, for
// its count. It is called with the lock held.
func (c *circuit) deleteOldPauses(now time.Time) {
	for account, p := range c.accounts {
		if now.Sub(p.outage.Until) > longestPause || p.outage.Until.Sub(now) > longestOutage {
			delete(c.accounts, account)
		}
	}
}

// accountOutage returns why no calls are made for the account, or nil. It is called
// with the lock held.
func (c *circuit) accountOutage(account string, now time.Time) *store.Outage {
	p := c.accounts[account]
	if account == "" || p == nil {
		return nil
	}
	if left := p.outage.Until.Sub(now); left <= 0 || left > longestOutage {
		return nil
	}
	return &p.outage
}

// accountAnswered deletes the account's pause after a successful call, if it is over.
func (c *circuit) accountAnswered(account string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accountOutage(account, now) == nil {
		delete(c.accounts, account)
	}
}

// throttledAccounts counts the paused accounts. It is called with the lock held.
func (c *circuit) throttledAccounts(now time.Time) (n int) {
	for account := range c.accounts {
		if c.accountOutage(account, now) != nil {
			n++
		}
	}
	return n
}

// RecordLimit records err, which is one of the answers to a call for several accounts.
// A rate limit of the subject's account pauses that account, and is returned with the
// end of the pause. Any other error is returned unchanged.
func (b *Breaker) RecordLimit(ctx context.Context, s Subject, err error) error {
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != provider.Throttled || e.Owner() == provider.ConcernsApp || s.Account == "" {
		return err
	}
	c, loadErr := b.circuit(ctx, s.Provider)
	if loadErr != nil {
		return err
	}
	limit := *e
	limit.Until = c.pauseAccount(s.Account, e, b.Now().UTC())
	return &limit
}
