package authpipetest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
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
func (f *Facebook) consentOf(c *call, l login) (Consent, bool) {
	q := c.query
	switch {
	case c.consent != nil:
		return *c.consent, true
	case c.form.Has("action"):
		return f.posted(c.form, l), true
	case c.steered():
		return steeredConsent(q, c.request.Header.Get(steerHeader)), true
	}
	return Consent{}, f.options().AutoApprove
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
func (f *Facebook) conclude(l login, consent Consent) (location string, err error) {
	switch {
	case consent.ErrorCode != 0 || consent.ErrorMessage != "":
		return l.redirectPlatformError(consent.ErrorCode, consent.ErrorMessage, f.options().PlatformErrorOmitsState), nil
	case consent.Cancel:
		return l.redirectDenied(), nil
	}
	person := f.personOf(consent)
	if f.books.users[person] == nil {
		return "", fmt.Errorf("logging in: there is no user %q", person)
	}
	if l.configuration != nil {
		return f.concludeBusiness(l, person, consent)
	}
	return f.redirectGranted(l, f.allow(l, person, consent)), nil
}

func (f *Facebook) personOf(consent Consent) string {
	switch {
	case consent.User != "":
		return consent.User
	case f.options().AutoApproveUser != "":
		return f.options().AutoApproveUser
	case len(f.books.people) > 0:
		return f.books.people[0]
	}
	return ""
}

// allow writes down what the person allows the app.
func (f *Facebook) allow(l login, person string, consent Consent) *grant {
	g := f.books.newGrant(l.app.ID, person)
	before := g.granted()
	for _, scope := range l.offered(g) {
		g.permissions[scope] = Granted
		if scope != publicProfile && slices.Contains(consent.Decline, scope) {
			g.permissions[scope] = Declined
		}
	}
	g.pages = slices.DeleteFunc(slices.Clone(consent.Pages), func(page string) bool { // keeps nil apart from none
		return !f.books.mayHave(person, page)
	})
	g.active = f.options().Now()
	f.permissionsChanged(g, "granted", beyond(g.granted(), before)...)
	return g
}
