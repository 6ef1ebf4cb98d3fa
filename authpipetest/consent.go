package authpipetest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Consent is a person's decision at the dialog. The zero value grants everything asked for, as Options.AutoApproveUser
// or, if that is empty, as the first person added.
type Consent struct {
	User    string   // the person's ID
	Decline []string // permissions to decline; public_profile cannot be declined
	Cancel  bool     // the person cancels the dialog
	// ErrorCode and ErrorMessage make Facebook refuse the app: the redirect carries only error_code and error_message.
	ErrorCode    int
	ErrorMessage string
	// Pages are the pages that the person selects, among their own or those of the business. Nil: all, future ones too.
	Pages []string
	// Businesses are the businesses that the person selects for business_management. Nil: all, future ones too.
	Businesses []string
	// AsOffered is a person who chooses pages and businesses only where the dialog offers the choice, as in the browser
	// and with parameters for scripts: at the first login, with a further permission that is granted asset by asset, and
	// with auth_type=rerequest or reauthorize. At other logins nil Pages and Businesses are those of the earlier login.
	AsOffered bool
	// Business is the business that the person connects, at the dialog of a [Configuration] for system user tokens.
	// Zero: the first business of which the person is an admin.
	Business string
}

// Parameters that control the dialog from scripts. Facebook does not have them. With any of them, or with the header
// X-Simulator-User in place of _user, the dialog redirects at once.
const (
	steerUser         = "_user"
	steerDecline      = "_decline" // comma separated
	steerCancel       = "_cancel"  // any non-empty value
	steerPages        = "_pages"   // comma separated; present and empty: none
	steerBusiness     = "_business"
	steerBusinesses   = "_businesses" // as _pages
	steerErrorCode    = "_error_code"
	steerErrorMessage = "_error_message"
	steerHeader       = "X-Simulator-User"
)

// consentOf returns the person's decision if it is known: from Authorize, the consent page's form, parameters for
// scripts, or AutoApprove. known is false if the dialog must ask.
func (d *dialog) consentOf(c *call, l login) (consent Consent, known bool) {
	q := c.query
	switch {
	case c.consent != nil:
		return *c.consent, true
	case c.form.Has("action"):
		return d.posted(c.form, l), true
	case c.steered():
		return steeredConsent(q, c.request.Header.Get(steerHeader)), true
	}
	return Consent{AsOffered: true}, d.options().AutoApprove
}

func (c *call) steered() bool {
	return c.request.Header.Get(steerHeader) != "" || slices.ContainsFunc(
		[]string{steerUser, steerDecline, steerCancel, steerPages, steerBusiness, steerBusinesses, steerErrorCode, steerErrorMessage}, c.query.Has)
}

func steeredConsent(q url.Values, user string) Consent {
	consent := Consent{
		User: user, Decline: list(q.Get(steerDecline)), Cancel: q.Get(steerCancel) != "",
		ErrorMessage: q.Get(steerErrorMessage), Business: q.Get(steerBusiness), AsOffered: true,
	}
	if q.Has(steerUser) {
		consent.User = q.Get(steerUser)
	}
	consent.ErrorCode, _ = strconv.Atoi(q.Get(steerErrorCode)) // 0 if it is not a number
	if q.Has(steerPages) {
		consent.Pages = append([]string{}, list(q.Get(steerPages))...)
	}
	if q.Has(steerBusinesses) {
		consent.Businesses = append([]string{}, list(q.Get(steerBusinesses))...)
	}
	return consent
}

// complete applies the decision and returns the redirect.
func (d *dialog) complete(l login, consent Consent) (location string, err error) {
	switch {
	case consent.ErrorCode != 0 || consent.ErrorMessage != "":
		return l.redirectPlatformError(consent.ErrorCode, consent.ErrorMessage, d.options().PlatformErrorOmitsState), nil
	case consent.Cancel:
		return l.redirectDenied(), nil
	}
	person := d.directory.personOf(consent)
	if d.directory.users[person] == nil {
		return "", fmt.Errorf("logging in: there is no user %q", person)
	}
	if l.configuration != nil {
		return d.completeBusiness(l, person, consent)
	}
	return d.redirectGranted(l, d.grants.allow(l, person, consent)), nil
}

