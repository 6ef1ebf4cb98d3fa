package call

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Held is a credential under its ref.
type Held struct {
	Ref        tenant.Ref
	Credential store.Credential
}

// parallelResults is how many results of one batch are stored concurrently.
const parallelResults = 8

// CheckAll checks credentials of one provider, a [provider.BatchInspector], in one call.
// It skips those whose check is under way, and those whose fresh token is not stored yet. The results are on the credentials; an error
// is one of storage.
func (cs *Calls) CheckAll(ctx context.Context, batch []Held) error {
	mine, results := cs.joinAll(batch)
	finished := make([]bool, len(mine))
	defer func() {
		// After an error or a panic no other code would finish the rest.
		for i, res := range results {
			if !finished[i] {
				res.err = oauth.Errorf(oauth.Unavailable, "the check was interrupted; try again")
				cs.underWay.finish(check, mine[i].Ref, res)
			}
		}
	}()
	answers, config := cs.inspectAll(ctx, mine)
	// The answers are stored even if the mount shuts down now.
	return sweep.InParallel(context.WithoutCancel(ctx), parallelResults, len(mine), func(i int) error {
		held, res := mine[i], results[i]
		finished[i] = true
		defer cs.underWay.finish(check, held.Ref, res)
		res.credential, res.err = cs.record(ctx, held.Ref, checking, held.Credential, config, answers[i].Token, answers[i].Err)
		return errors.Join(StorageError(res.err), cs.Store.Events.FlushFull(ctx))
	})
}

// joinAll begins the checks of a batch, without those that are under way already or whose
// token is replaced by one that is held.
func (cs *Calls) joinAll(batch []Held) (mine []Held, results []*result) {
	for _, held := range batch {
		if cs.unstored.holds(held.Ref) {
			continue
		}
		if res, ok, err := cs.underWay.join(cs.Context, check, held.Ref); err == nil && ok {
			mine, results = append(mine, held), append(results, res)
		}
	}
	return mine, results
}

// inspectAll returns the provider's answers about the batch, one for each credential.
func (cs *Calls) inspectAll(ctx context.Context, batch []Held) ([]provider.Inspection, store.Config) {
	answers := make([]provider.Inspection, len(batch))
	if len(batch) == 0 {
		return answers, store.Config{}
	}
	ref := batch[0].Ref
	p, config, err := cs.Breaker.Client(ctx, ref.Provider)
	if err == nil {
		calls, cancel := provider.Within(ctx)
		defer cancel()
		err = cs.Breaker.Call(calls, ref.Provider, check, func() error {
			return Guard(cs.Log, ref, func() error {
				answers = p.(provider.BatchInspector).InspectAll(calls, config.Client(), tokens(batch))
				return sharedError(answers)
			})
		})
	}
	for i := range answers {
		a := &answers[i]
		a.Err = cs.Breaker.RecordLimit(ctx, Subject(batch[i].Ref, batch[i].Credential), a.Err)
		switch {
		case err != nil && a.Err == nil && a.Token.AccessToken.IsZero():
			a.Err = err // the call was not made
		case a.Err != nil && ctx.Err() != nil:
			a.Err = ctx.Err()
		}
	}
	return answers, config
}

func tokens(batch []Held) []oauth.Token {
	all := make([]oauth.Token, len(batch))
	for i, held := range batch {
		all[i] = held.Credential.Token
	}
	return all
}

// sharedError returns what the answers say about the provider or its client, for the
// breaker: a rate limit or a refusal of the client if one answer has it, a transient error
// if all have one.
func sharedError(answers []provider.Inspection) (err error) {
	transient := 0
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
			transient++
		}
	}
	if transient < len(answers) {
		return nil
	}
	return err
}
