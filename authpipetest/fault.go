package authpipetest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is a failure for [Facebook.Fail]. The simulator first waits (Delay, Hang), then breaks the connection (Reset)
// or answers (Error, Body or Status), possibly with half of the body (Truncate). A Fault that only waits lets the call
// continue afterwards.
type Fault struct {
	Endpoint string // one of the Endpoint names; empty: any
	Times    int    // how many requests it applies to; zero: all, until it is cleared

	// AfterEffect lets the call take effect first, so that only its answer is lost: the code is used, the post
	// published.
	AfterEffect bool

	Delay time.Duration // in real time
	// Hang holds the request until its client disconnects, the server closes, or the fault is cleared. When cleared, it
	// continues as after a Delay. [Facebook.AwaitCount] waits for the request to arrive; [Facebook.Held] reports
	// whether its client still waits.
	Hang bool

	Reset bool // ends the connection without an answer
	// Truncate cuts the connection in the middle of the body, either the fault's or the call's own.
	Truncate bool

	Status int         // zero: 400 with an Error, 200 with a Body
	Error  *GraphError // an empty Type is OAuthException
	Header http.Header // added to the answer
	Body   string      // instead of an Error, as it is
	// ContentType is that of Body. Zero: application/json if it begins like an object, text/html otherwise.
	ContentType string
}

// activeFault is a Fault in force.
type activeFault struct {
	Fault
	left    int // requests left; unused if Times is zero
	cleared chan struct{}
}

// faults has the faults in force.
type faults struct {
	mu    *sync.Mutex
	armed []*activeFault
	held  map[string]int // by endpoint: the requests that a fault holds
}

func newFaults(mu *sync.Mutex) *faults { return &faults{mu: mu, held: map[string]int{}} }

// Fail activates a fault. Of several that match a request, the first applies. clear ends the fault and releases the
// requests that it holds; it may be called more than once.
func (f *Facebook) Fail(fault Fault) (clear func()) { return f.faults.arm(fault) }

func (fs *faults) arm(fault Fault) (clear func()) {
	armed := &activeFault{Fault: fault, left: fault.Times, cleared: make(chan struct{})}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.armed = append(fs.armed, armed)
	return func() { fs.disarm(armed) }
}

func (fs *faults) disarm(armed *activeFault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	select {
	case <-armed.cleared:
	default:
		close(armed.cleared)
		fs.armed = slices.DeleteFunc(fs.armed, func(a *activeFault) bool { return a == armed })
	}
}

// take returns the fault that applies to a request, or nil, and counts the request as held if the fault makes it wait.
// A fault that has applied its number of times stays in the list, so that clear can release the requests that it holds.
// The caller has the lock.
func (fs *faults) take(endpoint string) *activeFault {
	for _, a := range fs.armed {
		if (a.Endpoint == "" || a.Endpoint == endpoint) && (a.Times == 0 || a.left > 0) {
			a.left--
			if a.holds() {
				fs.held[endpoint]++
			}
			return a
		}
	}
	return nil
}

// release records that the fault no longer holds the request.
func (fs *faults) release(endpoint string, fault *activeFault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fault.holds() {
		fs.held[endpoint]--
	}
}

// Held returns how many requests of an endpoint a [Fault] is holding, by a Delay or a Hang: their clients still wait
// for an answer.
func (f *Facebook) Held(endpoint string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults.held[endpoint]
}

// holds reports whether the fault makes requests wait.
func (a *activeFault) holds() bool { return a.Hang || a.Delay > 0 }

