package flow

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// A redeemer redeems what sessions have parked. Of the requests for a session, one redeems
// it and the others await its redemption.
type redeemer struct {
	Options
	sessions  sessions
	connector connector

	mu sync.Mutex
	// redemptions are those under way in this process, by session id. A session that is
	// redeeming and not among them was interrupted.
	redemptions map[string]*redemption
}

// A redemption is one request's work on a session that it has taken.
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

// running returns the redemption that is under way for the session, or nil.
func (rd *redeemer) running(id string) *redemption {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	return rd.redemptions[id]
}

// start takes an authorized session for redemption. It is called under the session's lock,
// so that no other request finds the session redeeming and its redemption missing.
func (rd *redeemer) start(s *store.Session) *redemption {
	r := &redemption{id: s.ID, code: s.Code, token: s.Token, done: make(chan struct{})}
	s.Status = store.SessionRedeeming
	if s.Unpark(); s.Device {
		s.Code = r.code // a poll does not spend the device code
	}
	rd.mu.Lock()
	defer rd.mu.Unlock()
	rd.redemptions[s.ID] = r
	return r
}

// undo ends a redemption whose session could not be stored as redeeming. The write may
// have succeeded although it returned an error. Nothing was sent to the provider yet, so
// the code is parked again.
func (rd *redeemer) undo(ctx context.Context, r *redemption, err error) {
	if r == nil {
		return
	}
	if oauth.CodeOf(err) == "" {
		_, putBack := rd.sessions.take(context.WithoutCancel(ctx), r.id, func(s *store.Session) error {
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
			rd.Log.Warn("a session may stay redeeming although its code was not sent", "session", r.id, "error", putBack)
		}
	}
	r.err = err
	rd.finish(r)
}

var errNotTaken = errors.New("the session was not taken")

func (rd *redeemer) finish(r *redemption) {
	rd.mu.Lock()
	if rd.redemptions[r.id] == r { // the session's end is stored already, so the next one may have begun
		delete(rd.redemptions, r.id)
	}
	rd.mu.Unlock()
	close(r.done)
}

// await returns the redemption's result. The session's id is empty if its end could not be
// stored.
func (r *redemption) await(ctx context.Context) (store.Session, store.Credential, error) {
	select {
	case <-r.done:
		return r.session, r.credential, r.err
	case <-ctx.Done():
		return store.Session{}, store.Credential{}, ctx.Err()
	}
}

// redeem carries out the redemption. It goes on when the request is cancelled: the code is
// spent once it is sent.
func (rd *redeemer) redeem(ctx context.Context, s store.Session, r *redemption) {
	defer rd.finish(r)
	defer func() {
		if p := recover(); p != nil {
			rd.Log.Error("panic while redeeming a code", "ref", s.Ref.String(), "panic", p, "stack", string(debug.Stack()))
			r.err = fmt.Errorf("redeeming the code of session %s: internal error", s.ID)
		}
	}()
	ctx = context.WithoutCancel(ctx)
	token, err := rd.exchange(ctx, s, r)
	if err == nil {
		r.token = token
		r.credential, r.warning, err = rd.connector.connect(ctx, connection{
			ref: s.Ref, event: "connected", scopes: s.Scopes, by: s.StartedBy, session: s.ID, begun: s.CreatedAt, allowAccountChange: s.AllowAccountChange, life: s.DeletionCount,
		}, token)
	}
	r.session, r.err = rd.settle(ctx, s, r, err)
}

// exchange trades the code, or a token that was parked, for a token that is worth storing.
func (rd *redeemer) exchange(ctx context.Context, s store.Session, r *redemption) (oauth.Token, error) {
	p, config, err := rd.client(ctx, s.Ref.Provider)
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
	err = rd.Breaker.Call(calls, s.Ref.Provider, operation, func() (err error) {
		switch {
		case !r.token.AccessToken.IsZero():
		case s.Device:
			r.token, err = poll(calls, p, config.Client(), r.code)
		default:
			r.token, err = p.Exchange(calls, config.Client(), provider.Grant{Code: r.code, RedirectURI: s.RedirectURI, Verifier: s.Verifier, Nonce: s.Nonce})
		}
		if err != nil {
			return err
		}
		token, err = p.Settle(calls, config.Client(), r.token)
		var e *provider.Error
		if errors.As(err, &e) && e.Class == provider.NeedsReauth && e.Uncertain {
			// The token was issued a moment ago. Some providers call living tokens dead at times.
			err = e.Reclassified(provider.Transient, provider.ConcernsToken)
		}
		return err
	})
	return token, err
}

// settle stores the redemption's end. If the provider could not be reached, what is left to
// redeem is parked again. If it answered, the session has ended.
func (rd *redeemer) settle(ctx context.Context, s store.Session, r *redemption, cause error) (store.Session, error) {
	refusal := rd.refusalOf(s, cause)
	session, err := rd.sessions.take(ctx, s.ID, func(s *store.Session) error {
		switch {
		case cause == nil:
			s.Status = store.SessionCompleted
			s.Unpark()
		case s.Device && r.token.AccessToken.IsZero() && retryable(cause):
			pollAgain(s, cause, rd.Now())
		case retryable(cause) && !s.CodeReused:
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
		// The credential is stored, so the request has succeeded. A reader of the session
		// finds out by the credential's Session.
		if err != nil {
			rd.Log.Warn("storing the end of a completed session failed", "ref", s.Ref.String(), "error", err)
			session = s
			session.Status = store.SessionCompleted
		}
		rd.Log.Info("connected", "ref", s.Ref.String())
		return session, nil
	}
	if oauth.CodeOf(refusal) != oauth.Pending {
		rd.Log.Warn("connecting failed", "ref", s.Ref.String(), "error", refusal)
	}
	return session, refusal
}

// refusalOf returns cause as the caller gets it. What to do about a code that was issued
// for another redirect URI depends on the session. So the result does not wrap the
// provider's error, whose advice [provider.Refusal] would prefer to this one.
func (rd *redeemer) refusalOf(s store.Session, cause error) error {
	switch {
	case !errors.Is(cause, provider.ErrRedirectMismatch):
		return provider.Refusal(cause)
	case s.SDK:
		return oauth.Errorf(oauth.Misconfigured, "%v; the session was begun with grant=sdk, for a code that the provider's JavaScript SDK hands to your page: for a code that came to a redirect URI, begin again without grant", cause)
	}
	advice := "begin again"
	if p, ok := rd.Providers[s.Ref.Provider]; ok && p.Defaults().SDK != "" {
		advice += ", with grant=sdk if the code comes from the provider's JavaScript SDK (" + p.Defaults().SDK + ")"
	}
	return oauth.Errorf(oauth.Misconfigured, "%v; the code was not issued for this session's redirect_uri: %s", cause, advice)
}

// retryable reports whether the redemption may succeed when it is repeated: the provider
// was not reached, storage failed, an installation is missing or being removed, or the
// tenant is suspended.
func retryable(err error) bool {
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

// resolve ends a session whose redemption was interrupted. It was completed if the
// credential is of this session.
func (rd *redeemer) resolve(ctx context.Context, s *store.Session) error {
	ref := s.Ref
	switch c, err := rd.Store.Credentials.Read(ctx, ref); {
	case err == nil && c.Session == s.ID:
		s.Status = store.SessionCompleted
	case (err == nil || errors.Is(err, store.ErrNotFound)) && s.Device && !expired(*s, rd.Now()):
		s.Status = store.SessionPending // it is polled again
	case err == nil, errors.Is(err, store.ErrNotFound):
		s.Fail(oauth.Interrupted, "the engine was interrupted while it redeemed the code; begin again")
	default:
		return err
	}
	return nil
}
