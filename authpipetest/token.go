package authpipetest

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // errors have Pacific time, on any machine
)

// Kinds of access token ("Access Tokens"), as debug_token names them.
const (
	KindUser = "USER"
	KindPage = "PAGE"
	KindApp  = "APP"
	// KindSystemUser is a token of a business, by one of its system users. What type debug_token returns for the tokens
	// of Facebook Login for Business is not documented: see [Options].IntegrationTokenType.
	KindSystemUser = "SYSTEM_USER"
)

// token is an access token of a person, a system user or a page. App tokens are not stored: see tokens.find.
type token struct {
	number int // in the order of issue, from 1
	value  string
	kind   string
	app    string
	person string
	page   string // page tokens only

	business string   // tokens of system users, and their page tokens
	client   bool     // the system user acts for the app at a client's business
	assets   []string // narrows the grant's pages; nil: all of them

	grant   *grant
	scopes  []string  // the permissions granted at the time of issue
	issued  time.Time // start of its lifetime
	counted time.Time // start of the current 60 days
	expires time.Time // zero: never
	long    bool
	killed  *GraphError // by KillToken and the like; nil: no
}

// tokens has all tokens ever issued.
type tokens struct {
	*settings
	directory *directory

	all        map[string]*token       // by value
	pageTokens map[pageTokenKey]string // the page token that was made of a user token
}

type pageTokenKey struct{ userToken, page string }

func newTokens(s *settings, d *directory) *tokens {
	return &tokens{settings: s, directory: d, all: map[string]*token{}, pageTokens: map[pageTokenKey]string{}}
}

// add stores a token under a new value.
func (ts *tokens) add(t token) *token {
	t.value, t.number = newTokenValue(), len(ts.all)+1
	ts.all[t.value] = &t
	return &t
}

// issue makes a user token with the given lifetime. Zero: it never expires.
func (ts *tokens) issue(g *grant, life time.Duration) *token {
	now := ts.options().Now()
	t := token{
		kind: KindUser, app: g.app, person: g.person, grant: g, scopes: g.granted(),
		issued: now, counted: now, long: life == 0 || life > 24*time.Hour,
	}
	if life != 0 {
		t.expires = now.Add(life)
	}
	return ts.add(t)
}

// issueSystem makes a token of a system user with all scopes and assets of its grant.
func (ts *tokens) issueSystem(g *grant, business string, expires bool) *token {
	t := token{
		kind: KindSystemUser, app: g.app, person: g.person, grant: g, business: business, client: g.business != "",
		scopes: g.granted(), long: true,
	}
	return ts.addSystem(t, expires)
}

func (ts *tokens) addSystem(t token, expires bool) *token {
	now := ts.options().Now()
	t.issued, t.counted, t.expires = now, now, time.Time{}
	if expires {
		t.expires = now.Add(LongLife)
	}
	kept := ts.add(t)
	kept.grant.tokens = append(kept.grant.tokens, kept.value)
	return kept
}

// answer is the token endpoint's answer, with the remaining lifetime unless omitExpiresIn is set.
func (ts *tokens) answer(t *token, omitExpiresIn bool) tokenAnswer {
	a := tokenAnswer{AccessToken: t.value, TokenType: "bearer"}
	if !omitExpiresIn && !t.expires.IsZero() {
		a.ExpiresIn = int64((t.expires.Sub(ts.options().Now()) - answerLag).Seconds())
	}
	return a
}

// pageTokenOf returns the page token that belongs to a user token. It expires with a short-lived user token, and never
// beside a long-lived one ("Long-Lived Access Tokens").
func (ts *tokens) pageTokenOf(t *token, page string) *token {
	key := pageTokenKey{t.value, page}
	if made := ts.all[ts.pageTokens[key]]; made != nil && ts.validate(made) == nil {
		return made // the same token each time, while it is valid
	}
	made := *t
	made.kind, made.page, made.issued = KindPage, page, ts.options().Now()
	if t.long {
		made.expires = time.Time{}
	}
	kept := ts.add(made)
	ts.pageTokens[key] = kept.value
	return kept
}

// effective returns the scopes that the token was issued with and that are still granted.
func (t *token) effective() []string {
	if t.grant == nil { // an app token
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.scopes), func(s string) bool {
		return t.grant.permissions[s] != Granted
	})
}

