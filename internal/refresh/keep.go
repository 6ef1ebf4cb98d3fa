package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// parallelBatches is how many batches of checks are sent concurrently, and how many
// results of one are stored concurrently.
const parallelBatches = 8

// failingLong is for how long a refresh may fail for reasons that are not
// understood before the provider is asked whether the token lives at all.
const failingLong = 24 * time.Hour

// A chore is a credential at which something is due.
type chore struct {
	ref        tenant.Ref
	credential store.Credential
}

// callsOfRefresh is how many calls a refresh makes of a provider, as a rule.
const callsOfRefresh = 2

// Keep is the due work at credentials: it refreshes or checks each, whatever is
// due. Refreshes come first; checks are asked for in batches. How that went is
// in the credentials; the error is one of storage.
func (r *Refresher) Keep(ctx context.Context, entries []due.Entry) error {
	ctx = store.WithoutCaching(ctx)
	checks := make([]*chore, len(entries))
	errs := []error{sweep.InParallel(ctx, sweep.Parallel, len(entries), func(i int) (err error) {
		checks[i], err = r.keep(ctx, entries[i])
		return err
	})}
	batches := r.batches(checks)
	return errors.Join(append(errs, sweep.InParallel(ctx, parallelBatches, len(batches), func(i int) error {
		return r.checkAll(ctx, batches[i])
	}))...)
}

// keep does what is due at one credential. If that is a check it is returned,
// to be done together with others.
func (r *Refresher) keep(ctx context.Context, entry due.Entry) (check *chore, err error) {
	ref, err := tenant.ParseFlat(entry.ID)
	if err == nil && errors.Is(r.Store.Tenants.Deleting(ctx, ref.Tenant), store.ErrDeleting) {
		// All of it is being removed, and may not open any more.
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
		// It is being removed, and so will be what it names.
		return nil, r.Store.Due.Delete(ctx, entry)
	}
	if err != nil {
		return nil, err
	}
	now := r.Now()
	noticed := !c.NextNotice.IsZero() && !now.Before(c.NextNotice)
	if noticed {
		if c, err = r.notify(ctx, ref); err != nil {
			return nil, err
		}
	}
	k := &chore{ref: ref, credential: c}
	if noticed && now.Before(c.NextDue()) {
		return nil, nil // that was all
	}
	if r.Breaker.Open(ctx, breaker.Subject{Provider: ref.Provider}) != nil {
		return nil, r.done(ctx, k)
	}
	if r.formersDue(c) {
		if c, err = r.revokeFormers(ctx, ref, c); err != nil {
			return nil, err
		}
		if k.credential = c; c.NextDue().IsZero() || now.Before(c.NextDue()) {
			return nil, nil // that was all
		}
	}
	checkDue := !c.NextCheck.IsZero() && !now.Before(c.NextCheck)
	if c.NextRefresh.IsZero() || now.Before(c.NextRefresh) || !c.DeadSince.IsZero() && checkDue {
		return k, nil
	}
	if r.Breaker.Open(ctx, subject(ref, c)) != nil {
		// The account's limit. A check is made with the app's token.
		if checkDue {
			return k, nil
		}
		return nil, r.done(ctx, k)
	}
	return nil, r.refreshOne(ctx, k)
}

func (r *Refresher) refreshOne(ctx context.Context, k *chore) error {
	if err := r.Budget.WaitN(ctx, callsOfRefresh); err != nil {
		return err
	}
	_, err := r.Refresh(ctx, k.ref)
	if since := k.credential.FailingSince; err != nil && !since.IsZero() && r.Now().Sub(since) >= failingLong {
		// Nobody knows what the refusals mean: ask about the token itself.
		if err := r.Budget.Wait(ctx); err != nil {
			return err
		}
		_, err = r.Check(ctx, k.ref)
	}
	return errors.Join(known(err), r.done(ctx, k), r.Store.Events.FlushFull(ctx))
}

// batches gathers checks that can be asked for together: of one provider, as
// many as it takes.
func (r *Refresher) batches(checks []*chore) (batches [][]*chore) {
	open := map[string]int{} // the provider's batch that is not full, if there is one
	for _, k := range checks {
		if k == nil {
			continue
		}
		limit := 1
		if p, ok := r.Providers[k.ref.Provider].(provider.BatchInspector); ok {
			limit = p.BatchLimit()
		}
		i, ok := open[k.ref.Provider]
		if !ok || len(batches[i]) == limit {
			i, batches = len(batches), append(batches, nil)
			open[k.ref.Provider] = i
		}
		batches[i] = append(batches[i], k)
	}
	return batches
}

// checkAll does the checks of one batch, but those that somebody else is at.
func (r *Refresher) checkAll(ctx context.Context, batch []*chore) error {
	if len(batch) == 1 {
		return r.checkOne(ctx, batch[0])
	}
	if err := r.Budget.WaitN(ctx, len(batch)); err != nil {
		return err
	}
	mine, results := r.joinAll(batch)
	finished := make([]bool, len(mine))
	defer func() {
		// After an error or a panic no other code would finish the rest.
		for i, res := range results {
			if !finished[i] {
				res.err = oauth.Errorf(oauth.Unavailable, "the check was interrupted; try again")
				r.calls.finish(check, mine[i].ref, res)
			}
		}
	}()
	answers, config := r.inspectAll(ctx, mine)
	// The answers are stored even if the mount shuts down now.
	errs := []error{sweep.InParallel(context.WithoutCancel(ctx), parallelBatches, len(mine), func(i int) (err error) {
		k, res := mine[i], results[i]
		finished[i] = true
		defer r.calls.finish(check, k.ref, res)
		res.credential, res.err = r.record(ctx, k.ref, r.checking(), k.credential, config, answers[i].Token, answers[i].Err)
		return errors.Join(known(res.err), r.Store.Events.FlushFull(ctx))
	})}
	for _, k := range batch {
		errs = append(errs, r.done(ctx, k))
	}
	return errors.Join(errs...)
}

