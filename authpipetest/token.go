package authpipetest

import (
	"maps"
	"slices"
	"time"
)

// Kinds of access token ("Access Tokens"), as debug_token names them.
const (
	KindUser = "USER"
	KindPage = "PAGE"
	KindApp  = "APP"
	// KindSystemUser is a token of a business, by one of its system users. What debug_token calls those that Facebook Login for
	// Business gives is nowhere written down: see [Options].IntegrationTokenType.
	KindSystemUser = "SYSTEM_USER"
)

// token is an access token of a person or a page. App tokens are not kept: see [Facebook.appTokenOf].
type token struct {
	number int // in the order in which they were issued, from 1
	value  string
	kind   string
	app    string
	person string
	page   string // page tokens only

	business string   // tokens of system users, and their page tokens
	client   bool     // the system user acts for the app at a client's business
	assets   []string // narrows the grant's pages; nil: all of them

	grant   *grant
	scopes  []string  // what was granted as the token was made
	issued  time.Time // and its life began
	counted time.Time // when the 60 days were last counted anew
	expires time.Time // zero: never
	long    bool
	dead    *GraphError // killed by hand
}

type pageTokenKey struct{ userToken, page string }

// keep gives a token its value and puts it on the books.
func (b *books) keep(t token) *token {
	t.value, t.number = newTokenValue(), len(b.tokens)+1
	b.tokens[t.value] = &t
	return &t
}

// issue makes a user token that lives for life, or forever if life is zero.
func (f *Facebook) issue(g *grant, life time.Duration) *token {
	now := f.options().Now()
	t := token{
		kind: KindUser, app: g.app, person: g.person, grant: g, scopes: g.granted(),
		issued: now, counted: now, long: life == 0 || life > 24*time.Hour,
	}
	if life != 0 {
		t.expires = now.Add(life)
	}
	return f.books.keep(t)
}

// pageTokenOf returns the page token that a user token is good for. It lives as long as a short-lived user token, and
// forever beside a long-lived one ("Long-Lived Access Tokens").
func (f *Facebook) pageTokenOf(t *token, page string) *token {
	key := pageTokenKey{t.value, page}
	if made := f.books.tokens[f.books.pageTokens[key]]; made != nil && f.flaw(made) == nil {
		return made // the same one each time, while it is good
	}
	made := *t
	made.kind, made.page, made.issued = KindPage, page, f.options().Now()
	if t.long {
		made.expires = time.Time{}
	}
	kept := f.books.keep(made)
	f.books.pageTokens[key] = kept.value
	return kept
}

// effective are the scopes that the token had at first and that are granted still.
func (t *token) effective() []string {
	if t.grant == nil { // an app token
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.scopes), func(s string) bool {
		return t.grant.permissions[s] != Granted
	})
}

func (t *token) has(permission string) bool { return slices.Contains(t.effective(), permission) }

// selected tells whether the page is among those that the token is for.
func (t *token) selected(page string) bool {
	return t.grant.selected(page) && (t.assets == nil || slices.Contains(t.assets, page))
}

// personal tells the tokens that are not a page's or an app's.
func (t *token) personal() bool { return t.kind == KindUser || t.kind == KindSystemUser }

// dataAccessExpires is zero, which means never, for a business: nobody there can be inactive.
func (t *token) dataAccessExpires() time.Time {
	if t.business != "" {
		return time.Time{}
	}
	return t.grant.active.Add(dataAccessLife)
}

// flaw tells why a token is refused, or nil.
func (f *Facebook) flaw(t *token) *GraphError {
	switch {
	case t.dead != nil:
		return t.dead
	case t.kind == KindApp:
		return nil
	case t.grant.gone && t.client:
		return f.sessionError(t, SubcodeUnconfirmed)
	case t.grant.gone:
		return f.sessionError(t, SubcodeAppNotInstalled)
	case !t.expires.IsZero() && !f.options().Now().Before(t.expires):
		return f.sessionError(t, SubcodeExpired)
	case t.kind == KindPage && !f.books.mayHave(t.person, t.page):
		return f.sessionError(t, SubcodeNoPageRole)
	case t.kind == KindPage && !t.selected(t.page):
		// The person has connected again and chosen other pages. No report has the subcode.
		return f.sessionError(t, 0)
	}
	return nil
}

// Inspection is what the simulator's own books say about a token, where debug_token says only what Facebook lets an app
// know.
type Inspection struct {
	Kind      string // KindUser, KindPage, KindSystemUser or KindApp
	App       string
	User      string // the person or system user; empty for an app token
	ScopedID  string // the app's id of the person
	Page      string // page tokens only
	Business  string // tokens of system users, and page tokens made of them
	Scopes    []string
	IssuedAt  time.Time
	ExpiresAt time.Time // zero: never
	// DataAccessExpiresAt is 90 days after the person was last active in the app. Zero: never, for a business.
	DataAccessExpiresAt time.Time
	Valid               bool
	Error               *GraphError // why it is not valid
}

// Tokens returns the values of all tokens that the simulator ever issued, in no order.
func (f *Facebook) Tokens() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.books.tokens))
}

// Inspect looks a token up in the books; false if the simulator never issued it. It makes no request, so the log does
// not show it.
func (f *Facebook) Inspect(value string) (Inspection, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.find(value)
	if err != nil {
		return Inspection{}, false
	}
	flaw := f.flaw(t)
	seen := Inspection{
		Kind: t.kind, App: t.app, User: t.person, Page: t.page, Business: t.business,
		IssuedAt: t.issued, ExpiresAt: t.expires, Valid: flaw == nil, Error: flaw,
	}
	if t.kind != KindApp {
		seen.ScopedID = f.ScopedID(t.app, t.person)
		seen.Scopes = t.effective()
		seen.DataAccessExpiresAt = t.dataAccessExpires()
	}
	return seen, true
}

// ExpireToken ends a token's life now: it is refused with 190/463. Page tokens made of it live on.
func (f *Facebook) ExpireToken(value string) { f.SetTokenExpiry(value, f.options().Now()) }

// SetTokenExpiry changes when a token expires, as Facebook may do at any time.
func (f *Facebook) SetTokenExpiry(value string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.books.tokens[value]; t != nil {
		t.expires = at
	}
}
