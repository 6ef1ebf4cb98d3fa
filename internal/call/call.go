// Package call refreshes or checks one credential at its provider, and records the result
// on the credential.
//
// A call is made once for a ref and shared by all callers that wait for it, as with
// golang.org/x/sync/singleflight. No lock is held meanwhile. Its result is stored only if
// the credential has not changed since the call began: a connect, a delete or a refresh
// that is stored first wins.
package call

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Options are what Calls need.
type Options struct {
	Store   *store.Store
	Breaker *breaker.Breaker
	Revoker *revoke.Revoker
	Now     func() time.Time
	Log     hclog.Logger
	// Writable reports whether this node may write. Where it may not, no calls are made,
	// and the request is forwarded to the active node.
	Writable func() bool
	// Context ends when the mount shuts down, and all calls with it.
	Context context.Context
	// Ended is called with the outcome of each "refresh" and "check" of a credential: as
	// [Succeeded] has it; "not_extended"; "superseded" by another change; "left_alone"
	// while calls are paused; "error" of storage; or the class of the provider's error.
	// Nil: no function is called.
	Ended func(provider, name, outcome string)
}

// Calls make and share calls. Make one with [New]. It is safe for concurrent use.
type Calls struct {
	Options
	underWay underWay
}

// New returns Calls.
func New(o Options) *Calls {
	if o.Ended == nil {
		o.Ended = func(string, string, string) {}
	}
	return &Calls{Options: o}
}

const (
	refresh = "refresh"
	check   = "check"
)

// Refresh trades the token of ref's credential for a fresh one. A token that does not
// expire is inspected instead. Wanted reports whether the refresh is still needed when
// its turn comes: another call may just have changed the credential.
//
// An error of the provider is returned as [provider.Refusal] has it, and recorded on the
// credential if it is about that credential.
func (cs *Calls) Refresh(ctx context.Context, ref tenant.Ref, wanted func(store.Credential) bool) (store.Credential, error) {
	return cs.call(ctx, ref, operation{refresh, wanted, func(ctx context.Context, p provider.Provider, client oauth.Client, c store.Credential) (oauth.Token, error) {
		if c.Token.ExpiresAt.IsZero() {
			return p.Inspect(ctx, client, c.Token)
		}
		return p.Refresh(ctx, client, c.Token)
	}, func(c *store.Credential, fresh oauth.Token, now time.Time) {
		refreshed(c, fresh, cs.Revoker.Alone(ref.Provider, c.Token), now)
	}})
}

// Check asks the provider whether the token of ref's credential is alive. A credential
// that was out of service by mistake becomes active again. Its error is as that of Refresh.
func (cs *Calls) Check(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	return cs.call(ctx, ref, checking)
}

var checking = operation{check, func(store.Credential) bool { return true }, func(ctx context.Context, p provider.Provider, client oauth.Client, c store.Credential) (oauth.Token, error) {
	return p.Inspect(ctx, client, c.Token)
}, checked}

// An operation is what a call does.
type operation struct {
	name   string
	wanted func(store.Credential) bool
	send   func(context.Context, provider.Provider, oauth.Client, store.Credential) (oauth.Token, error)
	// apply changes the credential by the answer.
	apply func(c *store.Credential, answer oauth.Token, now time.Time)
}

// A result is that of a call. done is closed when the other fields are set.
type result struct {
	done       chan struct{}
	credential store.Credential
	err        error
}

// underWay has the results of the calls under way, by name and ref. The zero value is
// ready.
type underWay struct {
	mu      sync.Mutex
	results map[string]*result
}

// join returns the result of the call under way for ref. If there is none, mine is
// true, and the caller must make the call and finish it.
func (u *underWay) join(name string, ref tenant.Ref) (res *result, mine bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := name + " " + ref.String()
	if res := u.results[key]; res != nil {
		return res, false
	}
	if u.results == nil {
		u.results = map[string]*result{}
	}
	res = &result{done: make(chan struct{})}
	u.results[key] = res
	return res, true
}

