package authpipetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Business is a business portfolio ("Facebook Login for Business").
type Business struct {
	ID     string
	Name   string   // zero: "Business"
	Admins []string // ids of the people who may connect apps to it
	Pages  []string // ids of the pages that are its assets
	// RequireExpiringTokens is a setting of some businesses: their system users' tokens live 60 days, and who asks for others
	// is refused ("System Users: Install Apps, Generate, Refresh, and Revoke Tokens").
	RequireExpiringTokens bool
}

// Configuration is what an app asks of businesses, by its id instead of a scope ("Facebook Login for Business").
type Configuration struct {
	ID  string // the config_id
	App string // the app's id
	// TokenKind is KindSystemUser for a token of the business, or KindUser for one of the person at the dialog. Zero:
	// KindSystemUser.
	TokenKind string
	// ExpiresIn60Days ends system user tokens after 60 days. Otherwise they never expire, unless the business wants them to.
	// User tokens go by [Options].CodeTokenLife.
	ExpiresIn60Days bool
	// Permissions are granted all or not at all.
	Permissions []string
}

// SystemUser is an account that a business keeps for its own software. The system users that act for an app at a client's
// business come into being with the login: see [Facebook.Integration].
type SystemUser struct {
	ID       string
	Name     string
	Business string
	Admin    bool     // its tokens may create and manage others
	Apps     []string // installed apps; only for these are there tokens
	Pages    []string // assigned assets
}

// AddBusiness founds a business, or replaces the one with that id.
func (f *Facebook) AddBusiness(b Business) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b.Name = cmp.Or(b.Name, "Business")
	b.Admins, b.Pages = slices.Clone(b.Admins), slices.Clone(b.Pages)
	f.books.businesses[b.ID] = &b
}

// AddConfiguration gives an app a configuration, or replaces the one with that id.
func (f *Facebook) AddConfiguration(c Configuration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.TokenKind = cmp.Or(c.TokenKind, KindSystemUser)
	c.Permissions = slices.Clone(c.Permissions)
	f.books.configurations[c.ID] = &c
}

// AddSystemUser gives a business a system user, or replaces the one with that id.
func (f *Facebook) AddSystemUser(s SystemUser) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.books.addSystemUser(s)
}

// addSystemUser puts a system user beside the people, whom it resembles: it has a name, permissions, pages and tokens. It
// is not among those who can log in.
func (b *books) addSystemUser(s SystemUser) {
	s.Apps = slices.Clone(s.Apps)
	b.systemUsers[s.ID] = &s
	b.users[s.ID] = &User{ID: s.ID, Name: s.Name, Pages: slices.Clone(s.Pages)}
}

// manages tells whether the token may manage the system users of a business.
func (b *books) manages(t *token, business *Business) bool {
	if s := b.systemUsers[t.person]; s != nil {
		return s.Admin && s.Business == business.ID
	}
	return t.kind == KindUser && slices.Contains(business.Admins, t.person)
}

// businessesOf are the ids of the businesses that the token reaches, in order.
func (b *books) businessesOf(t *token) []string {
	var reached []string
	for id, business := range b.businesses {
		if t.business == id || t.kind == KindUser && slices.Contains(business.Admins, t.person) {
			reached = append(reached, id)
		}
	}
	slices.Sort(reached)
	return reached
}

// businessList lists the businesses of a person or a system user ("User Businesses").
func (f *Facebook) businessList(c *call) (any, error) {
	t, err := f.managing(c)
	if err != nil {
		return nil, err
	}
	e, err := c.edgeOf(f.ScopedID(t.app, t.person) + "/businesses")
	if err != nil {
		return nil, err
	}
	return f.businessesListed(c, t, e)
}

func (f *Facebook) businessesListed(c *call, t *token, e edge) (listing, error) {
	return f.list(c, t, e, f.books.businessesOf(t), func(id string) node { return businessNode(f.books.businesses[id]) })
}

// managing authenticates a call that needs business_management.
func (f *Facebook) managing(c *call) (*token, error) {
	t, err := f.authenticate(c)
	switch {
	case err != nil:
		return nil, err
	case t.kind != KindUser && t.kind != KindSystemUser || !t.has("business_management"):
		return nil, f.permissionError(mayNotManage)
	}
	return t, nil
}

const mayNotManage = "(#200) Requires business_management permission to manage the object"

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

