package authpipetest

import (
	"cmp"
	"slices"
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
