package authpipetest

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a [Facebook]. The zero value makes one that uses the system clock, asks a person at its dialog, and
// otherwise behaves as most sources say that Facebook does. Each field under "switches" selects between two behaviours
// that have both been reported, or of which neither is confirmed.
type Options struct {
	// Now is the simulator's clock, for lifetimes, expiry texts, the Date header and API versions. The zero value is
	// time.Now. It is called with the simulator's lock held and must not call the simulator.
	Now func() time.Time

	// AutoApprove makes the dialog consent at once instead of showing a page, as AutoApproveUser or, if that is empty,
	// as the first person added.
	AutoApprove     bool
	AutoApproveUser string

	// Versions replaces the table of Graph API versions; the zero value is Meta's table of 2026. See [Version].
	Versions []Version

	// LogLimit limits [Facebook.Requests] to the newest requests, for runs with so many that the log would exhaust the
	// memory. [Facebook.Count] counts the others too. The zero value is no limit.
	LogLimit int

	// HTTPClient sends Facebook's requests to apps, such as webhooks. The zero value is http.DefaultClient.
	HTTPClient *http.Client

	// Switches of the dialog.

	// BlockedStatus is the HTTP status of the page that is shown instead of a redirect ("URL Blocked"). It is not
	// documented. The zero value is 400.
	BlockedStatus int
	// PlatformErrorOmitsState omits state from a redirect that carries only error_code and error_message.
	PlatformErrorOmitsState bool

	// Switches of the code exchange ("Manually Build a Login Flow").

	// CodeLife is the lifetime of an authorization code. The zero value is ten minutes.
	CodeLife time.Duration
	// CodeTokenLife is the lifetime of the token that a code is exchanged for. The zero value is [LongLife]: servers
	// mostly get a long-lived token at once, although "Long-Lived Access Tokens" promises only a short-lived one. Try
	// [ShortLife] too.
	CodeTokenLife time.Duration
	// CodeOmitsExpiresIn omits expires_in from the answer to a code exchange. The token expires nevertheless.
	CodeOmitsExpiresIn bool
	// MismatchConsumesCode makes a code unusable once it is presented with a redirect_uri other than the dialog's.
	MismatchConsumesCode bool
	// AcceptBasicAuth reads client_id and client_secret from HTTP Basic authentication if the parameters lack them.
	AcceptBasicAuth bool
	// PKCE selects how a code_challenge is treated. The zero value is [PKCEWithOpenID].
	PKCE PKCEMode
	// VerifierErrorCode is the error code of "Invalid code verifier. …", which no report contains. The zero value is 1,
	// the code of the other PKCE error.
	VerifierErrorCode int

	// Issuer is the issuer of ID tokens. The zero value is Facebook's, https://www.facebook.com, which is not the
	// simulator's URL: a client that fetches the discovery document from the issuer needs the base URL here.
	Issuer string

	// UnknownKeys adds keys to the JWKS of types that a client may not know, ML-DSA and Ed448.
	UnknownKeys bool

	// Switches of the exchange of a token for a longer one ("Long-Lived Access Tokens").

	// ReexchangeNeverExtends makes the expiry of a long-lived token final. Otherwise an exchange starts another 60 days
	// if the last exchange that did so was 24 hours ago or more.
	ReexchangeNeverExtends bool
	// RepeatOmitsExpiresIn omits expires_in when a long-lived token is exchanged again and keeps its expiry
	// (huandu/facebook#41). Otherwise the answer has the seconds to the unchanged expiry (Thuzi/facebook-node-sdk#68).
	RepeatOmitsExpiresIn bool
	// ExchangeOmitsExpiresIn omits expires_in from every such answer. The token expires nevertheless.
	ExchangeOmitsExpiresIn bool
	// ExchangeNeverExpires makes the long-lived token never expire: no expires_in, and expires_at 0 in debug_token's
	// answer (pixelant/pxa_social_feed#105).
	ExchangeNeverExpires bool

	// Switches of the Graph API.

	// DeviceInterval is the minimum time between two polls of a device, in whole seconds. The zero value is five.
	DeviceInterval time.Duration
	// DeviceDenied is the error that a device gets after the person cancelled. It is not documented. Nil: the device
	// keeps polling until its code expires.
	DeviceDenied *GraphError
	// OldApps makes every app one that was made before 2026-11-04. Such an app may still override the HTTP method with
	// the parameter method, ask for several ids at once, format dates, and use JSONP and field aliases. New apps may
	// not ("Introducing Graph API v27.0 and Marketing API v27.0").
	OldApps bool
	// DiscontinuedError is the error that a new app gets for those. Meta has published no text, so an application must
	// handle any. The zero value is a GraphMethodException with code 100.
	DiscontinuedError *GraphError
	// NoVersionHeader omits Facebook-Api-Version from every answer. Meta does not promise the header, though all
	// recorded answers have it.
	NoVersionHeader bool
	// RevokeTokenOnlyByGET restricts /oauth/revoke to GET, which Meta documents. Otherwise POST works too.
	RevokeTokenOnlyByGET bool
	// RevokeSparesIntegrations makes /oauth/revoke report success for the token of a business integration system user
	// without revoking it, as was observed on v26.0 in 2026. Then only an admin of the business can end it: see
	// [Facebook.RemoveIntegration].
	RevokeSparesIntegrations bool
	// BatchProofPerCall requires an appsecret_proof in each entry of a batch. Otherwise the batch's own proof covers
	// the entries that use the batch's token. Entries with a token of their own need their own proof either way
	// (arsduo/koala#507).
	BatchProofPerCall bool
	// BatchWithoutToken accepts a batch that has neither an access_token nor a batch_app_id, as long as its entries
	// have tokens. Otherwise the whole batch is refused: Meta calls the batch's token a fallback, but does not say that
	// it is optional.
	BatchWithoutToken bool
	// TokenErrorStatus is the HTTP status for an unknown token (190 "Cannot parse access token"). The zero value is
	// 400; 401 has been recorded too.
	TokenErrorStatus int
	// PageScopeErrorCode is the code of the error about a permission that a token lacks for reading a page by its id: 10,
	// 100, 190 or 200. All four have been reported. The zero value is 10.
	PageScopeErrorCode int
	// PermissionErrorStatus is the HTTP status for a missing permission (10, and 200 to 299). The zero value is 403.
	PermissionErrorStatus int
	// ThrottleStatus is the HTTP status of a call beyond a limit ([Throttle]). It is not documented. The zero value is
	// 400.
	ThrottleStatus int
	// ProofErrorOAuth makes a wrong appsecret_proof an OAuthException with code 1. Otherwise it is a
	// GraphMethodException with code 100.
	ProofErrorOAuth bool
	// RevokeAnswersTrue makes true the answer to a DELETE of permissions, as in the reference of the edge. Otherwise it
	// is {"success":true}.
	RevokeAnswersTrue bool
	// ConnectedVerbBeside moves the verb of the field connected, in the webhook for permissions, from its value to its
	// side.
	ConnectedVerbBeside bool
	// RevokedPermissionVanishes removes a revoked permission from the list of permissions. Otherwise it is listed as
	// declined.
	RevokedPermissionVanishes bool
	// AppIDAsNumber makes app_id in debug_token's answer a number, as in one sample of the documentation.
	AppIDAsNumber bool
	// IntegrationTokenType is the type in debug_token's answer for the tokens of Facebook Login for Business, those of
	// a business integration system user. It is not documented. The zero value is [KindSystemUser]; try [KindUser] too.
	// It changes nothing else: such a token is refreshed and revoked as a system user's.
	IntegrationTokenType string
	// TargetIDsAsNumbers makes target_ids in debug_token's answer numbers, as in its reference.
	TargetIDsAsNumbers bool
	// OmitsTargetIDs omits target_ids from every granular scope in debug_token's answer, which means all pages.
	OmitsTargetIDs bool
	// OmitsIssuedAt omits issued_at from debug_token's answers, PageTokenOmitsIssuedAt only from those about page
	// tokens.
	OmitsIssuedAt, PageTokenOmitsIssuedAt bool

	// pageList is how all lists of pages answer, for behaviors.
	pageList PageList
}

