package authpipetest

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// What became of a permission ("User Permissions").
const (
	Granted  = "granted"
	Declined = "declined"
	Expired  = "expired" // unused for 90 days
)

// publicProfile is asked for at each login, and cannot be declined ("Permissions").
const publicProfile = "public_profile"

type grantKey struct{ app, person string }

// grant is what one person allowed one app, from the login to the removal of the app. A later login after a removal makes
// a new grant, so that the tokens of the old one stay dead.
type grant struct {
	app, person string
	permissions map[string]string // Granted, Declined or Expired
	pages       []string          // the selected ones; nil: all, later ones too
	active      time.Time         // when the person was last active in the app
	gone        bool
	business    string   // the client's, if the person is the system user that acts for the app there
	tokens      []string // of system users, in the order in which they were issued
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

func (g *grant) selected(page string) bool {
	return g.pages == nil || slices.Contains(g.pages, page)
}

// grantOf returns the standing grant, or nil.
func (b *books) grantOf(app, person string) *grant { return b.grants[grantKey{app, person}] }

// newGrant returns the standing grant, or opens one.
func (b *books) newGrant(app, person string) *grant {
	key := grantKey{app, person}
	if b.grants[key] == nil {
		b.grants[key] = &grant{app: app, person: person, permissions: map[string]string{}}
	}
	return b.grants[key]
}

// endGrant is the end of an app for a person or a business, whoever brought it about, and the app is told.
func (f *Facebook) endGrant(app, person string) {
	key := grantKey{app, person}
	g := f.books.grants[key]
	if g == nil {
		return
	}
	g.gone = true
	delete(f.books.grants, key)
	switch {
	case g.business != "":
		f.books.uninstalls[grantKey{app, g.business}]++
		f.integrationChanged(app, "business_integration_uninstall", g.business, "")
	case f.books.systemUsers[person] == nil:
		f.queueSigned(EventDeauthorize, app, f.ScopedID(app, person))
		f.permissionsChanged(g, "revoked", append(g.granted(), connected)...)
	}
}

// endPermission takes back a single permission. The tokens live on without it.
func (f *Facebook) endPermission(g *grant, name string) {
	if name != publicProfile && g.permissions[name] == Granted {
		f.permissionsChanged(g, "revoked", name)
	}
	switch {
	case name == publicProfile:
	case f.options().RevokedPermissionVanishes:
		delete(g.permissions, name)
	case g.permissions[name] != "":
		g.permissions[name] = Declined
	}
}

// RemoveApp is what a person does under "Apps and Websites" in their settings: each token that the app has of them, for
// themselves or for their pages, is refused with 190/458 from here on, even after a new login.
func (f *Facebook) RemoveApp(appID, userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endGrant(appID, userID)
}

// SetPermission puts one permission of a standing grant into a state: [Granted], [Declined] or [Expired]. It does nothing
// if the person has not authorized the app.
func (f *Facebook) SetPermission(appID, userID, permission, status string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.books.grantOf(appID, userID); g != nil {
		g.permissions[permission] = status
	}
}

// ChangePassword kills all tokens of a person, at every app, with 190/460.
func (f *Facebook) ChangePassword(userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.books.tokens {
		if t.person == userID && t.dead == nil {
			t.dead = f.sessionError(t, SubcodeSessionInvalidated)
		}
	}
}

// RemovePageRole takes a person's role on a page away: page tokens that they gave are refused with 190/492, and the page
// is no longer among their accounts. Their user tokens live on.
func (f *Facebook) RemovePageRole(pageID, userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.books.users[userID]; u != nil {
		u.Pages = slices.DeleteFunc(u.Pages, func(id string) bool { return id == pageID })
	}
}

// perAsset tells whether a permission is granted page by page ("Permissions": all Page permissions and business_management).
func perAsset(permission string) bool {
	return strings.HasPrefix(permission, "pages_") || strings.HasPrefix(permission, "page_") || permission == "business_management"
}

type permissionAnswer struct {
	Permission string `json:"permission"`
	Status     string `json:"status"`
}

// permissions lists what a person granted and declined ("User Permissions"). The filters are permission and status.
func (f *Facebook) permissions(c *call) (any, error) {
	g, err := f.permissionsOf(c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"data": g.list(c.param("permission"), c.param("status"))}, nil
}

// list lists permissions: only the one named, and only those with the status, unless these are empty.
func (g *grant) list(only, status string) []permissionAnswer {
	listed := []permissionAnswer{}
	for _, name := range g.names() {
		if (only == "" || only == name) && (status == "" || status == g.permissions[name]) {
			listed = append(listed, permissionAnswer{name, g.permissions[name]})
		}
	}
	return listed
}

// revoke takes one permission back, or removes the app altogether ("User Permissions"). A single permission costs no token.
func (f *Facebook) revoke(c *call) (any, error) {
	g, err := f.permissionsOf(c)
	if err != nil {
		return nil, err
	}
	if c.permission != "" {
		f.endPermission(g, c.permission)
	} else {
		f.endGrant(g.app, g.person)
	}
	if f.options().RevokeAnswersTrue {
		return true, nil
	}
	return map[string]bool{"success": true}, nil
}

// permissionsOf is the grant that the call is about. The caller is the person or the app.
func (f *Facebook) permissionsOf(c *call) (*grant, error) {
	t, err := f.authenticate(c)
	if err != nil {
		return nil, err
	}
	whom, err := f.target(c, t)
	if err != nil {
		return nil, err
	}
	if whom.page != "" {
		return nil, noSuchField("permissions", "Page")
	}
	if whom.business != "" {
		return nil, noSuchField("permissions", "Business")
	}
	return f.books.grantOf(t.app, whom.person), nil
}
