package flow

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// An Answer is what the provider sent to the redirect URI (RFC 6749, sections
// 4.1.2 and 4.1.2.1, and Facebook's additions). It may come from anybody.
type Answer struct {
	State            oauth.Secret
	Code             oauth.Secret
	Error            string
	ErrorReason      string
	ErrorDescription string
	ErrorCode        string
	ErrorMessage     string
}

// The longest answers that are looked at. Facebook caps its codes nowhere, and
// they are a few hundred characters long.
const (
	maxCode  = 4096
	maxError = 1024
)

// trimmed returns the answer without what a browser appends to a URL: Facebook
// redirects to one that ends in #_=_, and a copied URL has it. Neither a state
// nor a code has a # in it; the text of an error may.
func (a Answer) trimmed() Answer {
	a.State, a.Code = withoutFragment(a.State), withoutFragment(a.Code)
	for _, s := range []*string{&a.Error, &a.ErrorReason, &a.ErrorCode} {
		*s, _, _ = strings.Cut(*s, "#")
	}
	for _, s := range []*string{&a.ErrorDescription, &a.ErrorMessage} {
		*s = strings.TrimSuffix(*s, "#_=_")
	}
	return a
}

func withoutFragment(s oauth.Secret) oauth.Secret {
	before, _, _ := strings.Cut(s.Reveal(), "#")
	return oauth.NewSecret(before)
}

// denied reports whether the answer brings an error and no code.
func (a Answer) denied() bool { return a.Error != "" || a.ErrorCode != "" || a.ErrorMessage != "" }

// wellFormed reports whether the answer is one that a provider could have
// sent: a state, and either a code or an error.
func (a Answer) wellFormed() bool {
	for _, s := range []string{a.Error, a.ErrorReason, a.ErrorDescription, a.ErrorCode, a.ErrorMessage} {
		if len(s) > maxError {
			return false
		}
	}
	// A state has the form of the id that is made of it, and nothing else is looked up.
	return isSessionID(a.State.Reveal()) && isCode(a.Code.Reveal()) && a.Code.IsZero() == a.denied()
}

