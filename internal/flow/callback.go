package flow

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A CallbackPage is what the callback page shows.
type CallbackPage struct {
	// Error is why the session failed, or "".
	Error oauth.Code
	// Unknown says that the request belongs to no session. The page says nothing more.
	Unknown bool
	// ConnectCode is shown, or is part of ReturnURL.
	ConnectCode oauth.Secret
	// ReturnURL is where the browser goes next, or "".
	ReturnURL string
	// Application and Provider are the names of the two that the session connects.
	// Application may be "", and both are for an unknown request.
	Application, Provider string
	// Tenant is what the person is about to join, where ConnectCode is shown.
	Tenant tenant.ID
}

var (
	errUnknownBrowser = errors.New("the request does not belong to the session")
	errRepeated       = errors.New("the request was made before")
)

// Callback applies the provider's answer, which a browser brings. The page has the
// result; an error is one of storage.
func (f *Flow) Callback(ctx context.Context, providerName string, a Answer) (CallbackPage, error) {
	p, known := f.Providers[providerName]
	if a = a.trimmed(); !known || !a.wellFormed() {
		return unknownPage(), nil
	}
	var r *redemption
	session, err := f.sessions.take(context.WithoutCancel(ctx), SessionID(a.State.Reveal()), func(s *store.Session) (err error) {
		r, err = f.answer(ctx, s, p, providerName, a)
		return err
	})
	var (
		reuse *reuseError
		limit *limitedError
	)
	switch {
	case errors.As(err, &reuse):
		return f.callbackReused(ctx, session, reuse.owner, a)
	case errors.As(err, &limit):
		return f.page(ctx, session, a, limit.error), nil
	case gone(err), errors.Is(err, errUnknownBrowser), errors.Is(err, store.ErrTooManyCodes):
		f.redeemer.undo(ctx, r, errNoSession) // its tenant may have been deleted just now
		return unknownPage(), nil
	case err == nil && r != nil:
		f.redeemer.redeem(ctx, session, r)
	case err != nil && !errors.Is(err, errRepeated):
		f.redeemer.undo(ctx, r, err)
		return CallbackPage{}, err
	}
	if r == nil {
		return f.page(ctx, session, a, nil), nil
	}
	session, _, err = r.await(ctx)
	switch {
	case err != nil && session.ID == "" && oauth.CodeOf(err) == oauth.NotFound:
		return unknownPage(), nil // its tenant was deleted meanwhile
	case err != nil && session.ID == "":
		return CallbackPage{}, err
	}
	return f.page(ctx, session, a, err), nil
}

// callbackReused answers a callback that brought a code of the session owner. s is the
// session of its state, as it was before.
func (f *Flow) callbackReused(ctx context.Context, s store.Session, owner string, a Answer) (CallbackPage, error) {
	waited := s.Status == store.SessionPending && !s.SDK && !s.Device
	s, err := f.sessions.failReused(ctx, s.ID, owner, a)
	switch {
	case gone(err), err == nil && !waited:
		return unknownPage(), nil
	case err != nil:
		return CallbackPage{}, err
	}
	return f.page(ctx, s, a, nil), nil
}

// answer is the step of a callback, under the session's lock. It returns the redemption
// that the callback starts or joins, if any.
func (f *Flow) answer(ctx context.Context, s *store.Session, p provider.Provider, providerName string, a Answer) (*redemption, error) {
	if s.Ref.Provider != providerName {
		return nil, errUnknownBrowser
	}
	if s.SDK || s.Device {
		// Such a session has no callback. The code may be that of another session.
		return nil, cmp.Or(f.sessions.checkOwner(ctx, s, a), errUnknownBrowser)
	}
	if err := f.sessions.claim(ctx, s, a); err != nil {
		return nil, err
	}
	if s.CallbackHash != nil && !approves(s, a) {
		if s.Denied && a.denied() {
			return nil, errRepeated
		}
		if !bytes.Equal(s.CallbackHash, a.hash()) {
			return nil, errUnknownBrowser
		}
		switch r := f.redeemer.running(s.ID); {
		case r != nil:
			return r, errRepeated
		case s.Status == store.SessionRedeeming:
			return nil, f.redeemer.resolve(ctx, s)
		case s.Status == store.SessionAuthorized && s.Completion == Callback && !expired(*s, f.Now()):
			// The first redemption failed, and may be repeated.
			return f.startAdmitted(ctx, s)
		}
		return nil, errRepeated
	}
	if s.Status != store.SessionPending && !approves(s, a) {
		return nil, errUnknownBrowser
	}
	if expired(*s, f.Now()) {
		s.CallbackHash = a.hash()
		s.Fail(oauth.SessionExpired, "the person came back too late; begin again")
		return nil, nil
	}
	authorize(s, p, a, f.Now().UTC())
	if s.Status == store.SessionAuthorized && s.Completion == Callback {
		return f.startAdmitted(ctx, s)
	}
	return nil, nil
}

