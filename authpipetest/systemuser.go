package authpipetest

import (
	"net/http"
	"slices"
	"strconv"
)

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
