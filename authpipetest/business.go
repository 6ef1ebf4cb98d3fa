package authpipetest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// businesses has the endpoints of businesses and their system users.
type businesses struct {
	*settings
	graph     *graph
	directory *directory
	grants    *grants
	tokens    *tokens
}

// list lists the businesses of a person or a system user ("User Businesses").
func (bs *businesses) list(c *call) (any, error) {
	t, err := bs.graph.authenticateManager(c)
	if err != nil {
		return nil, err
	}
	e, err := c.edgeOf(scopedID(t.app, t.person) + "/businesses")
	if err != nil {
		return nil, err
	}
	return bs.listed(c, t, e)
}

func (bs *businesses) listed(c *call, t *token, e edge) (listing, error) {
	return bs.graph.list(c, t, e, bs.directory.businessesOf(t), func(id string) node { return businessNode(bs.directory.businesses[id]) })
}

// systemTokenAnswer has no expires_in in Meta's samples.
type systemTokenAnswer struct {
	AccessToken string `json:"access_token"`
}

// integrationToken issues another token of the system user that acts for the app at the business, with fewer
// permissions or assets. With fetch_only it returns the existing one ("Facebook Login for Business").
func (bs *businesses) integrationToken(c *call) (any, error) {
	t, err := bs.graph.authenticateManager(c)
	if err != nil {
		return nil, err
	}
	g := bs.grants.of(t.app, bs.grants.integrationUser(t.app, c.node))
	asked := c.param("system_user_id")
	switch {
	case c.param("appsecret_proof") == "":
		return nil, methodError(codeInvalid, 0, proofMissing)
	case g == nil, t.client && t.business != c.node:
		return nil, noSuchObject(c, c.node)
	case asked != "" && asked != g.person && asked != scopedID(t.app, g.person):
		return nil, noSuchObject(c, asked)
	case c.param("fetch_only") == "true":
		return bs.current(c, g)
	}
	narrowed := token{
		kind: KindSystemUser, app: t.app, person: g.person, grant: g, business: c.node, client: true, long: true, scopes: g.granted(),
	}
	if t.client { // a token cannot issue one with more rights than its own
		narrowed.scopes, narrowed.assets = t.effective(), t.assets
	}
	return bs.issue(c, narrowed)
}

// current returns the newest valid token of a grant.
func (bs *businesses) current(c *call, g *grant) (any, error) {
	for _, value := range slices.Backward(g.tokens) {
		if t := bs.tokens.all[value]; bs.tokens.validate(t) == nil {
			return systemTokenAnswer{t.value}, nil
		}
	}
	return nil, noSuchObject(c, c.node)
}

// issue makes a token of a system user with the scope, assets and expiry that the call asks for. No report shows the
// texts of its refusals.
func (bs *businesses) issue(c *call, t token) (any, error) {
	expires, err := bs.asksToExpire(c, t)
	if err != nil {
		return nil, err
	}
	if asked := listOrArray(c.param("scope")); len(asked) > 0 {
		if over := beyond(asked, t.scopes); len(over) > 0 {
			return nil, oauthError(codeInvalid, "(#100) The scope is beyond what was granted: %s", strings.Join(over, ","))
		}
		t.scopes = asked
	}
	if asked := listOrArray(c.param("asset")); len(asked) > 0 {
		over := slices.DeleteFunc(slices.Clone(asked), func(page string) bool {
			return t.selected(page) && bs.directory.mayHave(t.person, page)
		})
		if len(over) > 0 {
			return nil, oauthError(codeInvalid, "(#100) The assets are beyond what was granted: %s", strings.Join(over, ","))
		}
		t.assets = asked
	}
	return systemTokenAnswer{bs.tokens.addSystem(t, expires).value}, nil
}

// asksToExpire reports whether the call asks for a token that expires. It returns an error if the business requires
// that and the call does not.
func (bs *businesses) asksToExpire(c *call, t token) (bool, error) {
	expires := c.param("set_token_expires_in_60_days") == "true"
	if b := bs.directory.businesses[t.business]; b != nil && b.RequireExpiringTokens && !expires {
		return false, oauthError(codeInvalid, "(#100) The business requires access tokens that expire: set_token_expires_in_60_days must be true")
	}
	return expires, nil
}

