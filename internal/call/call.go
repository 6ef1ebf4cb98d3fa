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
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
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
	// Context ends when the mount shuts down, and all calls with it, but for a refresh with
	// a refresh token: see [Calls.Wait].
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
	unstored unstoreds
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
// expire, or that the provider does not refresh yet, is inspected instead. Wanted reports
// whether the refresh is still needed when its turn comes: another call may just have
// changed the credential.
//
// An error of the provider is returned as [provider.Refusal] has it, and recorded on the
// credential if it is about that credential.
func (cs *Calls) Refresh(ctx context.Context, ref tenant.Ref, wanted func(store.Credential) bool) (store.Credential, error) {
	return cs.call(ctx, ref, cs.refreshing(ref.Provider, wanted))
}

// refreshing is the operation of [Calls.Refresh].
func (cs *Calls) refreshing(providerName string, wanted func(store.Credential) bool) operation {
	early := false
	return operation{refresh, wanted, func(ctx context.Context, p provider.Provider, client oauth.Client, c store.Credential) (oauth.Token, error) {
		early = cs.Now().Before(c.Token.RefreshAfter)
		if early || c.Token.ExpiresAt.IsZero() {
			return p.Inspect(ctx, client, c.Token)
		}
		fresh, err := p.Refresh(ctx, client, c.Token)
		if fresh.RefreshToken.IsZero() {
			fresh.RefreshToken = c.Token.RefreshToken // the one before goes on (RFC 6749, section 6)
		}
		return fresh, err
	}, func(c *store.Credential, fresh oauth.Token, now time.Time) {
		if early {
			checked(c, fresh, now)
			return
		}
		// The tokens of a refresh token are of one grant: the former one cannot be revoked
		// by itself.
		refreshed(c, fresh, cs.Revoker.Alone(providerName, c.Token) && !c.Token.Refreshable(), now)
	}}
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

// call joins the call of that name for ref, or makes it.
func (cs *Calls) call(ctx context.Context, ref tenant.Ref, op operation) (store.Credential, error) {
	if !cs.Writable() {
		return store.Credential{}, store.ErrReadOnly
	}
	res, mine, err := cs.underWay.join(cs.Context, op.name, ref)
	if err != nil {
		return store.Credential{}, err
	}
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

// run makes the call and records its result.
func (cs *Calls) run(ctx context.Context, ref tenant.Ref, op operation) (store.Credential, error) {
	if op.name == refresh {
		if held, ok := cs.unstored.of(ref); ok {
			return cs.storeHeld(ctx, ref, op, held)
		}
	} else if err := cs.storeUnstored(ctx, ref); err != nil {
		return store.Credential{}, err
	}
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
	within := provider.Within
	if op.name == refresh && credential.Token.Refreshable() {
		within = provider.Budget // a refresh token that was sent may be spent
	}
	calls, cancel := within(ctx)
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
