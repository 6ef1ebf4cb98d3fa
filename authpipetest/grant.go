package authpipetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// States of a permission ("User Permissions").
const (
	Granted  = "granted"
	Declined = "declined"
	Expired  = "expired" // unused for 90 days
)

// publicProfile is part of each login and cannot be declined ("Permissions").
const publicProfile = "public_profile"

type grantKey struct{ app, person string }

// grant has the permissions that one person gave to one app, from the login to the removal of the app. A login after a
// removal makes a new grant, so that the tokens of the old one stay invalid.
type grant struct {
	app, person string
	permissions map[string]string // Granted, Declined or Expired
	pages       []string          // the selected pages; nil: all, future ones too
	businesses  []string          // likewise, for business_management
	active      time.Time         // when the person was last active in the app
	ended       bool
	business    string   // set if the person is the system user that acts for the app at this client's business
	tokens      []string // of system users, in the order of issue
}

func (g *grant) granted() []string  { return g.having(Granted) }
func (g *grant) declined() []string { return g.having(Declined) }

func (g *grant) having(status string) []string {
	var names []string
	for name, s := range g.permissions {
		if s == status {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (g *grant) names() []string { return slices.Sorted(maps.Keys(g.permissions)) }

type permissionAnswer struct {
	Permission string `json:"permission"`
	Status     string `json:"status"`
}

// list returns permissions: only the one named, and only those with the status, unless these are empty.
func (g *grant) list(only, status string) []permissionAnswer {
	listed := []permissionAnswer{}
	for _, name := range g.names() {
		if (only == "" || only == name) && (status == "" || status == g.permissions[name]) {
			listed = append(listed, permissionAnswer{name, g.permissions[name]})
		}
	}
	return listed
}

func (g *grant) selected(page string) bool {
	return g.pages == nil || slices.Contains(g.pages, page)
}

// selectedBusiness reports whether business_management is granted for the business.
func (g *grant) selectedBusiness(id string) bool {
	return g.businesses == nil || slices.Contains(g.businesses, id)
}

// targets returns the pages or businesses for which a permission is granted. Nil: all.
func (g *grant) targets(permission string) []string {
	if permission == managesBusinesses {
		return g.businesses
	}
	return g.pages
}

// grants has the grants in effect, of people and of businesses.
type grants struct {
	*settings
	directory     *directory
	notifications *notifications

	standing   map[grantKey]*grant
	uninstalls map[grantKey]int // by app and business: how often it removed the app
}

func newGrants(s *settings, d *directory, n *notifications) *grants {
	return &grants{settings: s, directory: d, notifications: n, standing: map[grantKey]*grant{}, uninstalls: map[grantKey]int{}}
}

// of returns the grant in effect, or nil.
func (gs *grants) of(app, person string) *grant { return gs.standing[grantKey{app, person}] }

// open returns the grant in effect, or makes one.
func (gs *grants) open(app, person string) *grant {
	key := grantKey{app, person}
	if gs.standing[key] == nil {
		gs.standing[key] = &grant{app: app, person: person, permissions: map[string]string{}}
	}
	return gs.standing[key]
}

// allow records a person's consent and notifies the app.
func (gs *grants) allow(l login, person string, consent Consent) *grant {
	g := gs.open(l.app.ID, person)
	before, chosen := g.granted(), gs.chosen(g)
	chooses := !consent.AsOffered || l.offersAssets(g)
	for _, scope := range l.offered(g) {
		g.permissions[scope] = Granted
		if scope != publicProfile && slices.Contains(consent.Decline, scope) {
			g.permissions[scope] = Declined
		}
	}
	if chooses || consent.Pages != nil {
		g.pages = within(consent.Pages, func(page string) bool { return gs.directory.mayHave(person, page) })
	}
	if joined := gs.directory.joinedBy(person); chooses || consent.Businesses != nil {
		g.businesses = within(consent.Businesses, func(id string) bool { return slices.Contains(joined, id) })
	}
	g.active = gs.options().Now()
	gs.notifications.permissionsChanged(g, "granted", beyond(g.granted(), before)...)
	gs.notifyChoice(g, before, chosen)
	return g
}

// within returns the elements that are allowed. It keeps nil, which means all, apart from none.
func within(ids []string, allowed func(id string) bool) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !allowed(id) })
}

// chosen returns those of the person's pages that they selected.
func (gs *grants) chosen(g *grant) []string {
	return within(gs.directory.users[g.person].Pages, g.selected)
}

// notifyChoice notifies the webhook for permissions of pages that a new choice dropped or added, for the permissions that
// were granted before.
func (gs *grants) notifyChoice(g *grant, before, chosen []string) {
	kept := within(g.granted(), func(scope string) bool { return perPage(scope) && slices.Contains(before, scope) })
	now := gs.chosen(g)
	if dropped := beyond(chosen, now); len(dropped) > 0 {
		gs.notifications.pagesChanged(g, "revoked", dropped, kept)
	}
	if added := beyond(now, chosen); len(added) > 0 {
		gs.notifications.pagesChanged(g, "granted", added, kept)
	}
}

