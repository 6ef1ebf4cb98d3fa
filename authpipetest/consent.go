package authpipetest

import (
	"cmp"
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

// Consent is what a person does at the dialog. The zero value grants all that is asked for, as the first person that was
// added (or Options.AutoApproveUser).
type Consent struct {
	User    string   // the person's ID
	Decline []string // permissions that are offered and turned down; public_profile cannot be
	Cancel  bool     // the person says no to all of it
	// ErrorCode and ErrorMessage have Facebook refuse the app: the redirect carries only error_code and error_message.
	ErrorCode    int
	ErrorMessage string
	// Pages are the pages that the person selects among theirs, or among those of the business. Nil: all, those of the future
	// too.
	Pages []string
	// Business is the business that the person connects, at the dialog of a [Configuration] for system user tokens. Zero: the
	// first of those that the person is an admin of.
	Business string
}

// Parameters that steer the dialog, for scripts. Facebook does not have them. Any of them, or the header
// X-Simulator-User in place of _user, has the dialog redirect at once.
const (
	steerUser         = "_user"
	steerDecline      = "_decline" // comma separated
	steerCancel       = "_cancel"  // anything but empty
	steerPages        = "_pages"   // comma separated; present and empty: none
	steerBusiness     = "_business"
	steerErrorCode    = "_error_code"
	steerErrorMessage = "_error_message"
	steerHeader       = "X-Simulator-User"
)

// consentOf tells what the person does, as far as that is known without asking: Authorize says it, the consent page
// posts it, a script steers it, or the options let everything pass.
func (d *dialog) consentOf(c *call, l login) (Consent, bool) {
	q := c.query
	switch {
	case c.consent != nil:
		return *c.consent, true
	case c.form.Has("action"):
		return d.posted(c.form, l), true
	case c.steered():
		return steeredConsent(q, c.request.Header.Get(steerHeader)), true
	}
	return Consent{}, d.options().AutoApprove
}

func (c *call) steered() bool {
	return c.request.Header.Get(steerHeader) != "" || slices.ContainsFunc(
		[]string{steerUser, steerDecline, steerCancel, steerPages, steerBusiness, steerErrorCode, steerErrorMessage}, c.query.Has)
}

func steeredConsent(q url.Values, user string) Consent {
	consent := Consent{
		User: user, Decline: list(q.Get(steerDecline)), Cancel: q.Get(steerCancel) != "",
		ErrorMessage: q.Get(steerErrorMessage), Business: q.Get(steerBusiness),
	}
	if q.Has(steerUser) {
		consent.User = q.Get(steerUser)
	}
	consent.ErrorCode, _ = strconv.Atoi(q.Get(steerErrorCode)) // not a number: no error
	if q.Has(steerPages) {
		consent.Pages = append([]string{}, list(q.Get(steerPages))...)
	}
	return consent
}

// conclude does what the person does, and tells where the browser goes.
func (d *dialog) conclude(l login, consent Consent) (location string, err error) {
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
		return d.concludeBusiness(l, person, consent)
	}
	return d.redirectGranted(l, d.grants.allow(l, person, consent)), nil
}

// consentKey is where Authorize hides the person in the request.
type consentKey struct{}

// Authorize plays the browser: it opens the authorization URL, lets the person do what c says, and returns the URL that
// Facebook sends the browser to, with the fragment #_=_ that a browser would carry along. It does not open that URL. Only
// path and query of authorizationURL matter, so one that points to www.facebook.com works too. An error is returned if the
// dialog does not redirect (URL blocked, unknown app, unknown person, a [Fault]).
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

// sdkRedirectURI is where the JavaScript SDK has the dialog send the browser: a page of Facebook's own, which hands the answer
// to the page that called FB.login. No app has to register it. The real one has parameters that say which page that is.
const sdkRedirectURI = "https://staticxx.facebook.com/x/connect/xd_arbiter/"

// LoginBySDK plays FB.login with response_type=code ("Facebook Login for Business", Embedded Signup): it opens the dialog,
// lets the person do what c says, and returns the code that the SDK hands to the page. Options are those of FB.login: scope,
// config_id and so on. Such a code is exchanged without a redirect_uri; with one it is refused (amachang/facebook-node-sdk#6).
// An error is returned if there is no code, because the person said no for instance.
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