// systemTokenAnswer has no expires_in, in Meta's samples.
type systemTokenAnswer struct {
	AccessToken string `json:"access_token"`
}

// issueSystem makes a token of a system user. Its scopes and assets are those of its grant unless it is narrowed later.
func (f *Facebook) issueSystem(g *grant, business string, expires bool) *token {
	t := token{
		kind: KindSystemUser, app: g.app, person: g.person, grant: g, business: business, client: g.business != "",
		scopes: g.granted(), long: true,
	}
	return f.keepSystem(t, expires)
}

func (f *Facebook) keepSystem(t token, expires bool) *token {
	now := f.options().Now()
	t.issued, t.counted, t.expires = now, now, time.Time{}
	if expires {
		t.expires = now.Add(LongLife)
	}
	kept := f.books.keep(t)
	kept.grant.tokens = append(kept.grant.tokens, kept.value)
	return kept
}

// integrationToken gives another token of the system user that acts for the app at the business in the path, with fewer
// permissions or assets, or tells the one there is ("Facebook Login for Business").
func (f *Facebook) integrationToken(c *call) (any, error) {
	t, err := f.managing(c)
	if err != nil {
		return nil, err
	}
	g := f.books.grantOf(t.app, f.integrationUser(t.app, c.node))
	asked := c.param("system_user_id")
	switch {
	case c.param("appsecret_proof") == "":
		return nil, methodError(codeInvalid, 0, proofMissing)
	case g == nil, t.client && t.business != c.node:
		return nil, noSuchObject(c, c.node)
	case asked != "" && asked != g.person && asked != f.ScopedID(t.app, g.person):
		return nil, noSuchObject(c, asked)
	case c.param("fetch_only") == "true":
		return f.standing(c, g)
	}
	narrowed := token{
		kind: KindSystemUser, app: t.app, person: g.person, grant: g, business: c.node, client: true, long: true, scopes: g.granted(),
	}
	if t.client { // a token bears none that can do more than it can
		narrowed.scopes, narrowed.assets = t.effective(), t.assets
	}
	return f.mint(c, narrowed)
}

// standing is the youngest good token of a grant.
func (f *Facebook) standing(c *call, g *grant) (any, error) {
	for _, value := range slices.Backward(g.tokens) {
		if t := f.books.tokens[value]; f.flaw(t) == nil {
			return systemTokenAnswer{t.value}, nil
		}
	}
	return nil, noSuchObject(c, c.node)
}

// mint issues a system user's token with the scope, the assets and the life that the call asks for. No report shows the
// texts of its refusals.
func (f *Facebook) mint(c *call, t token) (any, error) {
	expires, err := f.asksToExpire(c, t)
	if err != nil {
		return nil, err
	}
	if asked := words(c.param("scope")); len(asked) > 0 {
		if over := beyond(asked, t.scopes); len(over) > 0 {
			return nil, oauthError(codeInvalid, "(#100) The scope is beyond what was granted: %s", strings.Join(over, ","))
		}
		t.scopes = asked
	}
	if asked := words(c.param("asset")); len(asked) > 0 {
		over := slices.DeleteFunc(slices.Clone(asked), func(page string) bool {
			return t.selected(page) && f.books.mayHave(t.person, page)
		})
		if len(over) > 0 {
			return nil, oauthError(codeInvalid, "(#100) The assets are beyond what was granted: %s", strings.Join(over, ","))
		}
		t.assets = asked
	}
	return systemTokenAnswer{f.keepSystem(t, expires).value}, nil
}

// asksToExpire tells whether the call wants a token that expires, which some businesses insist on.
func (f *Facebook) asksToExpire(c *call, t token) (bool, error) {
	expires := c.param("set_token_expires_in_60_days") == "true"
	if b := f.books.businesses[t.business]; b != nil && b.RequireExpiringTokens && !expires {
		return false, oauthError(codeInvalid, "(#100) The business requires access tokens that expire: set_token_expires_in_60_days must be true")
	}
	return expires, nil
}

// beyond are those that are not among the allowed.
func beyond(asked, allowed []string) []string {
	return slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return slices.Contains(allowed, s) })
}

// words reads a list: separated by commas, as documented, or a JSON array, which callers send too.
func words(s string) []string {
	var array []string
	if strings.HasPrefix(s, "[") && json.Unmarshal([]byte(s), &array) == nil {
		return array
	}
	return list(s)
}

