package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// An accountPause is a limit that one account, or a page or business of it, has
// met.
type accountPause struct {
	outage store.Outage
	// count is how many limits in a row named no time.
	count int
}

// pauseAccount makes no more calls for the account until the time that the
// provider named, or for a while that doubles each time. It returns that time.
func (d *door) pauseAccount(account string, e *provider.Error, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetAccounts(now)
	former := d.accounts[account]
	if former != nil && former.outage.Until.After(now) {
		return former.outage.Until // another call for the account met the limit first
	}
	p := &accountPause{outage: store.Outage{Cause: *failure(e, now), Since: now}}
	if former != nil {
		p.count = former.count
	}
	until := e.Until
	if until.IsZero() {
		p.count++
		until = now.Add(min(shortestPause<<min(p.count-1, 10), longestPause))
	}
	p.outage.Until = now.Add(min(max(until.Sub(now), time.Minute), longestOutage))
	if d.accounts == nil {
		d.accounts = map[string]*accountPause{}
	}
	d.accounts[account] = p
	return p.outage.Until
}

// forgetAccounts drops the pauses that ended long ago, so that the map does not
// grow. The others are kept for their counts. It is called with the lock held.
func (d *door) forgetAccounts(now time.Time) {
	for account, p := range d.accounts {
		if now.Sub(p.outage.Until) > longestPause || p.outage.Until.Sub(now) > longestOutage {
			delete(d.accounts, account)
		}
	}
}

// accountOutage returns why no calls are made for the account, or nil. It is
// called with the lock held.
func (d *door) accountOutage(account string, now time.Time) *store.Outage {
	p := d.accounts[account]
	if account == "" || p == nil {
		return nil
	}
	if left := p.outage.Until.Sub(now); left <= 0 || left > longestOutage {
		return nil
	}
	return &p.outage
}

// accountAnswered forgets the limit of an account for which a call succeeded
// after its pause.
func (d *door) accountAnswered(account string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.accountOutage(account, now) == nil {
		delete(d.accounts, account)
	}
}

// throttledAccounts counts the accounts that are paused. It is called with the
// lock held.
func (d *door) throttledAccounts(now time.Time) (n int) {
	for account := range d.accounts {
		if d.accountOutage(account, now) != nil {
			n++
		}
	}
	return n
}

// shutFor returns why no calls must be made for the account now, or nil.
func (d *door) shutFor(account string, now time.Time) error {
	if err := d.shut(now); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.accountOutage(account, now); o != nil {
		return leftAlone("this account", o)
	}
	return nil
}

// LimitedFor takes in err, one answer of a call for several accounts. A limit of
// the subject's account pauses that account, and is returned with the time at
// which the pause ends. Any other error is returned as it is.
func (g *Gate) LimitedFor(ctx context.Context, s Subject, err error) error {
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != provider.Throttled || e.Owner() == provider.ConcernsApp || s.Account == "" {
		return err
	}
	d, loadErr := g.door(ctx, s.Provider)
	if loadErr != nil {
		return err
	}
	limit := *e
	limit.Until = d.pauseAccount(s.Account, e, g.Now().UTC())
	return &limit
}
