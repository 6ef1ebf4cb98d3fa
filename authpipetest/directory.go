package authpipetest

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
)

// App is a client that is registered with Facebook ("App Dashboard").
type App struct {
	ID     string // the client id, a decimal string at Facebook
	Secret string
	// ClientToken is the public half of a client access token ("Login for Devices"). Empty: no device login.
	ClientToken string
	Name        string // shown at the dialog and by debug_token; zero: "Demo"
	// RedirectURIs are the "Valid OAuth Redirect URIs". The URI of a login must equal one of them.
	RedirectURIs []string
	// RequireAppSecret is the setting "Require App Secret": calls with a token need an appsecret_proof ("Login Security").
	RequireAppSecret bool
	// Version is the API version of calls that name none ("Upgrade API version"). Zero: the oldest version that is
	// served.
	Version string
	// DeauthorizeURL gets a request when a person removes the app, and DataDeletionURL when they also request the
	// deletion of their data. Empty: no request. See [Facebook.Deliver].
	DeauthorizeURL, DataDeletionURL string
	// Developers are the people whose user tokens debug_token accepts, besides the app token.
	Developers []string
	// PublicContentAccess is the feature "Page Public Content Access": the app reads the public fields of any published
	// page by its id, with any token.
	PublicContentAccess bool
}

// User is a person with a Facebook account.
type User struct {
	ID    string // of the person; an app sees the app-scoped id, see [Facebook.ScopedID]
	Name  string
	Email string   // empty: no confirmed address, so apps get none
	Pages []string // ids of the pages on which the person has a role
	// Tasks are the tasks that the person may perform on a page, by the page's id. Absent: those of the [Page]. Empty:
	// the role gives no rights, as a live contributor's, so that the page is listed without an access_token.
	Tasks map[string][]string
	// Profile has further fields by name, such as birthday: "05/16/1990". A field that needs a permission is absent
	// without it ("Permissions Reference"). A field that Facebook documents and Profile lacks is absent.
	Profile map[string]any
}

// Page is a Facebook Page.
type Page struct {
	ID       string
	Name     string
	Category string   // zero: "Brand"
	Tasks    []string // permitted to people with a role; zero: everything
	Username string   // the name in the page's URL; empty: none
	// Instagram is the id of the professional account at Instagram that the page is linked with, for tokens with
	// instagram_basic. Empty: none.
	Instagram string
	// Portfolio is the id of the business portfolio that holds the page. A person's list of pages includes the page
	// only for tokens with business_management; the page can be read by its id without. Empty: none.
	Portfolio string
	// NeedsBusinessManagement withholds the access_token and the tasks of a page in a portfolio from tokens without
	// business_management when they read the page by its id, too.
	NeedsBusinessManagement bool
	// Fields has further fields by name, such as fan_count or about, for tokens with pages_read_engagement. A field
	// that Facebook documents and Fields lacks is absent.
	Fields map[string]any
}

// Business is a business portfolio ("Facebook Login for Business").
type Business struct {
	ID     string
	Name   string   // zero: "Business"
	Admins []string // ids of the people who may connect apps to it
	Pages  []string // ids of the pages that are its assets
	// RequireExpiringTokens makes the tokens of the business's system users expire after 60 days, and refuses requests
	// for others ("System Users: Install Apps, Generate, Refresh, and Revoke Tokens").
	RequireExpiringTokens bool
}

// Configuration is a set of permissions that an app asks of businesses, by its id instead of a scope ("Facebook Login
// for Business").
type Configuration struct {
	ID  string // the config_id
	App string // the app's id
	// TokenKind is KindSystemUser for a token of the business, or KindUser for one of the person at the dialog. Zero:
	// KindSystemUser.
	TokenKind string
	// ExpiresIn60Days makes system user tokens expire after 60 days. Otherwise they never expire, unless the business
	// requires it. [Options].CodeTokenLife applies to user tokens.
	ExpiresIn60Days bool
	// Permissions are granted all together or not at all.
	Permissions []string
}