// systemUserRoles are the roles that create takes.
var systemUserRoles = []string{"ADMIN", "EMPLOYEE"}

// createSystemUser gives a business a system user ("Business System Users").
func (f *Facebook) createSystemUser(c *call) (any, error) {
	t, err := f.managing(c)
	if err != nil {
		return nil, err
	}
	business := f.books.businesses[c.node]
	switch {
	case business == nil || !f.books.manages(t, business):
		return nil, noSuchObject(c, c.node)
	case c.param("name") == "":
		return nil, oauthError(codeInvalid, "(#100) The parameter name is required")
	case !slices.Contains(systemUserRoles, c.param("role")):
		return nil, oauthError(codeInvalid, "(#100) Param role must be one of {ADMIN, EMPLOYEE}")
	}
	created := SystemUser{
		ID: strconv.Itoa(100_000_000_000_000 + len(f.books.systemUsers)), Name: c.param("name"), Business: business.ID,
		Admin: c.param("role") == "ADMIN",
	}
	f.books.addSystemUser(created)
	return map[string]string{"id": created.ID}, nil
}

// managed is the system user in the path, if the caller may manage it.
func (f *Facebook) managed(c *call) (*token, *SystemUser, error) {
	t, err := f.managing(c)
	if err != nil {
		return nil, nil, err
	}
	s := f.books.systemUsers[c.node]
	if s == nil || f.books.businesses[s.Business] == nil || !f.books.manages(t, f.books.businesses[s.Business]) {
		return nil, nil, noSuchObject(c, c.node)
	}
	return t, s, nil
}

// installApp lets an app have tokens of a system user ("System Users: Install Apps, …").
func (f *Facebook) installApp(c *call) (any, error) {
	t, s, err := f.managed(c)
	if err != nil {
		return nil, err
	}
	if c.param("business_app") != t.app {
		return nil, oauthError(codeInvalid, "(#100) The parameter business_app is not the app of the access token")
	}
	if !slices.Contains(s.Apps, t.app) {
		s.Apps = append(s.Apps, t.app)
	}
	return map[string]bool{"success": true}, nil
}

// systemToken mints a token of a system user of the business's own ("System Users: …, Generate, …"). It may have whatever
// permissions are asked for.
func (f *Facebook) systemToken(c *call) (any, error) {
	t, s, err := f.managed(c)
	switch {
	case err != nil:
		return nil, err
	case c.param("appsecret_proof") == "":
		return nil, methodError(codeInvalid, 0, proofMissing)
	case c.param("business_app") != t.app || !slices.Contains(s.Apps, t.app):
		return nil, oauthError(codeInvalid, "(#100) The app is not installed for the system user")
	case c.param("scope") == "":
		return nil, oauthError(codeInvalid, "(#100) The parameter scope is required")
	}
	g := f.books.newGrant(t.app, s.ID)
	asked := append(words(c.param("scope")), publicProfile)
	for _, p := range asked {
		g.permissions[p] = Granted
	}
	g.active = f.options().Now()
	slices.Sort(asked)
	return f.mint(c, token{
		kind: KindSystemUser, app: t.app, person: s.ID, grant: g, business: s.Business, scopes: slices.Compact(asked), long: true,
	})
}

// revokeToken ends a single token of a system user ("System Users: …, and Revoke Tokens").
func (f *Facebook) revokeToken(c *call) (any, error) {
	if f.options().RevokeTokenOnlyByGET && c.method() != http.MethodGet {
		return nil, noSuchObject(c, "oauth")
	}
	app, secret, err := f.client(c)
	switch {
	case err != nil:
		return nil, err
	case secret == "":
		return nil, errClientSecret()
	}
	caller, err := f.authenticate(c)
	if err != nil {
		return nil, err
	}
	t := f.books.tokens[c.param("revoke_token")]
	switch {
	case t == nil:
		return nil, oauthError(codeInvalid, "(#100) The parameter revoke_token is no access token")
	case t.app != app.ID || caller.app != app.ID:
		return nil, oauthError(codeInvalid, wrongApp)
	case t.kind != KindSystemUser:
		return nil, oauthError(codeInvalid, "(#100) The parameter revoke_token is no access token of a system user")
	}
	if !t.client || !f.options().RevokeSparesIntegrations {
		t.dead = f.sessionError(t, SubcodeRevoked)
	}
	return map[string]bool{"success": true}, nil
}