// approves reports whether a is the approval of a person that declined before.
func approves(s *store.Session, a Answer) bool { return s.Denied && !a.denied() }

// startAdmitted starts the redemption of a session whose ref can be connected now. Any
// other session stays authorized: the browser may repeat its request.
func (f *Flow) startAdmitted(ctx context.Context, s *store.Session) (*redemption, error) {
	_, config, err := f.client(ctx, s.Ref.Provider)
	if err == nil {
		err = admission.Connect(ctx, f.Store, s.Ref, *config.RequireInstallation)
	}
	if err == nil {
		err = limited(s, f.Now())
	}
	switch {
	case err == nil:
		return f.redeemer.start(s), nil
	case oauth.CodeOf(err) == oauth.Throttled:
		return nil, &limitedError{err}
	case oauth.CodeOf(err) != "":
		return nil, nil
	}
	return nil, err
}

// A limitedError says that the session cannot be redeemed before a rate limit is over.
// The session is unchanged.
type limitedError struct{ error }

func (e *limitedError) Unwrap() error { return e.error }

// authorize parks the code of the answer, or fails the session with its error.
func authorize(s *store.Session, p provider.Provider, a Answer, now time.Time) {
	s.CallbackHash = a.hash()
	if a.denied() {
		s.Fail(oauth.AccessDenied, a.reason())
		s.Denied = true
		return
	}
	s.Status, s.Code = store.SessionAuthorized, a.Code
	s.Error, s.Message, s.Denied = "", "", false
	s.ConnectCodeHash = connectCodeHash(connectCode(*s, s.Code))
	if end := now.Add(p.Defaults().CodeLife); end.Before(s.ExpiresAt) {
		s.ExpiresAt = end
	}
}

func unknownPage() CallbackPage { return CallbackPage{Error: oauth.InvalidRequest, Unknown: true} }

// page returns the page for the browser that brought a. err is the error of the
// redemption, if there was one.
func (f *Flow) page(ctx context.Context, s store.Session, a Answer, err error) CallbackPage {
	page := CallbackPage{}
	q := url.Values{"session_id": {s.ID}}
	switch {
	case s.Completion == Confirm && s.ConnectCodeHash != nil:
		page.ConnectCode = connectCode(s, a.Code)
		q.Set("connect_code", page.ConnectCode.Reveal())
	case s.Status != store.SessionCompleted:
		page.Error = cmp.Or(s.Error, oauth.CodeOf(err))
		if page.Error == "" && expired(s, f.Now()) {
			page.Error = oauth.SessionExpired
		}
		page.Error = cmp.Or(page.Error, oauth.Unavailable)
	}
	if page.Error != "" {
		q.Set("error", string(page.Error))
	}
	_, config, configErr := f.client(ctx, s.Ref.Provider)
	page.Application, page.Provider = config.AppName, s.Ref.Provider
	if p, ok := f.Providers[s.Ref.Provider]; ok {
		page.Provider = p.DisplayName()
	}
	switch {
	case configErr == nil && s.ReturnURL != "" && slices.Contains(config.ReturnURLs, s.ReturnURL):
		page.ReturnURL = withQuery(s.ReturnURL, q)
	case !page.ConnectCode.IsZero():
		// A return URL that the configuration has lost since the session began gets no
		// connect code.
		page.Tenant = s.Ref.Tenant
	}
	return page
}

// withQuery adds q to a URL that may have a query already.
func withQuery(u string, q url.Values) string {
	separator := "?"
	if strings.Contains(u, "?") {
		separator = "&"
	}
	return u + separator + q.Encode()
}
