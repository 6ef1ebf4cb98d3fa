package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const (
	// parallelBatches is how many batches of checks are sent concurrently.
	parallelBatches = 8
	// failingLong is for how long a refresh may fail before a check finds out whether the
	// token lives at all.
	failingLong = 24 * time.Hour
	// callsOfRefresh is how many calls a refresh usually makes.
	callsOfRefresh = 2
)

// RefreshDue is the due work at credentials: it publishes their notices, revokes their
// former tokens, and refreshes or checks them. Checks come last, in batches. The results
// are on the credentials; the error is one of storage.
func (r *Refresher) RefreshDue(ctx context.Context, entries []due.Entry) error {
	ctx = store.WithoutCaching(ctx)
	checks := make([]*call.Held, len(entries))
	errs := []error{sweep.InParallel(ctx, sweep.Parallel, len(entries), func(i int) (err error) {
		checks[i], err = r.work(ctx, entries[i])
		return err
	})}
	batches := r.batches(checks)
	return errors.Join(append(errs, sweep.InParallel(ctx, parallelBatches, len(batches), func(i int) error {
		return r.checkBatch(ctx, batches[i])
	}))...)
}

// work does what is due at one credential, except for a check: it returns the credential
// that is to be checked.
func (r *Refresher) work(ctx context.Context, entry due.Entry) (check *call.Held, err error) {
	held, err := r.dueCredential(ctx, entry)
	if held == nil || err != nil {
		return nil, err
	}
	ref, now := held.Ref, r.Now()
	if at := held.Credential.NextNotice; !at.IsZero() && !now.Before(at) {
		if held.Credential, err = r.notify(ctx, ref); err != nil || now.Before(held.Credential.NextDue()) {
			return nil, err
		}
	}
	if r.Breaker.Open(ctx, breaker.Subject{Provider: ref.Provider}) != nil {
		return nil, r.postpone(ctx, *held)
	}
	if r.formersDue(held.Credential) {
		held.Credential, err = r.revokeFormers(ctx, ref, held.Credential)
		if next := held.Credential.NextDue(); err != nil || next.IsZero() || now.Before(next) {
			return nil, err
		}
	}
	refresh, checkDue := dueCalls(held.Credential, now)
	switch {
	case !refresh:
		return held, nil
	case r.Breaker.Open(ctx, call.Subject(ref, held.Credential)) == nil:
		return nil, r.refreshOne(ctx, *held)
	case checkDue:
		return held, nil // the account's limit does not concern it: it is made with the app's token
	}
	return nil, r.postpone(ctx, *held)
}

// dueCredential returns the credential that due leads to. It returns nil, and deletes the
// index entry, if nothing is due there or the credential is being removed.
func (r *Refresher) dueCredential(ctx context.Context, entry due.Entry) (*call.Held, error) {
	ref, err := tenant.ParseFlat(entry.ID)
	if err == nil && errors.Is(r.Store.Tenants.Deleting(ctx, ref.Tenant), store.ErrDeleting) {
		// The tenant's keys may be gone already, and the record not open any more.
		return nil, r.Store.Due.Delete(ctx, entry)
	}
	if dropped, err := r.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if ref.Kind() == tenant.Page {
		if _, err := r.Store.Credentials.Read(ctx, ref.Above()); errors.Is(err, store.ErrNotFound) {
			return nil, r.Store.Credentials.DeletePage(ctx, ref.Above(), ref.Page)
		}
	}
	c, err := r.Store.Credentials.Connected(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		return nil, r.Store.Due.Delete(ctx, entry)
	}
	if err != nil {
		return nil, err
	}
	return &call.Held{Ref: ref, Credential: c}, nil
}

// dueCalls reports which calls are due. If both are, a refresh is made first: its answer
// is as good as a check's. A token that was called dead is checked and not refreshed.
func dueCalls(c store.Credential, now time.Time) (refresh, check bool) {
	check = !c.NextCheck.IsZero() && !now.Before(c.NextCheck)
	refresh = !c.NextRefresh.IsZero() && !now.Before(c.NextRefresh) && (c.DeadSince.IsZero() || !check)
	return refresh, check
}