// wait waits as the fault says. It reports whether the client is still connected.
func (a *activeFault) wait(ctx context.Context) bool {
	delay := time.NewTimer(a.Delay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
		return false
	}
	if !a.Hang {
		return true
	}
	select {
	case <-a.cleared:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *activeFault) answers() bool { return a.Status != 0 || a.Error != nil || a.Body != "" }

// answer is the fault's answer in place of the endpoint's.
func (a *activeFault) answer(c *call, gr *graph) answer {
	made := answer{status: cmp.Or(a.Status, http.StatusOK), header: gr.header(c), body: []byte(a.Body)}
	if a.Error != nil {
		wanted := *a.Error
		wanted.Type = cmp.Or(wanted.Type, "OAuthException")
		refused := invalidToken(&wanted)
		if wanted.Code != codeToken {
			refused.challenge = "invalid_request"
		}
		refused.status = cmp.Or(a.Status, refused.status)
		made = gr.answer(c, nil, refused)
	} else {
		made.header.Set("Content-Type", cmp.Or(a.ContentType, guessType(a.Body)))
	}
	for name, values := range a.Header {
		made.header[http.CanonicalHeaderKey(name)] = values
	}
	return made
}

func guessType(body string) string {
	if strings.HasPrefix(body, "{") {
		return "application/json; charset=UTF-8"
	}
	return "text/html; charset=utf-8"
}

// reset closes the connection so that the client sees a reset, not an orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// A Behavior is a way in which Facebook has been observed to answer, for [Facebook.Behave] and the control page.
type Behavior struct {
	// Name identifies it: "app-deactivated".
	Name string
	// Text describes it in a sentence.
	Text string

	faults []Fault
	change func(o *Options) // nil: faults only
}

// graphEndpoints are the endpoints that an app calls with its secret or with a token.
var graphEndpoints = []string{
	EndpointAccessToken, EndpointExchangeToken, EndpointAppToken, EndpointDebugToken, EndpointMe, EndpointPermissions, EndpointRevoke,
	EndpointRevokeToken, EndpointAccounts, EndpointFeed, EndpointBusinesses, EndpointDeviceLogin, EndpointDeviceStatus,
}

// tokenEndpoints are the endpoints that are called with a token of a person, a system user or a page.
var tokenEndpoints = []string{EndpointExchangeToken, EndpointMe, EndpointRevokeToken, EndpointAccounts, EndpointFeed, EndpointBusinesses}

// at makes one fault for each endpoint.
func at(fault Fault, endpoints ...string) []Fault {
	faults := make([]Fault, len(endpoints))
	for i, endpoint := range endpoints {
		faults[i] = fault
		faults[i].Endpoint = endpoint
	}
	return faults
}

// refusing makes a fault that answers with an error and status 400.
func refusing(code, subcode int, message string) Fault {
	return Fault{Error: &GraphError{Code: code, Subcode: subcode, Message: message}}
}

// Behaviors returns all known behaviors, in the order of the control page. Each comes from public reports, unless its
// text names Meta's documentation.
func Behaviors() []Behavior { return append(answers(), switches()...) }

// answers are the behaviors that replace some answers.
func answers() []Behavior {
	once := func(f Fault) Fault { f.Times = 1; return f }
	deadWithoutReason := refusing(codeToken, 0, "Error validating access token.")
	return []Behavior{
		{Name: "app-deactivated", Text: "The app was deactivated: every call is refused with code 200.",
			faults: at(refusing(200, 0, "API access deactivated. To reactivate, go to the app dashboard."), graphEndpoints...)},
		{Name: "app-inactive", Text: "The app is not active: every call is refused with code 200, for the time being.",
			faults: at(refusing(200, 0, "(#200) Access to this data is temporarily disabled for non-active apps due to changes we are making to the Facebook Platform."), graphEndpoints...)},
		{Name: "address-refused", Text: "The server's address is not on the app's list: every call is refused with code 5.",
			faults: at(refusing(5, 0, "Unauthorized source IP address"), graphEndpoints...)},
		{Name: "proof-refused", Text: "The proof is refused, and the text spells it “app secret proof”.",
			faults: at(refusing(codeInvalid, 0, "Invalid app secret proof provided in the API argument"), EndpointDebugToken, EndpointMe, EndpointAccounts)},
		{Name: "exchange-fails-once", Text: "The next exchange of a code answers status 500 with code 1.",
			faults: at(once(Fault{Status: http.StatusInternalServerError, Error: &GraphError{Code: codeUnknown, Message: "An unknown error has occurred.", IsTransient: new(true)}}), EndpointAccessToken)},
		{Name: "exchange-system-error-once", Text: "The next exchange of a code answers code 101, because of a system error.",
			faults: at(once(refusing(101, 0, "Cannot get application info due to a system error.")), EndpointAccessToken)},
		{Name: "extension-2500-once", Text: "The next exchange for a longer token answers code 2500.",
			faults: at(once(refusing(2500, 0, "An active access token must be used to query information about the current user.")), EndpointExchangeToken)},
		{Name: "bad-hour", Text: "Good tokens are called dead, with code 190 and no subcode.",
			faults: append(at(deadWithoutReason, EndpointExchangeToken, EndpointMe, EndpointAccounts),
				Fault{Endpoint: EndpointDebugToken, Body: `{"data":{"is_valid":false,"scopes":[],"error":{"code":190,"message":"Error validating access token."}}}`})},
		{Name: "session-code", Text: "An exchange for a longer token answers code 459, where the subcode of 190 belongs.",
			faults: at(refusing(SubcodeCheckpoint, 0, sessionErrors[SubcodeCheckpoint]), EndpointExchangeToken)},
		{Name: "unused-for-90-days", Text: "The person has not used the app for 90 days: calls answer 190/493, and debug_token calls the token valid.",
			faults: at(refusing(codeToken, 493, "Error validating access token: The user has not used the app for 90 days."), EndpointExchangeToken, EndpointMe, EndpointAccounts)},
		{Name: "app-limit", Text: "The app has met its limit: every call is refused with code 4 (Meta: “Rate Limits”).",
			faults: at(refusing(4, 0, "(#4) Application request limit reached"), graphEndpoints...)},
		{Name: "person-limit", Text: "Calls with a token are refused with code 17, the limit of one person (Meta: “Rate Limits”).",
			faults: at(refusing(17, 0, "(#17) User request limit reached"), tokenEndpoints...)},
		{Name: "page-limit", Text: "Calls with a token are refused with code 32, the limit of one page (Meta: “Rate Limits”).",
			faults: at(refusing(32, 0, "(#32) Page request limit reached"), tokenEndpoints...)},
		{Name: "business-limit", Text: "Calls with a token are refused with code 80004, the limit of one ad account (Meta: “Rate Limits”).",
			faults: at(refusing(80004, 0, "(#80004) There have been too many calls to this ad-account. Wait a bit and try again."), tokenEndpoints...)},
		{Name: "permission-as-403", Text: "A missing permission is refused with status 403 and code 200.",
			faults: at(Fault{Status: http.StatusForbidden, Error: &GraphError{Code: 200, Message: "(#200) Requires pages_show_list permission to manage the object"}}, EndpointAccounts, EndpointFeed),
			change: func(o *Options) { o.PageScopeErrorCode = codePermission }},
		{Name: "permission-as-190", Text: "A missing permission is refused with code 190.",
			faults: at(refusing(codeToken, 0, mayNotImpersonate), EndpointAccounts, EndpointFeed),
			change: func(o *Options) { o.PageScopeErrorCode = codeToken }},
		{Name: "permission-as-100", Text: "A missing permission is refused with code 100.",
			faults: at(refusing(codeInvalid, 0, missingPermissions), EndpointAccounts, EndpointFeed),
			change: func(o *Options) { o.PageScopeErrorCode = codeInvalid }},
		{Name: "inspection-empty", Text: "debug_token answers with an empty list.",
			faults: []Fault{{Endpoint: EndpointDebugToken, Body: `{"data":[]}`}}},
		{Name: "pages-too-many-once", Text: "The next list of pages answers status 500: it is asked for too much.",
			faults: at(once(Fault{Status: http.StatusInternalServerError, Error: &GraphError{Code: codeUnknown, Message: reduceData}}), EndpointAccounts)},
	}
}

// switches are the behaviors that [Options] have a field for.
func switches() []Behavior {
	return []Behavior{
		{Name: "pages-empty", Text: "The list of pages is empty for a moment.",
			change: func(o *Options) { o.pageList.Empty = -1 }},
		{Name: "pages-limited", Text: "A list of more than 25 pages at once answers status 500: it is asked for too much.",
			change: func(o *Options) { o.pageList.Limit = listingLimit }},
		{Name: "pages-endless", Text: "The list of pages begins again after its end: there is always a next part.",
			change: func(o *Options) { o.pageList.Endless = true }},
		{Name: "old-app", Text: "Apps are from before 2026-11-04 and may override the HTTP method, ask for several ids and so on (Meta: “Introducing Graph API v27.0”).",
			change: func(o *Options) { o.OldApps = true }},
		{Name: "revocation-spares-businesses", Text: "/oauth/revoke reports success for a business's token and leaves it alive.",
			change: func(o *Options) { o.RevokeSparesIntegrations = true }},
		{Name: "unknown-keys", Text: "The JWKS has keys of types that clients may not know (RFC 7517, section 5).",
			change: func(o *Options) { o.UnknownKeys = true }},
		{Name: "no-expires-in", Text: "No answer has expires_in, although tokens expire.",
			change: func(o *Options) { o.CodeOmitsExpiresIn, o.ExchangeOmitsExpiresIn = true, true }},
		{Name: "never-extended", Text: "An exchange for a longer token never gives more life.",
			change: func(o *Options) { o.ReexchangeNeverExtends = true }},
		{Name: "targets-left-out", Text: "debug_token names no target_ids, as if each permission were granted for all pages.",
			change: func(o *Options) { o.OmitsTargetIDs = true }},
		{Name: "issued-at-left-out", Text: "debug_token does not say when a token was issued.",
			change: func(o *Options) { o.OmitsIssuedAt = true }},
		{Name: "ids-as-numbers", Text: "debug_token has app_id and target_ids as numbers.",
			change: func(o *Options) { o.AppIDAsNumber, o.TargetIDsAsNumbers = true, true }},
	}
}

// behaviors has the behaviors in force.
type behaviors struct {
	mu       *sync.Mutex
	settings *settings
	faults   *faults
	clears   map[string][]func() // by name: clears the faults
}

func newBehaviors(mu *sync.Mutex, s *settings, fs *faults) *behaviors {
	return &behaviors{mu: mu, settings: s, faults: fs, clears: map[string][]func(){}}
}

// Behave starts a behavior, until stop is called. A second call for the same behavior replaces the first. Behave
// returns an error if there is no behavior of that name.
func (f *Facebook) Behave(name string) (stop func(), err error) { return f.behaviors.start(name) }

func (bs *behaviors) start(name string) (stop func(), err error) {
	all := Behaviors()
	i := slices.IndexFunc(all, func(b Behavior) bool { return b.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no behavior %q; see Behaviors", name)
	}
	bs.stop(name)
	clears := make([]func(), len(all[i].faults))
	for j, fault := range all[i].faults {
		clears[j] = bs.faults.arm(fault)
	}
	bs.mu.Lock()
	defer bs.mu.Unlock()
	bs.clears[name] = clears
	bs.settings.choose(bs.inForce)
	return func() { bs.stop(name) }, nil
}

func (bs *behaviors) stop(name string) {
	bs.mu.Lock()
	clears := bs.clears[name]
	delete(bs.clears, name)
	bs.settings.choose(bs.inForce)
	bs.mu.Unlock()
	for _, clear := range clears {
		clear()
	}
}

func (bs *behaviors) inForce(name string) bool {
	_, on := bs.clears[name]
	return on
}
