package authpipetest

import (
	"fmt"
	"slices"
)

// integrationUser is the id of the system user that acts for an app at a client's business. An uninstall deletes it, and
// the next installation makes another ("Business Integration Webhooks").
func (f *Facebook) integrationUser(app, business string) string {
	former := f.books.uninstalls[grantKey{app, business}]
	return f.ScopedID(fmt.Sprintf("business integration %d of %s", former, app), business)
}

// Integration tells which system user acts for an app at a client's business, by the id that debug_token tells for its
// tokens, and false if the app is not connected there.
func (f *Facebook) Integration(appID, businessID string) (userID string, connected bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	person := f.integrationUser(appID, businessID)
	return f.ScopedID(appID, person), f.books.grantOf(appID, person) != nil
}

// RemoveIntegration is what an admin of a business does under "Connected apps": the system user that acted for the app is
// deleted, and each of its tokens is refused from here on, even after a new login. The app's webhook is told.
func (f *Facebook) RemoveIntegration(appID, businessID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if person := f.integrationUser(appID, businessID); f.books.grantOf(appID, person) != nil {
		f.endGrant(appID, person)
	}
}

// SetBusinessPages changes the assets of a business: apps that are connected there reach those that they selected among
// them, tokens live on, and the apps' webhooks are told. A business that does not exist is left alone.
func (f *Facebook) SetBusinessPages(businessID string, pages ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.books.businesses[businessID]
	if b == nil {
		return
	}
	b.Pages = slices.Clone(pages)
	for app := range f.books.apps {
		person := f.integrationUser(app, businessID)
		if f.books.grantOf(app, person) != nil {
			f.books.users[person].Pages = slices.Clone(pages)
			f.integrationChanged(app, "business_integration_update", businessID, "")
		}
	}
}

// concludeBusiness does what the person does at the dialog of a configuration. It is all or nothing: one permission
// declined is the same as a cancelled dialog.
func (f *Facebook) concludeBusiness(l login, person string, consent Consent) (location string, err error) {
	if slices.ContainsFunc(l.configuration.Permissions, func(p string) bool { return slices.Contains(consent.Decline, p) }) {
		return l.redirectDenied(), nil
	}
	if l.configuration.TokenKind == KindUser {
		return f.redirectGranted(l, f.allow(l, person, consent)), nil
	}
	business, err := f.chosenBusiness(person, consent)
	if err != nil {
		return "", err
	}
	l.business = business.ID
	return f.redirectGranted(l, f.connect(l, business, consent)), nil
}

func (f *Facebook) chosenBusiness(person string, consent Consent) (*Business, error) {
	for _, id := range f.books.businessesOf(&token{kind: KindUser, person: person}) {
		if consent.Business == "" || consent.Business == id {
			return f.books.businesses[id], nil
		}
	}
	if consent.Business != "" {
		return nil, fmt.Errorf("connecting: %s is no admin of a business %q", person, consent.Business)
	}
	return nil, fmt.Errorf("connecting: %s is no admin of any business", person)
}

// connect writes down what the business allows the app, as the grant of the system user that acts for it there.
func (f *Facebook) connect(l login, business *Business, consent Consent) *grant {
	person, field := f.integrationUser(l.app.ID, business.ID), "business_integration_update"
	if f.books.grantOf(l.app.ID, person) == nil {
		field = "business_integration_install"
		f.books.users[person] = &User{ID: person, Name: l.app.Name + " at " + business.Name}
	}
	f.books.users[person].Pages = slices.Clone(business.Pages)
	g := f.books.newGrant(l.app.ID, person)
	g.business = business.ID
	for _, p := range l.scopes {
		g.permissions[p] = Granted
	}
	g.pages = slices.DeleteFunc(slices.Clone(consent.Pages), func(page string) bool { // keeps nil apart from none
		return !slices.Contains(business.Pages, page)
	})
	g.active = f.options().Now()
	f.integrationChanged(l.app.ID, field, business.ID, l.configuration.ID)
	return g
}