// SystemUser is an account of a business for its own software. A system user that acts for an app at a client's
// business is made by the login: see [Facebook.Integration].
type SystemUser struct {
	ID       string
	Name     string
	Business string
	Admin    bool     // its tokens may create and manage others
	Apps     []string // installed apps; tokens are only for these
	Pages    []string // assigned assets
}

// directory has the apps, people, pages and businesses.
type directory struct {
	*settings

	apps   map[string]*App
	users  map[string]*User
	people []string // ids of users, in the order of AddUser
	pages  map[string]*Page

	businesses     map[string]*Business
	configurations map[string]*Configuration
	systemUsers    map[string]*SystemUser
}

func newDirectory(s *settings) *directory {
	return &directory{
		settings: s,
		apps:     map[string]*App{}, users: map[string]*User{}, pages: map[string]*Page{},
		businesses: map[string]*Business{}, configurations: map[string]*Configuration{}, systemUsers: map[string]*SystemUser{},
	}
}

// AddApp registers an app, or replaces the one with that id.
func (f *Facebook) AddApp(a App) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.addApp(a)
}

func (d *directory) addApp(a App) {
	if a.Name == "" {
		a.Name = "Demo"
	}
	a.RedirectURIs, a.Developers = slices.Clone(a.RedirectURIs), slices.Clone(a.Developers)
	d.apps[a.ID] = &a
}

// AddUser adds a person, or replaces the one with that id.
func (f *Facebook) AddUser(u User) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.addUser(u)
}

func (d *directory) addUser(u User) {
	u.Pages, u.Profile, u.Tasks = slices.Clone(u.Pages), maps.Clone(u.Profile), maps.Clone(u.Tasks)
	if _, known := d.users[u.ID]; !known {
		d.people = append(d.people, u.ID)
	}
	d.users[u.ID] = &u
}

// AddPage adds a page, or replaces the one with that id.
func (f *Facebook) AddPage(p Page) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.addPage(p)
}

func (d *directory) addPage(p Page) {
	if p.Category == "" {
		p.Category = "Brand"
	}
	if p.Tasks == nil {
		p.Tasks = pageTasks
	}
	p.Tasks, p.Fields = slices.Clone(p.Tasks), maps.Clone(p.Fields)
	d.pages[p.ID] = &p
}

// SetAppSecret resets an app's secret. App tokens and proofs made with the former secret are refused from then on;
// other tokens stay valid. It does nothing if there is no such app.
func (f *Facebook) SetAppSecret(appID, secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if app := f.directory.apps[appID]; app != nil {
		app.Secret = secret
	}
}

// ScopedID returns the id by which an app knows a person ("App-Scoped User IDs"). It differs between apps and is
// constant for each. It is a decimal number above 2^53, which does not survive conversion to a float.
func (f *Facebook) ScopedID(appID, userID string) string { return scopedID(appID, userID) }

func scopedID(appID, userID string) string {
	const above = 10_000_000_000_000_000 // 17 digits; 2^53 has 16
	sum := sha256.Sum256([]byte(appID + "\x00" + userID))
	return strconv.FormatUint(above+binary.BigEndian.Uint64(sum[:])%(9*above), 10)
}

// hasSecret need not compare in constant time: the simulator protects nothing.
func (a *App) hasSecret(secret string) bool {
	return secret != "" && secret == a.Secret
}

// AddBusiness adds a business, or replaces the one with that id.
func (f *Facebook) AddBusiness(b Business) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.addBusiness(b)
}

func (d *directory) addBusiness(b Business) {
	b.Name = cmp.Or(b.Name, "Business")
	b.Admins, b.Pages = slices.Clone(b.Admins), slices.Clone(b.Pages)
	d.businesses[b.ID] = &b
}

// AddConfiguration adds a configuration of an app, or replaces the one with that id.
func (f *Facebook) AddConfiguration(c Configuration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.addConfiguration(c)
}

