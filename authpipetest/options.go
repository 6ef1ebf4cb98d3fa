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

// Options says how a [Facebook] behaves. The zero value is a Facebook that goes by the wall clock, asks a person at its
// dialog, and behaves as most sources say that Facebook does. The fields under "switches" each choose between two
// behaviours that have both been reported, or neither of which has been confirmed.
type Options struct {
	// Now is the simulator's clock: lifetimes, expiry texts, the Date header and the versions that are still alive all go
	// by it. The zero value is time.Now. It is called with the simulator's lock held and must not call back.
	Now func() time.Time

	// AutoApprove makes the dialog consent at once instead of showing a page, as AutoApproveUser, or as the first person
	// that was added if that is empty.
	AutoApprove     bool
	AutoApproveUser string

	// Versions replaces the table of Graph API versions; the zero value is Meta's table of 2026. See [Version].
	Versions []Version

	// LogLimit is how many requests [Facebook.Requests] remembers, the newest, for runs of so many that the log would outgrow
	// the memory; [Facebook.Count] counts the others too. The zero value remembers all.
	LogLimit int

	// HTTPClient makes the requests that Facebook makes of an app: webhooks and the like. The zero value is
	// http.DefaultClient.
	HTTPClient *http.Client

	// Switches of the dialog.

	// BlockedStatus is the HTTP status of the page that is shown instead of a redirect ("URL Blocked"). Nobody has written
	// it down. The zero value is 400.
	BlockedStatus int
	// PlatformErrorOmitsState leaves state out of a redirect that carries only error_code and error_message.
	PlatformErrorOmitsState bool

	// Switches of the code exchange ("Manually Build a Login Flow").

	// CodeLife is how long an authorization code may be redeemed. The zero value is ten minutes.
	CodeLife time.Duration
	// CodeTokenLife is the life of the token that a code is exchanged for. The zero value is [LongLife]: servers mostly get a
	// long-lived token at once, although "Long-Lived Access Tokens" promises only a short one. Try [ShortLife] too.
	CodeTokenLife time.Duration
	// CodeOmitsExpiresIn leaves expires_in out of the answer to a code exchange; the token expires all the same.
	CodeOmitsExpiresIn bool
	// MismatchConsumesCode spends the code when it is presented with another redirect_uri than the dialog's.
	MismatchConsumesCode bool
	// AcceptBasicAuth takes client_id and client_secret from HTTP Basic authentication if the parameters lack them.
	AcceptBasicAuth bool
	// PKCE says what becomes of a code_challenge. The zero value is [PKCEWithOpenID].
	PKCE PKCEMode
	// VerifierErrorCode is the error code of "Invalid code verifier. …", which no report tells. The zero value is 1, the
	// code of the other PKCE error.
	VerifierErrorCode int

	// Issuer is the issuer of ID tokens. The zero value is Facebook's, https://www.facebook.com, which is not where the
	// simulator is: a client that insists on finding the discovery document there needs the base URL here.
	Issuer string

	// UnknownKeys has the JWKS hold keys of types that a client may not know, ML-DSA and Ed448, beside the one that signs ID
	// tokens.
	UnknownKeys bool

	// Switches of the exchange of a token for a longer one ("Long-Lived Access Tokens").

	// ReexchangeNeverExtends keeps the expiry of a long-lived token for good. Otherwise an exchange counts 60 days anew when
	// the last count began 24 hours ago or more.
	ReexchangeNeverExtends bool
	// RepeatOmitsExpiresIn leaves expires_in out when a long-lived token is exchanged again and keeps its expiry
	// (huandu/facebook#41). Otherwise the answer counts down to the unchanged expiry (Thuzi/facebook-node-sdk#68).
	RepeatOmitsExpiresIn bool
	// ExchangeOmitsExpiresIn leaves expires_in out of every such answer; the token expires all the same.
	ExchangeOmitsExpiresIn bool
	// ExchangeNeverExpires makes the long-lived token one that does not expire: no expires_in, and debug_token tells
	// expires_at 0 (pixelant/pxa_social_feed#105).
	ExchangeNeverExpires bool

	// Switches of the Graph API.

	// DeviceInterval is how long a device is told to wait between two polls, in whole seconds. The zero value is five.
	DeviceInterval time.Duration
	// DeviceDenied is what a device hears after the person said no; nobody has written it down. Nil: that it is to wait, until
	// its code expires.
	DeviceDenied *GraphError
	// OldApps makes every app one that was made before 2026-11-04. Such an app may still override the HTTP method with the
	// parameter method, ask for several ids at once, format dates, and use JSONP and field aliases; new ones may not
	// ("Introducing Graph API v27.0 and Marketing API v27.0").
	OldApps bool
	// DiscontinuedError is what a new app gets for those. Meta has published no text: an application must take any. The zero
	// value is a GraphMethodException with code 100.
	DiscontinuedError *GraphError
	// NoVersionHeader leaves Facebook-Api-Version out of every answer. Meta does not promise the header, though all recorded
	// answers have it.
	NoVersionHeader bool
	// RevokeTokenOnlyByGET has /oauth/revoke be what Meta documents, a GET. Otherwise a POST does it too.
	RevokeTokenOnlyByGET bool
	// RevokeSparesIntegrations has /oauth/revoke report success for the token of a business integration system user and leave it
	// alive, as was seen on v26.0 in 2026. Then only an admin of the business can end it: see [Facebook.RemoveIntegration].
	RevokeSparesIntegrations bool
	// BatchProofPerCall asks for an appsecret_proof in each entry of a batch. Otherwise one beside the batch is good for the
	// entries that are made with the batch's token. Entries with a token of their own need their own either way
	// (arsduo/koala#507).
	BatchProofPerCall bool
	// BatchWithoutToken takes a batch that brings neither an access_token nor a batch_app_id, as long as its entries bring
	// theirs. Otherwise it is refused as a whole: the token beside a batch is said to be a fallback, but not an optional one.
	BatchWithoutToken bool
	// TokenErrorStatus is the HTTP status of a token that is no token (190 "Cannot parse access token"). The zero value is
	// 400; 401 has been recorded too.
	TokenErrorStatus int
	// PermissionErrorStatus is the HTTP status of a missing permission (200 to 299). The zero value is 403.
	PermissionErrorStatus int
	// ThrottleStatus is the HTTP status of a call beyond a limit ([Throttle]). Nobody has written it down. The zero value is 400.
	ThrottleStatus int
	// ProofErrorOAuth answers a wrong appsecret_proof as OAuthException, code 1. Otherwise it is a GraphMethodException, code 100.
	ProofErrorOAuth bool
	// RevokeAnswersTrue answers a DELETE of permissions by true, as the reference of the edge says, instead of {"success":true}.
	RevokeAnswersTrue bool
	// ConnectedVerbBeside has the webhook for permissions tell the verb of the field connected beside it, not in its value.
	ConnectedVerbBeside bool
	// RevokedPermissionVanishes removes a revoked permission from the list of permissions. Otherwise it is listed as declined.
	RevokedPermissionVanishes bool
	// AppIDAsNumber makes debug_token tell app_id as a number, as one sample in the documentation has it.
	AppIDAsNumber bool
	// IntegrationTokenType is the type that debug_token tells for the tokens of Facebook Login for Business, those of a business
	// integration system user. Nobody has written it down. The zero value is [KindSystemUser]; try [KindUser] too. It is a name
	// and no more: such a token is refreshed and revoked as a system user's either way.
	IntegrationTokenType string
	// TargetIDsAsNumbers makes debug_token tell target_ids as numbers, as its reference has it.
	TargetIDsAsNumbers bool
	// OmitsTargetIDs leaves target_ids out of every granular scope that debug_token tells, which means all.
	OmitsTargetIDs bool
	// OmitsIssuedAt leaves issued_at out of debug_token's answers, PageTokenOmitsIssuedAt out of those about page tokens.
	OmitsIssuedAt, PageTokenOmitsIssuedAt bool
}

