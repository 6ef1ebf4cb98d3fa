package refresh

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A call is one request to the provider about a credential. All callers that ask for it
// while it is under way share its result, as with golang.org/x/sync/singleflight.
type call struct {
	name string
	// wanted reports whether the call is still needed: another one may just have
	// changed the credential.
	wanted func(store.Credential) bool
	send   func(context.Context, provider.Provider, oauth.Client, store.Credential) (oauth.Token, error)
	// apply changes the credential by the answer.
	apply func(c *store.Credential, answer oauth.Token)
}

// A result is that of a call. done is closed when the other fields are set.
type result struct {
	done       chan struct{}
	credential store.Credential
	err        error
}

// calls are the results of the calls under way, by name and ref. The zero value is
// ready.
type calls struct {
	mu    sync.Mutex
	under map[string]*result
}

// join returns the result of the call under way for ref. If there is none, mine is
// true, and the caller must make the call and finish it.
func (c *calls) join(name string, ref tenant.Ref) (res *result, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := name + " " + ref.String()
	if res := c.under[key]; res != nil {
		return res, false
	}
	if c.under == nil {
		c.under = map[string]*result{}
	}
	res = &result{done: make(chan struct{})}
	c.under[key] = res
	return res, true
}

// finish passes the result to all callers that joined.
func (c *calls) finish(name string, ref tenant.Ref, res *result) {
	c.mu.Lock()
	delete(c.under, name+" "+ref.String())
	c.mu.Unlock()
	close(res.done)
}

// call joins the call of that name for ref, or makes it. An error of the provider is
// returned as [provider.Refusal] has it.
func (r *Refresher) call(ctx context.Context, ref tenant.Ref, c call) (store.Credential, error) {
	if !r.Writable() {
		return store.Credential{}, store.ErrReadOnly
	}
	res, mine := r.calls.join(c.name, ref)
	if mine {
		go func() {
			defer r.calls.finish(c.name, ref, res)
			crash := r.guarded(ref, func() error { res.credential, res.err = r.run(r.Life, ref, c); return nil })
			res.err = cmp.Or(crash, res.err)
		}()
	}
	patience, cancel := provider.Patience(ctx)
	defer cancel()
	select {
	case <-res.done:
		return res.credential, res.err
	case <-patience.Done():
		return store.Credential{}, waitEnded(ctx)
	}
}

// waitEnded is the error of a caller whose budget or ctx ends before the call. The call
// goes on for other callers.
func waitEnded(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return oauth.Errorf(oauth.Unavailable, "the provider did not answer within %s; try again", provider.CallTimeout)
}

// await returns the result of a shared call, or waitEnded.
func await(ctx context.Context, shared <-chan singleflight.Result) (any, error) {
	patience, cancel := provider.Patience(ctx)
	defer cancel()
	select {
	case res := <-shared:
		return res.Val, res.Err
	case <-patience.Done():
		return nil, waitEnded(ctx)
	}
}

// guarded turns a panic of call into a transient error and a log line.
func (r *Refresher) guarded(ref tenant.Ref, call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("panic while calling the provider", "ref", ref.String(), "panic", p, "stack", string(debug.Stack()))
			err = &provider.Error{Class: provider.Transient, Op: "calling the provider", Message: "internal error"}
		}
	}()
	return call()
}

// run makes the call and records its result.
func (r *Refresher) run(ctx context.Context, ref tenant.Ref, c call) (store.Credential, error) {
	before, err := admission.Credential(ctx, r.Store, ref)
	if err != nil || !c.wanted(before) {
		return before, err
	}
	answer, config, cause := r.send(ctx, ref, c, before)
	return r.record(ctx, ref, c, before, config, answer, cause)
}

// send sends the call to the provider, about credential.
func (r *Refresher) send(ctx context.Context, ref tenant.Ref, c call, credential store.Credential) (answer oauth.Token, config store.Config, err error) {
	p, config, err := r.Breaker.Client(ctx, ref.Provider)
	if err != nil {
		return oauth.Token{}, config, err
	}
	calls, cancel := provider.Within(ctx)
	defer cancel()
	of := subject(ref, credential)
	if c.name == check {
		of.Account = "" // it is made with the app's token
	}
	err = r.Breaker.CallFor(calls, of, c.name, func() error {
		return r.guarded(ref, func() (err error) {
			answer, err = c.send(calls, p, config.Client(), credential)
			return err
		})
	})
	err = r.Breaker.RecordLimit(ctx, subject(ref, credential), err)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return answer, config, err
}

