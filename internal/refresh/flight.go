package refresh

import (
	"cmp"
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A flight is one question to the provider about a credential.
type flight struct {
	name string
	// wanted says whether the question is still worth asking: another flight may
	// just have brought the answer.
	wanted func(store.Credential) bool
	ask    func(context.Context, provider.Provider, oauth.Client, store.Credential) (oauth.Token, error)
	// learn takes the answer in.
	learn func(c *store.Credential, answer oauth.Token)
}

// A landing is the end of a flight, which all who came for it share.
type landing struct {
	done       chan struct{} // closed when the rest is known
	credential store.Credential
	err        error
}

// flights are those under way, by name and ref. The zero value is ready.
type flights struct {
	mu    sync.Mutex
	under map[string]*landing
}

// join returns the landing of the flight that is under way for ref. If none
// is, it is the caller's: who must land it.
func (f *flights) join(name string, ref tenant.Ref) (l *landing, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := name + " " + ref.String()
	if l := f.under[key]; l != nil {
		return l, false
	}
	if f.under == nil {
		f.under = map[string]*landing{}
	}
	l = &landing{done: make(chan struct{})}
	f.under[key] = l
	return l, true
}

// land ends the flight with what l holds.
func (f *flights) land(name string, ref tenant.Ref, l *landing) {
	f.mu.Lock()
	delete(f.under, name+" "+ref.String())
	f.mu.Unlock()
	close(l.done)
}

// fly joins the flight of that name for ref, or starts it. The error is the
// provider's, as its caller is told of it.
func (r *Refresher) fly(ctx context.Context, ref tenant.Ref, f flight) (store.Credential, error) {
	if !r.Writable() {
		return store.Credential{}, store.ErrReadOnly
	}
	l, mine := r.flights.join(f.name, ref)
	if mine {
		go func() {
			defer r.flights.land(f.name, ref, l)
			crash := r.guarded(ref, func() error { l.credential, l.err = r.journey(r.Life, ref, f); return nil })
			l.err = cmp.Or(crash, l.err)
		}()
	}
	patience, cancel := provider.Patience(ctx)
	defer cancel()
	select {
	case <-l.done:
		return l.credential, l.err
	case <-patience.Done():
		return store.Credential{}, outwaited(ctx)
	}
}

// outwaited is the error for who gives up waiting because its budget or ctx
// has ended. What it waited for goes on: others may wait for it, too.
func outwaited(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return oauth.Errorf(oauth.Unavailable, "the provider did not answer within %s; try again", provider.CallTimeout)
}

// await returns what a shared call brings, or outwaited.
func await(ctx context.Context, arrival <-chan singleflight.Result) (any, error) {
	patience, cancel := provider.Patience(ctx)
	defer cancel()
	select {
	case a := <-arrival:
		return a.Val, a.Err
	case <-patience.Done():
		return nil, outwaited(ctx)
	}
}

// guarded turns a panic of call, the provider's code or a stranger's answer,
// into a passing error and a log line.
func (r *Refresher) guarded(ref tenant.Ref, call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("panic while calling the provider", "ref", ref.String(), "panic", p, "stack", string(debug.Stack()))
			err = &provider.Error{Class: provider.Transient, Op: "calling the provider", Message: "internal error"}
		}
	}()
	return call()
}

// journey is a flight from start to end.
func (r *Refresher) journey(ctx context.Context, ref tenant.Ref, f flight) (store.Credential, error) {
	before, err := r.connected(ctx, ref)
	if err != nil || !f.wanted(before) {
		return before, err
	}
	answer, config, cause := r.ask(ctx, ref, f, before)
	return r.arrive(ctx, ref, f, before, config, answer, cause)
}

// ask puts the flight's question to the provider.
func (r *Refresher) ask(ctx context.Context, ref tenant.Ref, f flight, c store.Credential) (answer oauth.Token, config store.Config, err error) {
	p, config, err := r.client(ctx, ref.Provider)
	if err != nil {
		return oauth.Token{}, config, err
	}
	calls, cancel := provider.Within(ctx)
	defer cancel()
	of := subject(ref, c)
	if f.name == check {
		of.Account = "" // it is made with the app's token
	}
	err = r.Breaker.CallFor(calls, of, f.name, func() error {
		return r.guarded(ref, func() (err error) {
			answer, err = f.ask(calls, p, config.Client(), c)
			return err
		})
	})
	err = r.Breaker.RecordLimit(ctx, subject(ref, c), err)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return answer, config, err
}