// finish passes the result to all callers that joined.
func (u *underWay) finish(name string, ref tenant.Ref, res *result) {
	u.mu.Lock()
	delete(u.results, name+" "+ref.String())
	u.mu.Unlock()
	close(res.done)
}

// call joins the call of that name for ref, or makes it.
func (cs *Calls) call(ctx context.Context, ref tenant.Ref, op operation) (store.Credential, error) {
	if !cs.Writable() {
		return store.Credential{}, store.ErrReadOnly
	}
	res, mine := cs.underWay.join(op.name, ref)
	if mine {
		go func() {
			defer cs.underWay.finish(op.name, ref, res)
			crash := Guard(cs.Log, ref, func() error { res.credential, res.err = cs.run(cs.Context, ref, op); return nil })
			res.err = cmp.Or(crash, res.err)
		}()
	}
	if _, err := Wait(ctx, res.done); err != nil {
		return store.Credential{}, err
	}
	return res.credential, res.err
}

// Wait returns the result of a shared call, or an error if ctx or its budget of provider
// calls ends before. The call goes on for other callers.
func Wait[T any](ctx context.Context, results <-chan T) (res T, err error) {
	patience, cancel := provider.Patience(ctx)
	defer cancel()
	select {
	case res = <-results:
		return res, nil
	case <-patience.Done():
	}
	if ctx.Err() != nil {
		return res, ctx.Err()
	}
	return res, oauth.Errorf(oauth.Unavailable, "the provider did not answer within %s; try again", provider.CallTimeout)
}

// Guard calls do, and turns a panic into a transient error and a log line.
func Guard(log hclog.Logger, ref tenant.Ref, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic while calling the provider", "ref", ref.String(), "panic", p, "stack", string(debug.Stack()))
			err = &provider.Error{Class: provider.Transient, Op: "calling the provider", Message: "internal error"}
		}
	}()
	return do()
}

// run makes the call and records its result.
func (cs *Calls) run(ctx context.Context, ref tenant.Ref, op operation) (store.Credential, error) {
	before, err := admission.Credential(ctx, cs.Store, ref)
	if err != nil || !op.wanted(before) {
		return before, err
	}
	answer, config, cause := cs.send(ctx, ref, op, before)
	return cs.record(ctx, ref, op, before, config, answer, cause)
}

// send sends the call to the provider, about credential.
func (cs *Calls) send(ctx context.Context, ref tenant.Ref, op operation, credential store.Credential) (answer oauth.Token, config store.Config, err error) {
	p, config, err := cs.Breaker.Client(ctx, ref.Provider)
	if err != nil {
		return oauth.Token{}, config, err
	}
	calls, cancel := provider.Within(ctx)
	defer cancel()
	of := Subject(ref, credential)
	if op.name == check {
		of.Account = "" // it is made with the app's token
	}
	err = cs.Breaker.CallFor(calls, of, op.name, func() error {
		return Guard(cs.Log, ref, func() (err error) {
			answer, err = op.send(calls, p, config.Client(), credential)
			return err
		})
	})
	err = cs.Breaker.RecordLimit(ctx, Subject(ref, credential), err)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return answer, config, err
}

// Subject returns the account whose rate limits a call with c's token meets.
func Subject(ref tenant.Ref, c store.Credential) breaker.Subject {
	return breaker.Subject{Provider: ref.Provider, Account: c.Token.Account}
}