// systemUserRoles are the roles of a new system user.
var systemUserRoles = []string{"ADMIN", "EMPLOYEE"}

// createSystemUser creates a system user of a business ("Business System Users").
func (bs *businesses) createSystemUser(c *call) (any, error) {
	t, err := bs.graph.authenticateManager(c)
	if err != nil {
		return nil, err
	}
	business := bs.directory.businesses[c.node]
	switch {
	case business == nil || !bs.directory.manages(t, business):
		return nil, noSuchObject(c, c.node)
	case c.param("name") == "":
		return nil, oauthError(codeInvalid, "(#100) The parameter name is required")
	case !slices.Contains(systemUserRoles, c.param("role")):
		return nil, oauthError(codeInvalid, "(#100) Param role must be one of {ADMIN, EMPLOYEE}")
	}
	created := SystemUser{
		ID: strconv.Itoa(100_000_000_000_000 + len(bs.directory.systemUsers)), Name: c.param("name"), Business: business.ID,
		Admin: c.param("role") == "ADMIN",
	}
	bs.directory.addSystemUser(created)
	return map[string]string{"id": created.ID}, nil
}

// managed returns the system user in the path, if the caller may manage it.
func (bs *businesses) managed(c *call) (*token, *SystemUser, error) {
	t, err := bs.graph.authenticateManager(c)
	if err != nil {
		return nil, nil, err
	}
	s := bs.directory.systemUsers[c.node]
	if s == nil || bs.directory.businesses[s.Business] == nil || !bs.directory.manages(t, bs.directory.businesses[s.Business]) {
		return nil, nil, noSuchObject(c, c.node)
	}
	return t, s, nil
}

// installApp installs an app for a system user, so that it can have tokens ("System Users: Install Apps, …").
func (bs *businesses) installApp(c *call) (any, error) {
	t, s, err := bs.managed(c)
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

// systemToken issues a token of one of the business's own system users ("System Users: …, Generate, …"). Any permission
// may be asked for.
func (bs *businesses) systemToken(c *call) (any, error) {
	t, s, err := bs.managed(c)
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
	g := bs.grants.open(t.app, s.ID)
	asked := append(listOrArray(c.param("scope")), publicProfile)
	for _, p := range asked {
		g.permissions[p] = Granted
	}
	g.active = bs.options().Now()
	slices.Sort(asked)
	return bs.issue(c, token{
		kind: KindSystemUser, app: t.app, person: s.ID, grant: g, business: s.Business, scopes: slices.Compact(asked), long: true,
	})
}

// revokeToken revokes one token of a system user ("System Users: …, and Revoke Tokens").
func (bs *businesses) revokeToken(c *call) (any, error) {
	if bs.options().RevokeTokenOnlyByGET && c.method() != http.MethodGet {
		return nil, noSuchObject(c, "oauth")
	}
	app, secret, err := bs.graph.client(c)
	switch {
	case err != nil:
		return nil, err
	case secret == "":
		return nil, errClientSecret()
	}
	caller, err := bs.graph.authenticate(c)
	if err != nil {
		return nil, err
	}
	t := bs.tokens.all[c.param("revoke_token")]
	switch {
	case t == nil:
		return nil, oauthError(codeInvalid, "(#100) The parameter revoke_token is no access token")
	case t.app != app.ID || caller.app != app.ID:
		return nil, oauthError(codeInvalid, wrongApp)
	case t.kind != KindSystemUser:
		return nil, oauthError(codeInvalid, "(#100) The parameter revoke_token is no access token of a system user")
	}
	if !t.client || !bs.options().RevokeSparesIntegrations {
		t.killed = bs.tokens.sessionError(t, SubcodeRevoked)
	}
	return map[string]bool{"success": true}, nil
}