// Lifetimes of user tokens ("Long-Lived Access Tokens").
const (
	// LongLife is the lifetime of a long-lived token.
	LongLife = 60 * 24 * time.Hour
	// ShortLife is the lifetime of a short-lived token, about an hour or two.
	ShortLife = 90 * time.Minute
)

// dataAccessLife is how long an app may use a person's data after the person was last active in the app.
const dataAccessLife = 90 * 24 * time.Hour

// answerLag makes expires_in 5183999 instead of 5184000: Facebook counts the seconds a moment after it issued the
// token.
const answerLag = time.Second

// settings are the options in force: those given to [NewFacebook], as changed by behaviors. Subjects embed them to read
// the clock and the options.
type settings struct {
	made    Options
	current atomic.Pointer[Options] // replaced, never changed
}

func newSettings(o Options) *settings {
	s := &settings{made: o.withDefaults()}
	s.choose(func(string) bool { return false })
	return s
}

func (s *settings) options() *Options { return s.current.Load() }

// choose applies the behaviors in force to the options.
func (s *settings) choose(inForce func(behavior string) bool) {
	o := s.made
	for _, b := range Behaviors() {
		if b.change != nil && inForce(b.Name) {
			b.change(&o)
		}
	}
	s.current.Store(&o)
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HTTPClient == nil {
		o.HTTPClient = http.DefaultClient
	}
	if o.Versions == nil {
		o.Versions = versions()
	}
	o.BlockedStatus = cmp.Or(o.BlockedStatus, http.StatusBadRequest)
	o.CodeLife = cmp.Or(o.CodeLife, 10*time.Minute)
	o.DeviceInterval = cmp.Or(o.DeviceInterval, 5*time.Second)
	o.CodeTokenLife = cmp.Or(o.CodeTokenLife, LongLife)
	o.Issuer = cmp.Or(o.Issuer, "https://www.facebook.com")
	o.IntegrationTokenType = cmp.Or(o.IntegrationTokenType, KindSystemUser)
	o.VerifierErrorCode = cmp.Or(o.VerifierErrorCode, codeUnknown)
	o.TokenErrorStatus = cmp.Or(o.TokenErrorStatus, http.StatusBadRequest)
	o.PermissionErrorStatus = cmp.Or(o.PermissionErrorStatus, http.StatusForbidden)
	o.ThrottleStatus = cmp.Or(o.ThrottleStatus, http.StatusBadRequest)
	return o
}

