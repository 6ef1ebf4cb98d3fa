package authpipetest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// businesses answers for the businesses of people and for system users.
type businesses struct {
	*settings
	graph     *graph
	directory *directory
	grants    *grants
	tokens    *tokens
}

// businessList lists the businesses of a person or a system user ("User Businesses").
func (bz *businesses) list(c *call) (any, error) {
	t, err := bz.graph.managing(c)
	if err != nil {
		return nil, err
	}
	e, err := c.edgeOf(scopedID(t.app, t.person) + "/businesses")
	if err != nil {
		return nil, err
	}
	return bz.listed(c, t, e)
}

func (bz *businesses) listed(c *call, t *token, e edge) (listing, error) {
	return bz.graph.list(c, t, e, bz.directory.businessesOf(t), func(id string) node { return businessNode(bz.directory.businesses[id]) })
}

// systemTokenAnswer has no expires_in, in Meta's samples.
type systemTokenAnswer struct {
	AccessToken string `json:"access_token"`
}

// integrationToken gives another token of the system user that acts for the app at the business in the path, with fewer
// permissions or assets, or tells the one there is ("Facebook Login for Business").
func (bz *businesses) integrationToken(c *call) (any, error) {
	t, err := bz.graph.managing(c)
	if err != nil {
		return nil, err
	}
	g := bz.grants.of(t.app, bz.grants.integrationUser(t.app, c.node))
	asked := c.param("system_user_id")
	switch {
	case c.param("appsecret_proof") == "":
		return nil, methodError(codeInvalid, 0, proofMissing)
	case g == nil, t.client && t.business != c.node:
		return nil, noSuchObject(c, c.node)
	case asked != "" && asked != g.person && asked != scopedID(t.app, g.person):
		return nil, noSuchObject(c, asked)
	case c.param("fetch_only") == "true":
		return bz.current(c, g)
	}
	narrowed := token{
		kind: KindSystemUser, app: t.app, person: g.person, grant: g, business: c.node, client: true, long: true, scopes: g.granted(),
	}
	if t.client { // a token bears none that can do more than it can
		narrowed.scopes, narrowed.assets = t.effective(), t.assets
	}
	return bz.mint(c, narrowed)
}

// standing is the youngest good token of a grant.
func (bz *businesses) current(c *call, g *grant) (any, error) {
	for _, value := range slices.Backward(g.tokens) {
		if t := bz.tokens.all[value]; bz.tokens.flaw(t) == nil {
			return systemTokenAnswer{t.value}, nil
		}
	}
	return nil, noSuchObject(c, c.node)
}

// mint issues a system user's token with the scope, the assets and the life that the call asks for. No report shows the
// texts of its refusals.
func (bz *businesses) mint(c *call, t token) (any, error) {
	expires, err := bz.asksToExpire(c, t)
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
			return t.selected(page) && bz.directory.mayHave(t.person, page)
		})
		if len(over) > 0 {
			return nil, oauthError(codeInvalid, "(#100) The assets are beyond what was granted: %s", strings.Join(over, ","))
		}
		t.assets = asked
	}
	return systemTokenAnswer{bz.tokens.addSystem(t, expires).value}, nil
}

// asksToExpire tells whether the call wants a token that expires, which some businesses insist on.
func (bz *businesses) asksToExpire(c *call, t token) (bool, error) {
	expires := c.param("set_token_expires_in_60_days") == "true"
	if b := bz.directory.businesses[t.business]; b != nil && b.RequireExpiringTokens && !expires {
		return false, oauthError(codeInvalid, "(#100) The business requires access tokens that expire: set_token_expires_in_60_days must be true")
	}
	return expires, nil
}

// systemUserRoles are the roles that create takes.
var systemUserRoles = []string{"ADMIN", "EMPLOYEE"}

// createSystemUser gives a business a system user ("Business System Users").
func (bz *businesses) createSystemUser(c *call) (any, error) {
	t, err := bz.graph.managing(c)
	if err != nil {
		return nil, err
	}
	business := bz.directory.businesses[c.node]
	switch {
	case business == nil || !bz.directory.manages(t, business):
		return nil, noSuchObject(c, c.node)
	case c.param("name") == "":
		return nil, oauthError(codeInvalid, "(#100) The parameter name is required")
	case !slices.Contains(systemUserRoles, c.param("role")):
		return nil, oauthError(codeInvalid, "(#100) Param role must be one of {ADMIN, EMPLOYEE}")
	}
	created := SystemUser{
		ID: strconv.Itoa(100_000_000_000_000 + len(bz.directory.systemUsers)), Name: c.param("name"), Business: business.ID,
		Admin: c.param("role") == "ADMIN",
	}
	bz.directory.addSystemUser(created)
	return map[string]string{"id": created.ID}, nil
}

// managed is the system user in the path, if the caller may manage it.
func (bz *businesses) managed(c *call) (*token, *SystemUser, error) {
	t, err := bz.graph.managing(c)
	if err != nil {
		return nil, nil, err
	}
	s := bz.directory.systemUsers[c.node]
	if s == nil || bz.directory.businesses[s.Business] == nil || !bz.directory.manages(t, bz.directory.businesses[s.Business]) {
		return nil, nil, noSuchObject(c, c.node)
	}
	return t, s, nil
}

// installApp lets an app have tokens of a system user ("System Users: Install Apps, …").
func (bz *businesses) installApp(c *call) (any, error) {
	t, s, err := bz.managed(c)
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
func (bz *businesses) systemToken(c *call) (any, error) {
	t, s, err := bz.managed(c)
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
	g := bz.grants.open(t.app, s.ID)
	asked := append(words(c.param("scope")), publicProfile)
	for _, p := range asked {
		g.permissions[p] = Granted
	}
	g.active = bz.options().Now()
	slices.Sort(asked)
	return bz.mint(c, token{
		kind: KindSystemUser, app: t.app, person: s.ID, grant: g, business: s.Business, scopes: slices.Compact(asked), long: true,
	})
}

// revokeToken ends a single token of a system user ("System Users: …, and Revoke Tokens").
func (bz *businesses) revokeToken(c *call) (any, error) {
	if bz.options().RevokeTokenOnlyByGET && c.method() != http.MethodGet {
		return nil, noSuchObject(c, "oauth")
	}
	app, secret, err := bz.graph.client(c)
	switch {
	case err != nil:
		return nil, err
	case secret == "":
		return nil, errClientSecret()
	}
	caller, err := bz.graph.authenticate(c)
	if err != nil {
		return nil, err
	}
	t := bz.tokens.all[c.param("revoke_token")]
	switch {
	case t == nil:
		return nil, oauthError(codeInvalid, "(#100) The parameter revoke_token is no access token")
	case t.app != app.ID || caller.app != app.ID:
		return nil, oauthError(codeInvalid, wrongApp)
	case t.kind != KindSystemUser:
		return nil, oauthError(codeInvalid, "(#100) The parameter revoke_token is no access token of a system user")
	}
	if !t.client || !bz.options().RevokeSparesIntegrations {
		t.dead = bz.tokens.sessionError(t, SubcodeRevoked)
	}
	return map[string]bool{"success": true}, nil
}