func (t *token) has(permission string) bool { return slices.Contains(t.effective(), permission) }

// selected reports whether the page is among those that the token is for.
func (t *token) selected(page string) bool {
	return t.grant.selected(page) && (t.assets == nil || slices.Contains(t.assets, page))
}

// personal reports whether the token belongs to a person or system user, not to a page or an app.
func (t *token) personal() bool { return t.kind == KindUser || t.kind == KindSystemUser }

// dataAccessExpires is zero, which means never, for a business.
func (t *token) dataAccessExpires() time.Time {
	if t.business != "" {
		return time.Time{}
	}
	return t.grant.active.Add(dataAccessLife)
}

// find looks a token up, valid or not. An app token is computed from the app's secret.
func (ts *tokens) find(value string) (*token, error) {
	if id, rest, isApp := strings.Cut(value, "|"); isApp {
		app := ts.directory.apps[id]
		if app == nil || !app.hasSecret(rest) && rest != app.appTokenSuffix() {
			return nil, tokenError(0, badSignature)
		}
		return &token{value: value, kind: KindApp, app: id}, nil
	}
	if t := ts.all[value]; t != nil {
		return t, nil
	}
	refused := tokenError(0, notAToken)
	refused.status = ts.options().TokenErrorStatus
	return nil, refused
}

// validate returns the error with which a token is refused, or nil.
func (ts *tokens) validate(t *token) *GraphError {
	switch {
	case t.killed != nil:
		return t.killed
	case t.kind == KindApp:
		return nil
	case t.grant.ended && t.client:
		return ts.sessionError(t, SubcodeUnconfirmed)
	case t.grant.ended:
		return ts.sessionError(t, SubcodeAppNotInstalled)
	case !t.expires.IsZero() && !ts.options().Now().Before(t.expires):
		return ts.sessionError(t, SubcodeExpired)
	case t.kind == KindPage && len(ts.directory.tasksOf(t.person, t.page)) == 0:
		return ts.sessionError(t, SubcodeNoPageRole)
	case t.kind == KindPage && !t.selected(t.page):
		// The person has logged in again and selected other pages. No report has the subcode.
		return ts.sessionError(t, 0)
	}
	return nil
}

// Inspection is what the simulator knows about a token. debug_token shows only the part that Facebook discloses to an
// app.
type Inspection struct {
	Kind      string // KindUser, KindPage, KindSystemUser or KindApp
	App       string
	User      string // the person or system user; empty for an app token
	ScopedID  string // the app-scoped id of the person
	Page      string // page tokens only
	Business  string // tokens of system users, and page tokens made of them
	Scopes    []string
	IssuedAt  time.Time
	ExpiresAt time.Time // zero: never
	// DataAccessExpiresAt is 90 days after the person was last active in the app. Zero: never, for a business.
	DataAccessExpiresAt time.Time
	Valid               bool
	Error               *GraphError // nil if it is valid
}

// Tokens returns the values of all tokens ever issued, in no order.
func (f *Facebook) Tokens() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.tokens.all))
}

// Inspect looks a token up. It returns false if the simulator never issued it. It makes no request, so nothing is
// logged.
func (f *Facebook) Inspect(value string) (Inspection, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := f.tokens.find(value)
	if err != nil {
		return Inspection{}, false
	}
	return f.tokens.inspect(t), true
}

func (ts *tokens) inspect(t *token) Inspection {
	reason := ts.validate(t)
	seen := Inspection{
		Kind: t.kind, App: t.app, User: t.person, Page: t.page, Business: t.business,
		IssuedAt: t.issued, ExpiresAt: t.expires, Valid: reason == nil, Error: reason,
	}
	if t.kind != KindApp {
		seen.ScopedID = scopedID(t.app, t.person)
		seen.Scopes = t.effective()
		seen.DataAccessExpiresAt = t.dataAccessExpires()
	}
	return seen
}

// ExpireToken expires a token now: it is refused with 190/463. Page tokens made from it stay valid.
func (f *Facebook) ExpireToken(value string) { f.SetTokenExpiry(value, f.settings.options().Now()) }

// SetTokenExpiry changes when a token expires, as Facebook may do at any time.
func (f *Facebook) SetTokenExpiry(value string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.tokens.all[value]; t != nil {
		t.expires = at
	}
}