// Clock is a clock that a test sets and advances. It is safe for concurrent use. The zero value shows the zero time.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows t.
func NewClock(t time.Time) *Clock { return &Clock{now: t} }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward by d, or back if d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Set sets the clock to t.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// Version is a row of the table of Graph API versions ("Graph API Changelog"). The rows are in order, oldest first.
type Version struct {
	Name  string    // as in a path, such as v26.0
	Until time.Time // when it stops being served; zero: not announced
}

// versions is the table of 2026. Facebook knows the versions from before 2024 and serves them by a later one.
func versions() []Version {
	table := []Version{}
	for _, name := range []string{
		"v1.0", "v2.0", "v2.1", "v2.2", "v2.3", "v2.4", "v2.5", "v2.6", "v2.7", "v2.8", "v2.9", "v2.10", "v2.11", "v2.12",
		"v3.0", "v3.1", "v3.2", "v3.3", "v4.0", "v5.0", "v6.0", "v7.0", "v8.0", "v9.0", "v10.0", "v11.0", "v12.0", "v13.0",
		"v14.0", "v15.0", "v16.0", "v17.0", "v18.0",
	} {
		table = append(table, Version{Name: name, Until: day(2026, time.January, 26)})
	}
	return append(table,
		Version{Name: "v19.0", Until: day(2026, time.May, 21)},
		Version{Name: "v20.0", Until: day(2026, time.September, 24)},
		Version{Name: "v21.0", Until: day(2027, time.January, 21)},
		Version{Name: "v22.0", Until: day(2027, time.May, 20)},
		Version{Name: "v23.0", Until: day(2027, time.October, 8)},
		Version{Name: "v24.0", Until: day(2028, time.February, 18)},
		Version{Name: "v25.0", Until: day(2028, time.July, 29)},
		Version{Name: "v26.0"},
		Version{Name: "v27.0"},
	)
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

var versionSegment = regexp.MustCompile(`^v[0-9]+\.[0-9]+$`)

// served returns the version that serves a call for the version asked, and whether asked is a version. An expired
// version is served by the oldest that has not expired ("Versioning"). Each version in the table counts as released, so
// that a test may set its clock to any year and still call v26.0.
func (s *settings) served(asked string) (string, bool) {
	at := slices.IndexFunc(s.options().Versions, func(v Version) bool { return v.Name == asked })
	if at < 0 {
		return "", false
	}
	if s.isServed(s.options().Versions[at]) {
		return asked, true
	}
	return s.oldestVersion(), true
}

// knows reports whether a path may begin with that version, or with none.
func (s *settings) knows(version string) bool {
	_, known := s.served(version)
	return known || version == ""
}

func (s *settings) oldestVersion() string {
	if at := slices.IndexFunc(s.options().Versions, s.isServed); at >= 0 {
		return s.options().Versions[at].Name
	}
	return ""
}

func (s *settings) isServed(v Version) bool {
	return v.Until.IsZero() || s.options().Now().Before(v.Until)
}

// versionFor returns the version that serves the call. The app's setting decides for a call without a version.
func (s *settings) versionFor(c *call) string {
	asked := c.version
	if asked == "" && c.app != nil {
		asked = c.app.Version
	}
	if served, known := s.served(asked); known {
		return served
	}
	return s.oldestVersion()
}