// joinAll begins the checks of a batch, without those that are under way already.
func (r *Refresher) joinAll(batch []*chore) (mine []*chore, results []*result) {
	for _, k := range batch {
		if res, ok := r.calls.join(check, k.ref); ok {
			mine, results = append(mine, k), append(results, res)
		}
	}
	return mine, results
}

func (r *Refresher) checkOne(ctx context.Context, k *chore) error {
	if err := r.Budget.Wait(ctx); err != nil {
		return err
	}
	_, err := r.Check(ctx, k.ref)
	return errors.Join(known(err), r.done(ctx, k))
}

// inspectAll asks for the checks of one provider in one call.
func (r *Refresher) inspectAll(ctx context.Context, batch []*chore) ([]provider.Inspection, store.Config) {
	answers := make([]provider.Inspection, len(batch))
	if len(batch) == 0 {
		return answers, store.Config{}
	}
	ref := batch[0].ref
	p, config, err := r.Breaker.Client(ctx, ref.Provider)
	if err == nil {
		calls, cancel := provider.Within(ctx)
		defer cancel()
		err = r.Breaker.Call(calls, ref.Provider, check, func() error {
			return r.guarded(ref, func() error {
				answers = p.(provider.BatchInspector).InspectAll(calls, config.Client(), tokens(batch))
				return gist(answers)
			})
		})
	}
	for i := range answers {
		a := &answers[i]
		a.Err = r.Breaker.RecordLimit(ctx, subject(batch[i].ref, batch[i].credential), a.Err)
		switch {
		case err != nil && a.Err == nil && a.Token.AccessToken.IsZero():
			a.Err = err // nobody was asked
		case a.Err != nil && ctx.Err() != nil:
			a.Err = ctx.Err()
		}
	}
	return answers, config
}

// subject is whose token c is.
func subject(ref tenant.Ref, c store.Credential) breaker.Subject {
	return breaker.Subject{Provider: ref.Provider, Account: c.Token.Account}
}

func tokens(batch []*chore) []oauth.Token {
	all := make([]oauth.Token, len(batch))
	for i, k := range batch {
		all[i] = k.credential.Token
	}
	return all
}

// gist is what a batch tells of the provider: an error if one of its answers
// is about the provider or the client, or if there was no answer at all.
func gist(answers []provider.Inspection) (err error) {
	passing := 0
	for _, a := range answers {
		var e *provider.Error
		if !errors.As(a.Err, &e) || e.Owner() != provider.ConcernsApp {
			continue
		}
		switch e.Class {
		case provider.Throttled, provider.Misconfigured:
			return a.Err
		case provider.Transient:
			err = a.Err
			passing++
		}
	}
	if passing < len(answers) {
		return nil
	}
	return err
}

// done looks whether the chore is still due where it was. If that is
// because the provider is left alone, what is due is put off.
func (r *Refresher) done(ctx context.Context, k *chore) error {
	c, err := r.Store.Credentials.Read(ctx, k.ref)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || c.Due != k.credential.Due {
		return err
	}
	outage, err := r.Breaker.Outage(ctx, subject(k.ref, c))
	if outage == nil || err != nil {
		return err
	}
	_, err = r.Store.Credentials.Update(ctx, k.ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Due != c.Due {
			return store.Credential{}, errSuperseded
		}
		later, at := *old, r.afterOutage(k.ref, *old, outage)
		if due := later.NextRefresh; !due.IsZero() && !due.After(r.Now()) && r.Breaker.Open(ctx, breaker.Subject{Provider: k.ref.Provider}) == nil {
			later.NextRefresh = at // an account's limit on refreshes puts off no check
			return later, nil
		}
		putOff(&later, at)
		return later, nil
	})
	if errors.Is(err, errSuperseded) || store.Gone(err) {
		return nil
	}
	return err
}

const (
	// shortestWait and longestWait bound for how long work is put off that waits
	// for a provider to work again. In between, an outage that has lasted an hour
	// is taken to last another one.
	shortestWait, longestWait = 15 * time.Minute, 6 * time.Hour
	// spreadOut is over how long, at most, the work that waited is spread.
	spreadOut = time.Hour
)

// afterOutage is when to come back to a credential after its provider's
// outage. A token about to expire gets its chance: the wait is never more than
// half of what it has left.
func (r *Refresher) afterOutage(ref tenant.Ref, c store.Credential, o *store.Outage) time.Time {
	now := r.Now().UTC()
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

// known returns err without those that the API has a code for: what they mean
// stands in the credential.
func known(err error) error {
	if oauth.CodeOf(err) != "" {
		return nil
	}
	return err
}