// consentKey is the context key by which Authorize passes the decision.
type consentKey struct{}

// Authorize acts as the browser: it opens the authorization URL, decides as c says, and returns the URL that Facebook
// redirects to, including the fragment #_=_. It does not open that URL. Only path and query of authorizationURL matter,
// so a URL of www.facebook.com works too. It returns an error if the dialog does not redirect (URL blocked, unknown
// app, unknown person, a [Fault]).
func (f *Facebook) Authorize(authorizationURL string, c Consent) (*url.URL, error) {
	ctx := context.WithValue(context.Background(), consentKey{}, &c)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, authorizationURL, nil)
	if err != nil {
		return nil, fmt.Errorf("opening the dialog: %w", err)
	}
	page := httptest.NewRecorder()
	if err := f.server.serveInMemory(page, request); err != nil {
		return nil, err
	}
	location := page.Header().Get("Location")
	if location == "" {
		return nil, fmt.Errorf("opening the dialog: no redirect, but status %d: %s", page.Code, strings.TrimSpace(page.Body.String()))
	}
	back, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("following the redirect: %w", err)
	}
	return back, nil
}

// sdkRedirectURI is the redirect URI of the JavaScript SDK: a page of Facebook's own, which passes the result to the
// page that called FB.login. Apps need not register it. The real one has parameters that identify the calling page.
const sdkRedirectURI = "https://staticxx.facebook.com/x/connect/xd_arbiter/"

// LoginBySDK acts as FB.login with response_type=code ("Facebook Login for Business", Embedded Signup): it opens the
// dialog, decides as c says, and returns the code that the SDK passes to the page. Options are those of FB.login, such
// as scope and config_id. Such a code is exchanged without a redirect_uri; with one it is refused
// (amachang/facebook-node-sdk#6). LoginBySDK returns an error if there is no code, for example because the person
// cancelled.
func (f *Facebook) LoginBySDK(appID string, options url.Values, c Consent) (code string, err error) {
	q := maps.Clone(options)
	if q == nil {
		q = url.Values{}
	}
	q.Set("client_id", appID)
	q.Set("redirect_uri", sdkRedirectURI)
	q.Set("response_type", "code")
	back, err := f.Authorize("/dialog/oauth?"+q.Encode(), c)
	if err != nil {
		return "", err
	}
	if code = back.Query().Get("code"); code == "" {
		return "", fmt.Errorf("logging in by the SDK: no code, but %s", back.Query().Get("error"))
	}
	return code, nil
}

// completeBusiness applies the decision at the dialog of a configuration. Declining one permission there is the same as
// cancelling.
func (d *dialog) completeBusiness(l login, person string, consent Consent) (location string, err error) {
	if slices.ContainsFunc(l.configuration.Permissions, func(p string) bool { return slices.Contains(consent.Decline, p) }) {
		return l.redirectDenied(), nil
	}
	if l.configuration.TokenKind == KindUser {
		return d.redirectGranted(l, d.grants.allow(l, person, consent)), nil
	}
	business, err := d.chosenBusiness(person, consent)
	if err != nil {
		return "", err
	}
	l.business = business.ID
	return d.redirectGranted(l, d.grants.connect(l, business, consent)), nil
}

func (d *dialog) chosenBusiness(person string, consent Consent) (*Business, error) {
	for _, id := range d.directory.administeredBy(person) {
		if consent.Business == "" || consent.Business == id {
			return d.directory.businesses[id], nil
		}
	}
	if consent.Business != "" {
		return nil, fmt.Errorf("connecting: %s is no admin of a business %q", person, consent.Business)
	}
	return nil, fmt.Errorf("connecting: %s is no admin of any business", person)
}