// record records the result of a call that began with the credential before: the
// answer, or its error, cause. It returns what the call's callers get.
func (cs *Calls) record(ctx context.Context, ref tenant.Ref, op operation, before store.Credential, config store.Config, answer oauth.Token, cause error) (store.Credential, error) {
	after, err := cs.storeResult(ctx, ref, op, before, config, answer, cause)
	cs.Ended(ref.Provider, op.name, outcomeOf(op.name, before, after, err))
	if cause == nil && answer.AccessToken != before.Token.AccessToken && (errors.Is(err, ErrSuperseded) || oauth.CodeOf(err) == oauth.NotFound) {
		// The answer is a fresh token that no record has: its credential was deleted or
		// connected again meanwhile. The credential's own token was dealt with then.
		cs.Revoker.Unstored(ctx, ref, answer)
	}
	if errors.Is(err, ErrSuperseded) {
		return admission.Credential(ctx, cs.Store, ref)
	}
	if before.Status == store.Active && after.Status == store.Revoked && after.LastError.Concerns == string(provider.ConcernsAccount) {
		// The account's other credentials rest on the same grant, in other tenants too.
		if err := cs.Revoker.CheckOthers(context.WithoutCancel(ctx), ref.Provider, ref, after.Token.Account); err != nil {
			cs.Log.Warn("the other credentials of the account could not be marked for a check", "ref", ref.String(), "error", err)
		}
	}
	return after, err
}

// ErrSuperseded is returned if the credential has changed since a call began.
var ErrSuperseded = errors.New("the credential has changed since the call began")

// storeResult stores the result, or returns ErrSuperseded if the record has changed since
// the call began.
func (cs *Calls) storeResult(ctx context.Context, ref tenant.Ref, op operation, before store.Credential, config store.Config, answer oauth.Token, cause error) (store.Credential, error) {
	var refused *provider.Error
	switch {
	case cause != nil && !errors.As(cause, &refused):
		return store.Credential{}, cause // an error of storage, or the mount's shutdown
	case cause != nil && cs.providerWide(ctx, ref.Provider, refused) && !limitOutlasts(before, refused, cs.Now()):
		return before, provider.Refusal(cause)
	case cause == nil && before.Page == nil && answer.Account != before.Token.Account:
		cause = &provider.Error{Class: provider.Transient, Op: op.name, Message: "the provider answered for another account"}
	case cause != nil:
		cause = about(before, refused)
	}
	// The answer is stored even if the mount shuts down now.
	after, err := cs.Store.Credentials.Update(context.WithoutCancel(ctx), ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != before.Birth || old.Generation != before.Generation {
			return store.Credential{}, ErrSuperseded
		}
		// A fresh token is stored although a check has changed the record meanwhile.
		if old.Revision != before.Revision && (op.name != refresh || cause != nil || old.Status != store.Active) {
			return store.Credential{}, ErrSuperseded
		}
		c, now := *old, cs.Now().UTC()
		if cause != nil {
			recordFailure(&c, op.name, cause, now)
			return c, nil
		}
		op.apply(&c, answer, now)
		if !plan.SameNotices(*old, c) || old.Status != store.Active {
			plan.Notice(&c, now)
		}
		plan.Check(ref, &c, config, now)
		if op.name == refresh || old.Status != store.Active || !old.Token.ExpiresAt.Equal(c.Token.ExpiresAt) {
			plan.Refresh(ref, &c, now)
		}
		return c, nil
	})
	switch {
	case errors.Is(err, store.ErrRemoving):
		return store.Credential{}, admission.NoCredential(ref)
	case err != nil:
		return store.Credential{}, err
	case cause != nil:
		cs.Log.Warn(op.name+" failed", "ref", ref.String(), "error", cause)
	case after.Generation != before.Generation:
		cs.Log.Info("refreshed", "ref", ref.String(), "expires_at", after.Token.ExpiresAt)
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
func (cs *Calls) providerWide(ctx context.Context, name string, e *provider.Error) bool {
	switch e.Class {
	case provider.Throttled:
		return true
	case provider.Misconfigured:
		return cs.Breaker.Open(ctx, breaker.Subject{Provider: name}) != nil
	}
	return errors.Is(e, provider.ErrCircuitOpen)
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
	case errors.Is(err, ErrSuperseded), oauth.CodeOf(err) == oauth.NotFound:
		return "superseded"
	case err != nil:
		return "error"
	case name != check && after.Generation == before.Generation:
		return "not_extended"
	}
	return Succeeded(name)
}

// StorageError returns err, unless it has a code of the API: such an error is recorded on
// the credential, and background work has nothing to add.
func StorageError(err error) error {
	if oauth.CodeOf(err) != "" {
		return nil
	}
	return err
}