// stepAs is the parameter by which the page of people leads to the page of permissions.
const stepAs = "_as"

// consentPage asks the person in front of the browser: first who they are, then what they allow.
func (d *dialog) consentPage(c *call, l login) answer {
	as := d.directory.users[c.query.Get(stepAs)]
	if as == nil && len(d.directory.people) == 1 {
		as = d.directory.users[d.directory.people[0]]
	}
	if as == nil {
		return htmlAnswer(d.options().Now(), http.StatusOK, peopleTemplate, map[string]any{"App": l.app.Name, "People": d.choices(c)})
	}
	g := d.grants.of(l.app.ID, as.ID)
	shown := map[string]any{"App": l.app.Name, "Name": as.Name, "User": as.ID, "Host": host(l.redirectURI)}
	shown["Offered"] = slices.DeleteFunc(l.offered(g), func(s string) bool { return s == publicProfile })
	if g != nil {
		shown["Granted"] = g.granted()
	}
	shown["AsksPages"] = slices.ContainsFunc(l.scopes, perAsset)
	shown["Pages"] = d.directory.pagesOf(as.Pages)
	if l.configuration != nil {
		shown["Offered"], shown["Granted"] = l.configuration.Permissions, nil
	}
	if l.configuration != nil && l.configuration.TokenKind == KindSystemUser {
		d.showBusinesses(shown, as)
	}
	return htmlAnswer(d.options().Now(), http.StatusOK, consentTemplate, shown)
}

type choice struct{ Name, URL string }

func (d *dialog) choices(c *call) []choice {
	var people []choice
	for _, id := range d.directory.people {
		q := c.request.URL.Query()
		q.Set(stepAs, id)
		people = append(people, choice{d.directory.users[id].Name, "?" + q.Encode()})
	}
	return people
}

// showBusinesses has the page ask for a business, and offer its pages instead of the person's.
func (d *dialog) showBusinesses(shown map[string]any, as *User) {
	var businesses []*Business
	var pages []string
	for _, id := range d.directory.businessesOf(&token{kind: KindUser, person: as.ID}) {
		businesses = append(businesses, d.directory.businesses[id])
		pages = append(pages, d.directory.businesses[id].Pages...)
	}
	shown["Businesses"], shown["Pages"] = businesses, d.directory.pagesOf(pages)
}

// posted is what the consent page says: the boxes that are still ticked, and the button.
func (d *dialog) posted(form url.Values, l login) Consent {
	consent := Consent{User: form.Get("user"), Cancel: form.Get("action") != "continue"}
	consent.Business = form.Get("business")
	consent.Decline = slices.DeleteFunc(l.offered(d.grants.of(l.app.ID, consent.User)), func(s string) bool {
		return slices.Contains(form["allow"], s)
	})
	if l.configuration != nil {
		consent.Decline = beyond(l.configuration.Permissions, form["allow"])
	}
	if form.Has("pages") {
		consent.Pages = append([]string{}, form["page"]...)
	}
	return consent
}

func host(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return uri
	}
	return u.Host
}

// index tells a person what is here. Facebook has no such page.
func (d *dialog) index(*call) answer {
	apps := make([]*App, 0, len(d.directory.apps))
	for _, app := range d.directory.apps {
		apps = append(apps, app)
	}
	slices.SortFunc(apps, func(a, b *App) int { return cmp.Compare(a.ID, b.ID) })
	return htmlAnswer(d.options().Now(), http.StatusOK, indexTemplate, map[string]any{"Apps": apps, "People": d.directory.peopleInOrder()})
}

// concludeBusiness does what the person does at the dialog of a configuration. It is all or nothing: one permission
// declined is the same as a cancelled dialog.
func (d *dialog) concludeBusiness(l login, person string, consent Consent) (location string, err error) {
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
	for _, id := range d.directory.businessesOf(&token{kind: KindUser, person: person}) {
		if consent.Business == "" || consent.Business == id {
			return d.directory.businesses[id], nil
		}
	}
	if consent.Business != "" {
		return nil, fmt.Errorf("connecting: %s is no admin of a business %q", person, consent.Business)
	}
	return nil, fmt.Errorf("connecting: %s is no admin of any business", person)
}