func (d *directory) addConfiguration(c Configuration) {
	c.TokenKind = cmp.Or(c.TokenKind, KindSystemUser)
	c.Permissions = slices.Clone(c.Permissions)
	d.configurations[c.ID] = &c
}

// AddSystemUser adds a system user of a business, or replaces the one with that id.
func (f *Facebook) AddSystemUser(s SystemUser) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.addSystemUser(s)
}

// addSystemUser also adds a user, since a system user has a name, permissions, pages and tokens as a person has. It
// cannot log in at the dialog.
func (d *directory) addSystemUser(s SystemUser) {
	s.Apps = slices.Clone(s.Apps)
	d.systemUsers[s.ID] = &s
	d.users[s.ID] = &User{ID: s.ID, Name: s.Name, Pages: slices.Clone(s.Pages)}
}

// manages reports whether the token may manage the system users of a business.
func (d *directory) manages(t *token, business *Business) bool {
	if s := d.systemUsers[t.person]; s != nil {
		return s.Admin && s.Business == business.ID
	}
	return t.kind == KindUser && slices.Contains(business.Admins, t.person)
}

// administeredBy returns the ids of the businesses of which the person is an admin, in order.
func (d *directory) administeredBy(person string) []string {
	return d.businessesWith(func(b *Business) bool { return slices.Contains(b.Admins, person) })
}

// joinedBy returns the ids of the businesses of which the person is an admin or through which they have a role on a
// page, in order.
func (d *directory) joinedBy(person string) []string {
	return d.businessesWith(func(b *Business) bool {
		return slices.Contains(b.Admins, person) || slices.ContainsFunc(d.pagesOf(d.users[person].Pages), func(p *Page) bool { return p.Portfolio == b.ID })
	})
}

// businessesOf returns the ids of the businesses that the token reaches, in order.
func (d *directory) businessesOf(t *token) []string {
	if t.kind == KindUser {
		return slices.DeleteFunc(d.joinedBy(t.person), func(id string) bool { return !t.grant.selectedBusiness(id) })
	}
	return d.businessesWith(func(b *Business) bool { return b.ID == t.business })
}

func (d *directory) businessesWith(wanted func(*Business) bool) []string {
	var ids []string
	for id, b := range d.businesses {
		if wanted(b) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Rename changes the name of the page, person, system user or business with that id. It does nothing if there is none.
func (f *Facebook) Rename(id, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.directory.rename(id, name)
}

func (d *directory) rename(id, name string) (known bool) {
	if p := d.pages[id]; p != nil {
		p.Name, known = name, true
	}
	if u := d.users[id]; u != nil {
		u.Name, known = name, true
	}
	if s := d.systemUsers[id]; s != nil {
		s.Name = name // its user has the same id
	}
	if b := d.businesses[id]; b != nil {
		b.Name, known = name, true
	}
	return known
}

// SetPortfolio moves a page into the portfolio of a business, or out of any if businessID is empty: see
// [Page].Portfolio. It does nothing if there is no such page.
func (f *Facebook) SetPortfolio(pageID, businessID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.directory.pages[pageID]; p != nil {
		p.Portfolio = businessID
	}
}

func (d *directory) personOf(consent Consent) string {
	switch {
	case consent.User != "":
		return consent.User
	case d.options().AutoApproveUser != "":
		return d.options().AutoApproveUser
	case len(d.people) > 0:
		return d.people[0]
	}
	return ""
}

func (d *directory) pagesOf(ids []string) []*Page {
	var pages []*Page
	for _, id := range ids {
		if p := d.pages[id]; p != nil {
			pages = append(pages, p)
		}
	}
	return pages
}

func (d *directory) peopleInOrder() []*User {
	var people []*User
	for _, id := range d.people {
		people = append(people, d.users[id])
	}
	return people
}

func (d *directory) nameOf(person string) string {
	if u := d.users[person]; u != nil {
		return u.Name
	}
	return person
}