// record records the result of a call that began with the credential before: the
// answer, or its error, cause. It returns what the call's callers get.
func (r *Refresher) record(ctx context.Context, ref tenant.Ref, c call, before store.Credential, config store.Config, answer oauth.Token, cause error) (store.Credential, error) {
	after, err := r.storeResult(ctx, ref, c, before, config, answer, cause)
	r.CallEnded(ref.Provider, c.name, outcomeOf(c.name, before, after, err))
	if cause == nil && answer.AccessToken != before.Token.AccessToken && (errors.Is(err, errSuperseded) || oauth.CodeOf(err) == oauth.NotFound) {
		// The answer is a fresh token that no record has: its credential was deleted or
		// connected again meanwhile. The credential's own token was dealt with then.
		r.Revoker.Unstored(ctx, ref, answer)
	}
	if errors.Is(err, errSuperseded) {
		return admission.Credential(ctx, r.Store, ref)
	}
	if before.Status == store.Active && after.Status == store.Revoked && after.LastError.Concerns == string(provider.ConcernsAccount) {
		// The account's other credentials rest on the same grant, in other tenants too.
		if err := r.Revoker.CheckOthers(context.WithoutCancel(ctx), ref.Provider, ref, after.Token.Account); err != nil {
			r.Log.Warn("the other credentials of the account could not be marked for a check", "ref", ref.String(), "error", err)
		}
	}
	return after, err
}

// Succeeded is the outcome of a successful "refresh" or "check".
func Succeeded(name string) string {
	if name == check {
		return "alive"
	}
	return "refreshed"
}

// outcomeOf is the outcome of a call that began with the credential before.
func outcomeOf(name string, before, after store.Credential, err error) string {
	var refused *provider.Error
	switch {
	case errors.Is(err, provider.ErrCircuitOpen):
		return "left_alone"
	case errors.As(err, &refused):
		return string(refused.Class)
	case errors.Is(err, errSuperseded), oauth.CodeOf(err) == oauth.NotFound:
		return "superseded"
	case err != nil:
		return "error"
	case name != check && after.Generation == before.Generation:
		return "not_extended"
	}
	return Succeeded(name)
}

// storeResult stores the result, or returns errSuperseded if the record has changed since
// the call began.
func (r *Refresher) storeResult(ctx context.Context, ref tenant.Ref, call call, before store.Credential, config store.Config, answer oauth.Token, cause error) (store.Credential, error) {
	var refused *provider.Error
	switch {
	case cause != nil && !errors.As(cause, &refused):
		return store.Credential{}, cause // an error of storage, or the mount's shutdown
	case cause != nil && r.providerWide(ctx, ref.Provider, refused) && !limitOutlasts(before, refused, r.Now()):
		return before, provider.Refusal(cause)
	case cause == nil && before.Page == nil && answer.Account != before.Token.Account:
		cause = &provider.Error{Class: provider.Transient, Op: call.name, Message: "the provider answered for another account"}
	case cause != nil:
		cause = about(before, refused)
	}
	// The answer is stored even if the mount shuts down now.
	after, err := r.Store.Credentials.Update(context.WithoutCancel(ctx), ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != before.Birth || old.Generation != before.Generation {
			return store.Credential{}, errSuperseded
		}
		// A fresh token is stored although a check has changed the record meanwhile.
		if old.Revision != before.Revision && (call.name != "refresh" || cause != nil || old.Status != store.Active) {
			return store.Credential{}, errSuperseded
		}
		c := *old
		if cause != nil {
			r.recordFailure(&c, call.name, cause)
			c.RefreshFailing = c.RefreshFailing || call.name == "refresh" && c.ConsecutiveFailures > 0
			return c, nil
		}
		call.apply(&c, answer)
		if !plan.SameNotices(*old, c) || old.Status != store.Active {
			plan.Notice(&c, r.Now())
		}
		plan.Check(ref, &c, config, r.Now())
		if call.name == "refresh" || old.Status != store.Active || !old.Token.ExpiresAt.Equal(c.Token.ExpiresAt) {
			plan.Refresh(ref, &c, r.Now())
		}
		return c, nil
	})
	switch {
	case errors.Is(err, store.ErrRemoving):
		return store.Credential{}, admission.NoCredential(ref)
	case err != nil:
		return store.Credential{}, err
	case cause != nil:
		r.Log.Warn(call.name+" failed", "ref", ref.String(), "error", cause)
	case after.Generation != before.Generation:
		r.Log.Info("refreshed", "ref", ref.String(), "expires_at", after.Token.ExpiresAt)
	}
	return after, refusal(after, cause)
}

// limitOutlasts reports whether a rate limit has prevented a refresh until a week after
// the token expired. Before that the caller gets the limit's error.
func limitOutlasts(c store.Credential, e *provider.Error, now time.Time) bool {
	return e.Class == provider.Throttled && c.Status == store.Active && !c.Token.ExpiresAt.IsZero() && !c.Token.Live(now.Add(-7*24*time.Hour))
}

// providerWide reports whether a failure is the provider's, and not to be recorded on the
// credential.
func (r *Refresher) providerWide(ctx context.Context, name string, e *provider.Error) bool {
	switch e.Class {
	case provider.Throttled:
		return true
	case provider.Misconfigured:
		return r.Breaker.Open(ctx, breaker.Subject{Provider: name}) != nil
	}
	return errors.Is(e, provider.ErrCircuitOpen)
}

// errSuperseded is returned if the credential has changed since a call began.
var errSuperseded = errors.New("the credential has changed since the call began")