// arrive stores what the flight that started from before has learned: the
// answer, or cause, why there is none. The error is as that of fly.
func (r *Refresher) arrive(ctx context.Context, ref tenant.Ref, f flight, before store.Credential, config store.Config, answer oauth.Token, cause error) (store.Credential, error) {
	after, err := r.takeIn(ctx, ref, f, before, config, answer, cause)
	r.Landed(ref.Provider, f.name, landed(f.name, before, after, err))
	if cause == nil && (errors.Is(err, errSuperseded) || oauth.CodeOf(err) == oauth.NotFound) {
		r.revokeUnstored(ctx, ref, before, answer)
	}
	if errors.Is(err, errSuperseded) {
		return r.connected(ctx, ref)
	}
	if before.Status == store.Active && after.Status == store.Revoked && after.LastError.Concerns == string(provider.ConcernsAccount) {
		// The account's other credentials rest on the same grant, in other tenants too.
		if err := r.suspect(context.WithoutCancel(ctx), ref.Provider, ref, after); err != nil {
			r.Log.Warn("the other credentials of the account could not be marked for a check", "ref", ref.String(), "error", err)
		}
	}
	return after, err
}

// Succeeded is how a "refresh" or a "check" has ended that went well.
func Succeeded(question string) string {
	if question == check {
		return "alive"
	}
	return "refreshed"
}

// landed is how a flight has ended that started from before.
func landed(name string, before, after store.Credential, err error) string {
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

// takeIn is arrive, but returns errSuperseded if something else came first.
func (r *Refresher) takeIn(ctx context.Context, ref tenant.Ref, f flight, before store.Credential, config store.Config, answer oauth.Token, cause error) (store.Credential, error) {
	var refused *provider.Error
	switch {
	case cause != nil && !errors.As(cause, &refused):
		return store.Credential{}, cause // storage's, or the mount's end
	case cause != nil && r.blameless(ctx, ref.Provider, refused) && !limitOutlasts(before, refused, r.Now()):
		return before, provider.Refusal(cause)
	case cause == nil && before.Page == nil && answer.Account != before.Token.Account:
		cause = &provider.Error{Class: provider.Transient, Op: f.name, Message: "the provider answered for another account"}
	case cause != nil:
		cause = about(before, refused)
	}
	// What was obtained is stored even if the mount ends now.
	after, err := r.Store.UpdateCredential(context.WithoutCancel(ctx), ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != before.Birth || old.Generation != before.Generation {
			return store.Credential{}, errSuperseded
		}
		// A fresh token is not thrown away for a check that came first.
		if old.Revision != before.Revision && (f.name != "refresh" || cause != nil || old.Status != store.Active) {
			return store.Credential{}, errSuperseded
		}
		c := *old
		if cause != nil {
			r.recordFailure(&c, f.name, cause)
			c.RefreshFailing = c.RefreshFailing || f.name == "refresh" && c.ConsecutiveFailures > 0
			return c, nil
		}
		f.learn(&c, answer)
		if !sameEnds(*old, c) || old.Status != store.Active {
			planNotice(&c, r.Now())
		}
		PlanCheck(ref, &c, config, r.Now())
		if f.name == "refresh" || old.Status != store.Active || !old.Token.ExpiresAt.Equal(c.Token.ExpiresAt) {
			planRefresh(ref, &c, r.Now())
		}
		return c, nil
	})
	switch {
	case errors.Is(err, store.ErrRemoving):
		return store.Credential{}, NotFound(ref)
	case err != nil:
		return store.Credential{}, err
	case cause != nil:
		r.Log.Warn(f.name+" failed", "ref", ref.String(), "error", cause)
	case after.Generation != before.Generation:
		r.Log.Info("refreshed", "ref", ref.String(), "expires_at", after.Token.ExpiresAt)
	}
	return after, refusal(after, cause)
}

// limitOutlasts reports whether a limit has kept a token from being refreshed
// until it expired, a week ago. Sooner than that the caller gets the limit.
func limitOutlasts(c store.Credential, e *provider.Error, now time.Time) bool {
	return e.Class == provider.Throttled && c.Status == store.Active && !c.Token.ExpiresAt.IsZero() && !c.Token.Live(now.Add(-7*24*time.Hour))
}

// blameless reports whether a failure is the provider's trouble and says
// nothing of the credential that was asked about.
func (r *Refresher) blameless(ctx context.Context, name string, e *provider.Error) bool {
	switch e.Class {
	case provider.Throttled:
		return true
	case provider.Misconfigured:
		return r.Breaker.Open(ctx, breaker.Subject{Provider: name}) != nil
	}
	return errors.Is(e, provider.ErrCircuitOpen)
}

// errSuperseded is returned if the credential has changed while the provider
// was asked about it.
var errSuperseded = errors.New("credential has changed meanwhile")
