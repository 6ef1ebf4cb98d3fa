package flow

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// A redemption is one request's work at a session that it has taken. Others
// who come for the same session await it.
type redemption struct {
	id string
	// code or token is what the session had parked.
	code  oauth.Secret
	token oauth.Token

	// done is closed when the rest is known.
	done       chan struct{}
	session    store.Session
	credential store.Credential
	warning    string
	err        error
}

// runs returns the redemption that is under way for the session, or nil.
func (f *Flow) runs(id string) *redemption {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[id]
}

// start takes an authorized session for redemption. It is called under the
// session's lock, which tells others that it is owned before they can find it.
func (f *Flow) start(s *store.Session) *redemption {
	r := &redemption{id: s.ID, code: s.Code, token: s.Token, done: make(chan struct{})}
	s.Status = store.SessionRedeeming
	if s.Unpark(); s.Device {
		s.Code = r.code // a poll does not spend it
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running[s.ID] = r
	return r
}

// abandon ends a redemption whose session could not be taken after all. The
// write that should have taken it may have been made, and only its answer been
// lost: nothing was sent yet, so what was parked is parked again.
func (f *Flow) abandon(ctx context.Context, r *redemption, err error) {
	if r == nil {
		return
	}
	if oauth.CodeOf(err) == "" {
		_, putBack := f.take(context.WithoutCancel(ctx), r.id, func(s *store.Session) error {
			if s.Status != store.SessionRedeeming {
				return errNotTaken
			}
			if s.CodeReused {
				s.Fail(oauth.SessionUsed, "its code was presented in another session; begin again")
				return nil
			}
			s.Status, s.Code, s.Token = store.SessionAuthorized, r.code, r.token
			if s.Device && r.token.AccessToken.IsZero() {
				s.Status = store.SessionPending
			}
			return nil
		})
		if putBack != nil && !errors.Is(putBack, errNotTaken) {
			f.Log.Warn("a session may have been taken for nothing", "session", r.id, "error", putBack)
		}
	}
	r.err = err
	f.finish(r)
}

var errNotTaken = errors.New("the session was not taken")

func (f *Flow) finish(r *redemption) {
	f.mu.Lock()
	if f.running[r.id] == r { // the next one may have begun: the session's end is stored already
		delete(f.running, r.id)
	}
	f.mu.Unlock()
	close(r.done)
}

// await returns what the redemption came to. The session's id is empty if its
// end could not be stored.
func (r *redemption) await(ctx context.Context) (store.Session, store.Credential, error) {
	select {
	case <-r.done:
		return r.session, r.credential, r.err
	case <-ctx.Done():
		return store.Session{}, store.Credential{}, ctx.Err()
	}
}

// redeem carries the redemption out, whatever becomes of the caller: a code is
// spent once it was sent.
func (f *Flow) redeem(ctx context.Context, s store.Session, r *redemption) {
	defer f.finish(r)
	defer func() {
		if p := recover(); p != nil {
			f.Log.Error("panic while redeeming a code", "ref", s.Ref.String(), "panic", p, "stack", string(debug.Stack()))
			r.err = fmt.Errorf("redeeming the code of session %s: internal error", s.ID)
		}
	}()
	ctx = context.WithoutCancel(ctx)
	token, err := f.exchange(ctx, s, r)
	if err == nil {
		r.token = token
		r.credential, r.warning, err = f.keep(ctx, birth{
			ref: s.Ref, event: "connected", scopes: s.Scopes, by: s.StartedBy, session: s.ID, begun: s.CreatedAt, allowAccountChange: s.AllowAccountChange, life: s.DeletionCount,
		}, token)
	}
	r.session, r.err = f.settle(ctx, s, r, err)
}

// exchange turns the code, or a token that was parked, into a token worth
// keeping.
func (f *Flow) exchange(ctx context.Context, s store.Session, r *redemption) (oauth.Token, error) {
	p, config, err := f.client(ctx, s.Ref.Provider)
	if err != nil {
		return oauth.Token{}, err
	}
	calls, cancel := provider.Budget(ctx)
	defer cancel()
	var token oauth.Token
	operation := "exchange"
	if s.Device {
		operation = "poll"
	}
	err = f.Breaker.Call(calls, s.Ref.Provider, operation, func() (err error) {
		switch {
		case !r.token.AccessToken.IsZero():
		case s.Device:
			r.token, err = f.poll(calls, p, config.Client(), r.code)
		default:
			r.token, err = p.Exchange(calls, config.Client(), provider.Grant{Code: r.code, RedirectURI: s.RedirectURI, Verifier: s.Verifier, Nonce: s.Nonce})
		}
		if err != nil {
			return err
		}
		token, err = p.Settle(calls, config.Client(), r.token)
		var e *provider.Error
		if errors.As(err, &e) && e.Class == provider.NeedsReauth && e.Uncertain {
			// The token was issued a moment ago. In bad hours Facebook calls living ones dead.
			err = e.Reclassified(provider.Transient, provider.ConcernsToken)
		}
		return err
	})
	return token, err
}

// settle stores how the redemption ended. Where the provider could not be
// reached, what is left to redeem is parked again; where it answered, the
// session has ended.
func (f *Flow) settle(ctx context.Context, s store.Session, r *redemption, cause error) (store.Session, error) {
	refusal := refusalOf(s, cause)
	session, err := f.take(ctx, s.ID, func(s *store.Session) error {
		switch {
		case cause == nil:
			s.Status = store.SessionCompleted
			s.Unpark()
		case s.Device && r.token.AccessToken.IsZero() && passing(cause):
			f.waitOn(s, cause)
		case passing(cause) && !s.CodeReused:
			s.Status, s.Token, s.RetryAt = store.SessionAuthorized, r.token, time.Time{}
			if limit := (*provider.Error)(nil); errors.As(cause, &limit) && limit.Class == provider.Throttled {
				s.RetryAt = limit.Until
			}
			if r.token.AccessToken.IsZero() {
				s.Code = r.code
			}
		default:
			var e *oauth.Error
			if !errors.As(refusal, &e) {
				e = oauth.Errorf(oauth.Interrupted, "the credential could not be stored; begin again")
			}
			s.Fail(e.Code, e.Message)
		}
		return nil
	})
	if cause == nil {
		// The credential is stored, and that is what was asked for. The
		// session's reader finds it by the credential's Session.
		if err != nil {
			f.Log.Warn("a completed session could not be marked so", "ref", s.Ref.String(), "error", err)
			session = s
			session.Status = store.SessionCompleted
		}
		f.Log.Info("connected", "ref", s.Ref.String())
		return session, nil
	}
	if oauth.CodeOf(refusal) != oauth.Pending {
		f.Log.Warn("connecting failed", "ref", s.Ref.String(), "error", refusal)
	}
	return session, refusal
}

// refusalOf returns cause as the caller gets it. What to do about a code that was
// issued for another redirect URI depends on the session, so the provider's own
// error is not kept: [provider.Refusal] would put its advice in place of this.
func refusalOf(s store.Session, cause error) error {
	switch {
	case !errors.Is(cause, provider.ErrRedirectMismatch):
		return provider.Refusal(cause)
	case s.SDK:
		return oauth.Errorf(oauth.Misconfigured, "%v; the session was begun with grant=sdk, for a code that the provider's JavaScript SDK hands to your page: for a code that came to a redirect URI, begin again without grant", cause)
	}
	return oauth.Errorf(oauth.Misconfigured, "%v; the code was not issued for this session's redirect_uri: begin again, with grant=sdk if the code comes from the provider's JavaScript SDK (FB.login, Embedded Signup)", cause)
}

// passing reports whether trying again may do better: the provider was not
// reached, or the token is there and storage failed, or an installation is
// being removed or made, or the tenant is suspended.
func passing(err error) bool {
	var e *provider.Error
	if errors.As(err, &e) && e.Err != nil {
		return errors.Is(e, provider.ErrCircuitOpen) || errors.Is(e, provider.ErrPending) || errors.Is(e, provider.ErrSlowDown)
	}
	if e != nil {
		return e.Class == provider.Transient || e.Class == provider.Throttled
	}
	switch oauth.CodeOf(err) {
	case "", oauth.Pending, oauth.InstallationRequired, oauth.Suspended:
		return true
	}
	return false
}

// mend finds out what became of a session that no request owns any more: its
// credential tells whether the code was redeemed in time.
func (f *Flow) mend(ctx context.Context, s *store.Session) error {
	ref := s.Ref
	switch c, err := f.Store.Credentials.Read(ctx, ref); {
	case err == nil && c.Session == s.ID:
		s.Status = store.SessionCompleted
	case (err == nil || errors.Is(err, store.ErrNotFound)) && s.Device && !expired(*s, f.Now()):
		s.Status = store.SessionPending // it is polled again
	case err == nil, errors.Is(err, store.ErrNotFound):
		s.Fail(oauth.Interrupted, "the engine was interrupted while it redeemed the code; begin again")
	default:
		return err
	}
	return nil
}