func (r *Refresher) refreshOne(ctx context.Context, held call.Held) error {
	if err := r.Budget.WaitN(ctx, callsOfRefresh); err != nil {
		return err
	}
	c, err := r.Refresh(ctx, held.Ref)
	givenUp := c.Status == store.Failed && c.Token.Refreshable() // a check of the refresh token would begin the tries anew
	if since := held.Credential.FailingSince; err != nil && !givenUp && !since.IsZero() && r.Now().Sub(since) >= failingLong {
		// The errors of the refresh do not say whether the token lives. A check does.
		if err := r.Budget.Wait(ctx); err != nil {
			return err
		}
		_, err = r.Check(ctx, held.Ref)
	}
	return errors.Join(call.StorageError(err), r.postpone(ctx, held), r.Store.Events.FlushFull(ctx))
}

// batches gathers the checks of each provider, as many as one of its calls takes.
func (r *Refresher) batches(checks []*call.Held) (batches [][]call.Held) {
	open := map[string]int{} // by provider, its batch that is not full
	for _, held := range checks {
		if held == nil {
			continue
		}
		limit, name := 1, held.Ref.Provider
		if p, ok := r.Providers[name].(provider.BatchInspector); ok {
			limit = p.BatchLimit()
		}
		i, ok := open[name]
		if !ok || len(batches[i]) == limit {
			i, batches = len(batches), append(batches, nil)
			open[name] = i
		}
		batches[i] = append(batches[i], *held)
	}
	return batches
}

func (r *Refresher) checkBatch(ctx context.Context, batch []call.Held) error {
	if err := r.Budget.WaitN(ctx, len(batch)); err != nil {
		return err
	}
	var errs []error
	if len(batch) == 1 {
		_, err := r.Check(ctx, batch[0].Ref)
		errs = append(errs, call.StorageError(err))
	} else {
		errs = append(errs, r.Calls.CheckAll(ctx, batch))
	}
	for _, held := range batch {
		errs = append(errs, r.postpone(ctx, held))
	}
	return errors.Join(errs...)
}

// postpone moves what is still due at the credential to after the provider's outage, if
// there is one: otherwise each sweep would list it again.
func (r *Refresher) postpone(ctx context.Context, held call.Held) error {
	c, err := r.Store.Credentials.Read(ctx, held.Ref)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || c.Due != held.Credential.Due {
		return err
	}
	outage, err := r.Breaker.Outage(ctx, call.Subject(held.Ref, c))
	if outage == nil || err != nil {
		return err
	}
	_, err = r.Store.Credentials.Update(ctx, held.Ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Due != c.Due {
			return store.Credential{}, call.ErrSuperseded
		}
		later, now := *old, r.Now().UTC()
		at := afterOutage(held.Ref, later, outage, now)
		if due := later.NextRefresh; !due.IsZero() && !due.After(now) && r.Breaker.Open(ctx, breaker.Subject{Provider: held.Ref.Provider}) == nil {
			later.NextRefresh = at // an account's limit on refreshes postpones no check
			return later, nil
		}
		call.Postpone(&later, at)
		return later, nil
	})
	if errors.Is(err, call.ErrSuperseded) || store.Gone(err) {
		return nil
	}
	return err
}

const (
	// shortestWait and longestWait bound for how long due work waits for a provider to
	// recover. In between, an outage that has lasted an hour is expected to last another.
	shortestWait, longestWait = 15 * time.Minute, 6 * time.Hour
	// spreadOut is the time, at most, over which the work that waited is spread.
	spreadOut = time.Hour
)

// afterOutage returns when the credential's work is due again. A token that is about to
// expire gets its chance: the wait is at most half of what it has left.
func afterOutage(ref tenant.Ref, c store.Credential, o *store.Outage, now time.Time) time.Time {
	wait := min(max(now.Sub(o.Since), shortestWait), longestWait)
	if !o.Until.IsZero() {
		wait = o.Until.Sub(now)
	}
	wait += time.Duration(float64(min(wait, spreadOut)) * plan.Fraction(ref))
	if life := c.Token.ExpiresAt.Sub(now); life > 0 {
		wait = min(wait, max(life/2, time.Minute))
	}
	return now.Add(wait)
}