// end ends a grant and notifies the app, whether the person, the business or the app asked for it.
func (gs *grants) end(app, person string) {
	key := grantKey{app, person}
	g := gs.standing[key]
	if g == nil {
		return
	}
	g.ended = true
	delete(gs.standing, key)
	switch {
	case g.business != "":
		gs.uninstalls[grantKey{app, g.business}]++
		gs.notifications.integrationChanged(app, "business_integration_uninstall", g.business, "")
	case gs.directory.systemUsers[person] == nil:
		gs.notifications.queueSigned(EventDeauthorize, app, scopedID(app, person))
		gs.notifications.permissionsChanged(g, "revoked", append(g.granted(), connected)...)
	}
}

// endPermission withdraws one permission. Tokens stay valid without it.
func (gs *grants) endPermission(g *grant, name string) {
	if name != publicProfile && g.permissions[name] == Granted {
		gs.notifications.permissionsChanged(g, "revoked", name)
	}
	switch {
	case name == publicProfile:
	case gs.options().RevokedPermissionVanishes:
		delete(g.permissions, name)
	case g.permissions[name] != "":
		g.permissions[name] = Declined
	}
}

// RemoveApp removes an app, as a person does under "Apps and Websites" in their settings. All tokens that the app has
// from the person, page tokens too, are refused with 190/458 from then on, even after a new login.
func (f *Facebook) RemoveApp(appID, userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grants.end(appID, userID)
}

// SetPermission sets the state of one permission of a grant: [Granted], [Declined] or [Expired]. It does nothing if the
// person has not authorized the app.
func (f *Facebook) SetPermission(appID, userID, permission, status string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.grants.of(appID, userID); g != nil {
		g.permissions[permission] = status
	}
}

// managesBusinesses is the permission that is granted business by business.
const managesBusinesses = "business_management"

// perPage reports whether a permission is granted page by page ("Permissions": all Page permissions).
func perPage(permission string) bool {
	return strings.HasPrefix(permission, "pages_") || strings.HasPrefix(permission, "page_")
}

// perAsset reports whether a permission is granted page by page or business by business.
func perAsset(permission string) bool { return perPage(permission) || permission == managesBusinesses }

// integrationUser is the id of the system user that acts for an app at a client's business. Removing the app deletes
// it, and the next installation makes another ("Business Integration Webhooks").
func (gs *grants) integrationUser(app, business string) string {
	former := gs.uninstalls[grantKey{app, business}]
	return scopedID(fmt.Sprintf("business integration %d of %s", former, app), business)
}

// Integration returns the system user that acts for an app at a client's business, by the user_id that debug_token
// returns for its tokens. connected is false if the business has not connected the app.
func (f *Facebook) Integration(appID, businessID string) (userID string, connected bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	person := f.grants.integrationUser(appID, businessID)
	return scopedID(appID, person), f.grants.of(appID, person) != nil
}

// RemoveIntegration removes an app from a business, as an admin does under "Connected apps". The system user that acted
// for the app is deleted, and its tokens are refused from then on, even after a new login. The app's webhook is
// notified.
func (f *Facebook) RemoveIntegration(appID, businessID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grants.end(appID, f.grants.integrationUser(appID, businessID))
}

// SetBusinessPages replaces the assets of a business. Connected apps keep their tokens and reach those of the pages
// that they were given, and their webhooks are notified. It does nothing if there is no such business.
func (f *Facebook) SetBusinessPages(businessID string, pages ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.directory.businesses[businessID]; b != nil {
		f.grants.changeAssets(b, pages)
	}
}

func (gs *grants) changeAssets(b *Business, pages []string) {
	b.Pages = slices.Clone(pages)
	for app := range gs.directory.apps {
		person := gs.integrationUser(app, b.ID)
		if gs.of(app, person) != nil {
			gs.directory.users[person].Pages = slices.Clone(pages)
			gs.notifications.integrationChanged(app, "business_integration_update", b.ID, "")
		}
	}
}

// connect records what a business allows an app, as the grant of the system user that acts for the app there.
func (gs *grants) connect(l login, business *Business, consent Consent) *grant {
	person, field := gs.integrationUser(l.app.ID, business.ID), "business_integration_update"
	if gs.of(l.app.ID, person) == nil {
		field = "business_integration_install"
		gs.directory.users[person] = &User{ID: person, Name: l.app.Name + " at " + business.Name}
	}
	gs.directory.users[person].Pages = slices.Clone(business.Pages)
	g := gs.open(l.app.ID, person)
	g.business = business.ID
	for _, p := range l.scopes {
		g.permissions[p] = Granted
	}
	g.pages = within(consent.Pages, func(page string) bool { return slices.Contains(business.Pages, page) })
	g.active = gs.options().Now()
	gs.notifications.integrationChanged(l.app.ID, field, business.ID, l.configuration.ID)
	return g
}