// Lifetimes of user tokens ("Long-Lived Access Tokens").
const (
	// LongLife is the life of a long-lived token.
	LongLife = 60 * 24 * time.Hour
	// ShortLife is the life of a short-lived token, about an hour or two.
	ShortLife = 90 * time.Minute
)

// dataAccessLife is how long an app may use a person's data after the person was last active in it.
const dataAccessLife = 90 * 24 * time.Hour

// answerLag is why expires_in is 5183999 and not 5184000: Facebook counts the seconds a moment after it made the token.
const answerLag = time.Second

// settings are the options in force: those that the simulator was made with, as its behaviors change them. Every subject
// embeds them for the clock.
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

// choose puts the options in force that the behaviors in force ask for.
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

// Clock is a clock that tests hand around and move by hand. It is safe for concurrent use. The zero value stands at the
// zero time.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at t.
func NewClock(t time.Time) *Clock { return &Clock{now: t} }

// Now tells where the clock stands.
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

// Set puts the clock at t.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// Version is a row of the table of Graph API versions ("Graph API Changelog"). The rows stand in order, oldest first.
type Version struct {
	Name  string    // as it stands in a path, such as v26.0
	Until time.Time // when it stops being served; zero: not announced
}

// versions is the table of 2026. The versions of before 2024 are known to Facebook, and served by a younger one.
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

// served tells which version serves a call that asks for the version asked, and whether asked is a version at all. A
// version that has expired is served by the oldest that is alive ("Versioning"). A version counts as released once it
// stands in the table: a test may set its clock to any year and still call v26.0.
func (s *settings) served(asked string) (string, bool) {
	at := slices.IndexFunc(s.options().Versions, func(v Version) bool { return v.Name == asked })
	if at < 0 {
		return "", false
	}
	if s.alive(s.options().Versions[at]) {
		return asked, true
	}
	return s.oldestVersion(), true
}

// knows tells whether a path may begin with that version, or with none.
func (s *settings) knows(version string) bool {
	_, known := s.served(version)
	return known || version == ""
}

func (s *settings) oldestVersion() string {
	if at := slices.IndexFunc(s.options().Versions, s.alive); at >= 0 {
		return s.options().Versions[at].Name
	}
	return ""
}

func (s *settings) alive(v Version) bool {
	return v.Until.IsZero() || s.options().Now().Before(v.Until)
}

// versionFor tells which version answers this call. A call without a version goes by the app's setting.
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