// isCode reports whether s is empty or can be an authorization code: visible
// characters of ASCII (RFC 6749, appendix A.11, allows spaces too). A code that
// a provider would read as another one must not pass for a new one.
func isCode(s string) bool {
	return len(s) <= maxCode && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// hash tells two answers for one state apart.
func (a Answer) hash() []byte {
	text := "code\x00" + a.Code.Reveal()
	if a.denied() {
		text = strings.Join([]string{"error", a.Error, a.ErrorReason, a.ErrorDescription, a.ErrorCode, a.ErrorMessage}, "\x00")
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// reason says why the resource owner came back without a code, in words that
// the browser brought: fit for a log, not for a page.
func (a Answer) reason() string {
	var said []string
	for _, s := range []string{a.Error, a.ErrorReason, a.ErrorDescription, a.ErrorCode, a.ErrorMessage} {
		s = strings.Map(func(r rune) rune {
			if oauth.IsControl(r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(s, ""))
		// Who knows the state may write it anywhere. The session and the log show no
		// state, not even one that is spent.
		s = strings.ReplaceAll(s, a.State.Reveal(), a.State.String())
		if s != "" {
			said = append(said, firstRunes(s, maxReason))
		}
	}
	return strings.ToValidUTF8("the provider sent the person back without a code ("+strings.Join(said, ", ")+"); begin again if they want to", "")
}

// maxReason is how many characters of each word of a denial are kept.
const maxReason = 100

// firstRunes returns the first n characters of s.
func firstRunes(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// A CallbackPage says what the callback page shows.
type CallbackPage struct {
	// Error is why the session failed, or "".
	Error oauth.Code
	// Unknown says that the request belongs to no session. The page says nothing more.
	Unknown bool
	// ConnectCode is to be shown, or handed on by ReturnURL.
	ConnectCode oauth.Secret
	// ReturnURL is where the browser goes on to, or "".
	ReturnURL string
	// Application and Provider are the names of the two that the session connects.
	// Application may be "", and both are for an unknown request.
	Application, Provider string
	// Tenant is what the person is about to join, where ConnectCode is shown.
	Tenant tenant.ID
}

var (
	errUnknownBrowser = errors.New("the request does not belong to the session")
	errRepeated       = errors.New("the callback was seen before")
)

// Callback takes the provider's answer from a browser. What comes of it is in
// the page; an error is one of storage.
func (f *Flow) Callback(ctx context.Context, providerName string, a Answer) (CallbackPage, error) {
	p, known := f.Providers[providerName]
	if a = a.trimmed(); !known || !a.wellFormed() {
		return unknownPage(), nil
	}
	var r *redemption
	session, err := f.take(context.WithoutCancel(ctx), SessionID(a.State.Reveal()), func(s *store.Session) (err error) {
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
		f.abandon(ctx, r, errNoSession) // its tenant may have been deleted just now
		return unknownPage(), nil
	case err == nil && r != nil:
		f.redeem(ctx, session, r)
	case err != nil && !errors.Is(err, errRepeated):
		f.abandon(ctx, r, err)
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

// callbackReused ends a callback that brought a code of the session owner. s is the
// session that it came for, as it was before.
func (f *Flow) callbackReused(ctx context.Context, s store.Session, owner string, a Answer) (CallbackPage, error) {
	waited := s.Status == store.SessionPending && !s.SDK && !s.Device
	s, err := f.reused(ctx, s.ID, owner, a)
	switch {
	case gone(err), err == nil && !waited:
		return unknownPage(), nil
	case err != nil:
		return CallbackPage{}, err
	}
	return f.page(ctx, s, a, nil), nil
}

// answer is the step that a callback takes, under the session's lock. It returns
// the redemption that the callback starts or joins, if any.
func (f *Flow) answer(ctx context.Context, s *store.Session, p provider.Provider, providerName string, a Answer) (*redemption, error) {
	if s.Ref.Provider != providerName {
		return nil, errUnknownBrowser
	}
	if s.SDK || s.Device {
		// No browser is sent here for it, so the code is not its own. It may be another
		// session's.
		return nil, cmp.Or(f.foreign(ctx, s, a), errUnknownBrowser)
	}
	if err := f.claim(ctx, s, a); err != nil {
		return nil, err
	}
	if s.CallbackHash != nil && !approves(s, a) {
		if s.Denied && a.denied() {
			return nil, errRepeated
		}
		if !bytes.Equal(s.CallbackHash, a.hash()) {
			return nil, errUnknownBrowser
		}
		switch r := f.runs(s.ID); {
		case r != nil:
			return r, errRepeated
		case s.Status == store.SessionRedeeming:
			return nil, f.mend(ctx, s)
		case s.Status == store.SessionAuthorized && s.Completion == Callback && !expired(*s, f.Now()):
			// It could not be redeemed the first time.
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
	f.authorize(s, p, a)
	if s.Status == store.SessionAuthorized && s.Completion == Callback {
		return f.startAdmitted(ctx, s)
	}
	return nil, nil
}

// approves reports whether a is the approval of a person who declined before,
// went back, and has changed their mind.
func approves(s *store.Session, a Answer) bool { return s.Denied && !a.denied() }

// startAdmitted starts the redemption of a session whose ref can be connected
// as things stand. Any other stays authorized: the browser may come again.
func (f *Flow) startAdmitted(ctx context.Context, s *store.Session) (*redemption, error) {
	_, config, err := f.client(ctx, s.Ref.Provider)
	if err == nil {
		err = admission.Connect(ctx, f.Store, s.Ref, *config.RequireInstallation)
	}
	if err == nil {
		err = f.limited(s)
	}
	switch {
	case err == nil:
		return f.start(s), nil
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

// authorize parks the code that the answer brings, or fails the session with
// its error.
func (f *Flow) authorize(s *store.Session, p provider.Provider, a Answer) {
	s.CallbackHash = a.hash()
	if a.denied() {
		s.Fail(oauth.AccessDenied, a.reason())
		s.Denied = true
		return
	}
	s.Status, s.Code = store.SessionAuthorized, a.Code
	s.Error, s.Message, s.Denied = "", "", false
	s.ConnectCodeHash = connectCodeHash(connectCode(*s, s.Code))
	if end := f.Now().UTC().Add(p.Defaults().CodeLife); end.Before(s.ExpiresAt) {
		s.ExpiresAt = end
	}
}

func unknownPage() CallbackPage { return CallbackPage{Error: oauth.InvalidRequest, Unknown: true} }

// page says what the page shows to the browser that brought a. err is what a
// redemption ended with, if there was one.
func (f *Flow) page(ctx context.Context, s store.Session, a Answer, err error) CallbackPage {
	l := CallbackPage{}
	q := url.Values{"session_id": {s.ID}}
	switch {
	case s.Completion == Confirm && s.ConnectCodeHash != nil:
		l.ConnectCode = connectCode(s, a.Code)
		q.Set("connect_code", l.ConnectCode.Reveal())
	case s.Status != store.SessionCompleted:
		l.Error = cmp.Or(s.Error, oauth.CodeOf(err))
		if l.Error == "" && expired(s, f.Now()) {
			l.Error = oauth.SessionExpired
		}
		l.Error = cmp.Or(l.Error, oauth.Unavailable)
	}
	if l.Error != "" {
		q.Set("error", string(l.Error))
	}
	_, config, configErr := f.client(ctx, s.Ref.Provider)
	l.Application, l.Provider = config.AppName, s.Ref.Provider
	if p, ok := f.Providers[s.Ref.Provider].(provider.Named); ok {
		l.Provider = p.DisplayName()
	}
	switch {
	case configErr == nil && s.ReturnURL != "" && slices.Contains(config.ReturnURLs, s.ReturnURL):
		l.ReturnURL = withQuery(s.ReturnURL, q)
	case !l.ConnectCode.IsZero():
		// A return URL that was withdrawn since the session began gets no connect code.
		l.Tenant = s.Ref.Tenant
	}
	return l
}

// withQuery adds q to a URL that may have a query already.
func withQuery(u string, q url.Values) string {
	separator := "?"
	if strings.Contains(u, "?") {
		separator = "&"
	}
	return u + separator + q.Encode()
}