// Subcodes of error 190: why a token is no longer valid ("Handle Errors").
const (
	SubcodeAppNotInstalled    = 458 // the person removed the app
	SubcodeCheckpoint         = 459 // the person has to visit www.facebook.com first
	SubcodeSessionInvalidated = 460 // the password was changed
	SubcodeExpired            = 463
	SubcodeUnconfirmed        = 464 // the account is not confirmed
	SubcodeRevoked            = 466 // revoked by the app through the API
	SubcodeLoggedOut          = 467
	SubcodeNoPageRole         = 492 // the person behind a page token no longer has a role on the page
)

// sessionErrors are the messages by subcode, from public reports, with the placeholders {app}, {user}, {expired} and
// {now}.
var sessionErrors = map[int]string{
	SubcodeAppNotInstalled:    "Error validating access token: The user has not authorized application {app}.",
	SubcodeCheckpoint:         "Error validating access token: You cannot access the app till you log in to www.facebook.com and follow the instructions given.",
	SubcodeSessionInvalidated: "Error validating access token: The session has been invalidated because the user changed their password or Facebook has changed the session for security reasons.",
	SubcodeExpired:            "Error validating access token: Session has expired on {expired}. The current time is {now}.",
	SubcodeUnconfirmed:        "Error validating access token: Sessions for the user {user} are not allowed because the user is not a confirmed user.",
	SubcodeLoggedOut:          "Error validating access token: The session is invalid because the user logged out.",
	SubcodeNoPageRole:         "Error validating access token: User associated with the Page access token does not have an appropriate role on the Page.",
}

// sessionError returns error 190 with the subcode.
func (ts *tokens) sessionError(t *token, subcode int) *GraphError {
	message, known := sessionErrors[subcode]
	if !known {
		message = "Error validating access token."
	}
	now := ts.options().Now()
	expired := now
	if !t.expires.IsZero() && t.expires.Before(now) {
		expired = t.expires
	}
	message = strings.NewReplacer("{app}", t.app, "{user}", scopedID(t.app, t.person),
		"{expired}", pacific(expired), "{now}", pacific(now)).Replace(message)
	return &GraphError{Message: message, Type: "OAuthException", Code: codeToken, Subcode: subcode}
}

// KillToken makes Facebook refuse a token with the error given, even if it is otherwise valid. An empty message stands
// for Facebook's own message of that subcode. Page tokens made from the token stay valid.
func (f *Facebook) KillToken(value string, code, subcode int, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.tokens.all[value]; t != nil {
		f.tokens.kill(t, code, subcode, message)
	}
}

func (ts *tokens) kill(t *token, code, subcode int, message string) {
	t.killed = ts.sessionError(t, subcode)
	t.killed.Code = code
	if message != "" {
		t.killed.Message = message
	}
}

// ChangePassword invalidates all tokens of a person, at every app, with 190/460.
func (f *Facebook) ChangePassword(userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens.endSessions(userID)
}

func (ts *tokens) endSessions(person string) {
	for _, t := range ts.all {
		if t.person == person && t.killed == nil {
			t.killed = ts.sessionError(t, SubcodeSessionInvalidated)
		}
	}
}

// pacific formats a time as Facebook's errors do: Tuesday, 03-May-16 11:00:00 PDT.
func pacific(t time.Time) string {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		panic(fmt.Sprintf("loading the embedded time zone: %v", err))
	}
	return t.In(zone).Format("Monday, 02-Jan-06 15:04:05 MST")
}

const (
	alphanumerics = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	urlSafe       = alphanumerics + "-_"
)

// random returns n unpredictable characters of the alphabet.
func random(alphabet string, n int) string {
	out := make([]byte, 0, n)
	limit := 256 - 256%len(alphabet) // larger bytes would favour the first letters
	for len(out) < n {
		buf := make([]byte, n)
		_, _ = rand.Read(buf) // never fails
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// newTokenValue makes a value like that of a user or page token. Real ones vary in length, and so do these.
func newTokenValue() string {
	return "EAA" + random(alphanumerics, 180+int(random("0123456789", 1)[0]-'0'))
}

// newCodeValue makes a value like an authorization code.
func newCodeValue() string {
	return "AQ" + random(urlSafe, 300)
}
