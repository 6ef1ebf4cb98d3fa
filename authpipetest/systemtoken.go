package authpipetest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

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
