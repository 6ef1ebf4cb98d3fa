package authpipetest

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// Throttle is a rate limit and its usage ("Rate Limits"). App, User and Object say to whom it applies; without any it
// applies to each app. Answers below the limit have a header with the usage, as at Facebook once there is some. Calls
// beyond it are refused. There is no Retry-After.
type Throttle struct {
	App  string // calls with app tokens and user tokens of this app: code 4
	User string // calls with this person's user tokens, at App or at any: code 17
	// Object is a page or a business, and the limit one of its business use cases. It applies to calls with tokens of
	// the page, or of system users of the business (code 80001 and the like), and to calls about a page with a user
	// token (code 32). With Object, App restricts the limit to one app, and User has no effect.
	Object  string
	UseCase string // pages (zero), ads_management, ads_insights, custom_audience, instagram, leadgen, messenger

	// Usage in percent of the limit. At 100 or more in any of them, calls are refused.
	CallCount, TotalCPUTime, TotalTime int

	// RegainAccess is how long calls are refused, from now on by the simulator's clock. The headers of a use case have
	// it in minutes. Zero: until the Throttle is cleared.
	RegainAccess time.Duration
	// Penalty is added to RegainAccess by each refused call.
	Penalty time.Duration

	// Error is the error of a refused call, where it is not the limit's usual one, such as 613 or 341. Zero: the usual
	// one. An empty Type is OAuthException.
	Error *GraphError
}

// activeThrottle is a Throttle in force.
type activeThrottle struct {
	Throttle
	until time.Time // zero: until it is cleared
}

// throttles has the limits in force.
type throttles struct {
	*settings
	armed []*activeThrottle
}

// Throttle activates a limit, until clear is called or RegainAccess is over.
func (f *Facebook) Throttle(t Throttle) (clear func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	armed := f.throttles.arm(t)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.throttles.disarm(armed)
	}
}

func (th *throttles) arm(t Throttle) *activeThrottle {
	t.UseCase = cmp.Or(t.UseCase, "pages")
	armed := &activeThrottle{Throttle: t}
	if t.RegainAccess > 0 && t.exceeded() {
		armed.until = th.options().Now().Add(t.RegainAccess)
	}
	th.armed = append(th.armed, armed)
	return armed
}

func (th *throttles) disarm(armed *activeThrottle) {
	th.armed = slices.DeleteFunc(th.armed, func(a *activeThrottle) bool { return a == armed })
}

func (t Throttle) exceeded() bool { return max(t.CallCount, t.TotalCPUTime, t.TotalTime) >= 100 }

// limit sets the usage headers of the call's answer, and refuses the call if a limit is reached.
func (th *throttles) limit(c *call, t *token) error {
	now := th.options().Now()
	th.armed = slices.DeleteFunc(th.armed, func(a *activeThrottle) bool {
		return !a.until.IsZero() && !now.Before(a.until)
	})
	var refused error
	app, objects := -1, map[string][]useCaseUsage{}
	for _, a := range th.armed {
		code, applies := a.applies(c, t)
		if !applies {
			continue
		}
		switch {
		case t.inUseCase():
			objects[a.Object] = append(objects[a.Object], a.useCaseUsage(now))
		case a.Object == "" && a.CallCount > app: // of two limits, show the one with the higher usage
			app = a.CallCount
			c.addHeader("X-App-Usage", a.appUsage())
		}
		if a.exceeded() && refused == nil {
			refused = th.refusal(a, code)
			if !a.until.IsZero() {
				a.until = a.until.Add(a.Penalty)
			}
		}
	}
	if len(objects) > 0 {
		c.addHeader("X-Business-Use-Case-Usage", objects)
	}
	return refused
}

// addHeader adds a header with a JSON value to the call's answer.
func (c *call) addHeader(header string, value any) {
	if c.header == nil {
		c.header = http.Header{}
	}
	c.header.Set(header, string(encode(value)))
}

// inUseCase reports whether calls with the token count by business use case: tokens of pages and system users.
func (t *token) inUseCase() bool { return t.kind == KindPage || t.kind == KindSystemUser }

// applies reports whether the limit applies to the call, and returns the error code for it.
func (a *activeThrottle) applies(c *call, t *token) (code int, applies bool) {
	switch {
	case a.App != "" && a.App != t.app:
		return 0, false
	case a.Object != "" && t.inUseCase():
		return useCaseCodes[a.UseCase], slices.Contains([]string{t.page, t.business, c.node}, a.Object)
	case a.Object != "":
		return codePageLimit, t.kind == KindUser && a.Object == c.node
	case a.User != "":
		return codeUserLimit, t.kind == KindUser && a.User == t.person
	}
	return codeAppLimit, !t.inUseCase()
}

type appUsage struct {
	CallCount    int `json:"call_count"`
	TotalCPUTime int `json:"total_cputime"`
	TotalTime    int `json:"total_time"`
}

type useCaseUsage struct {
	Type string `json:"type"`
	appUsage
	Estimated int `json:"estimated_time_to_regain_access"` // minutes
}

func (a *activeThrottle) appUsage() appUsage {
	return appUsage{a.CallCount, a.TotalCPUTime, a.TotalTime}
}

func (a *activeThrottle) useCaseUsage(now time.Time) useCaseUsage {
	usage := useCaseUsage{Type: a.UseCase, appUsage: a.appUsage()}
	if !a.until.IsZero() {
		usage.Estimated = int((a.until.Sub(now) + time.Minute - 1) / time.Minute)
	}
	return usage
}

// Codes of reached limits ("Rate Limits").
const (
	codeAppLimit  = 4
	codeUserLimit = 17
	codePageLimit = 32
)

// subcodeManyCalls is the subcode of three use cases ("Rate Limits").
const subcodeManyCalls = 2446079

// useCaseCodes are the error codes of the business use cases.
var useCaseCodes = map[string]int{
	"ads_insights": 80000, "pages": 80001, "instagram": 80002, "custom_audience": 80003, "ads_management": 80004,
	"leadgen": 80005, "messenger": 80006,
}

// limitMessages are the messages by code.
var limitMessages = map[int]string{
	codeAppLimit:  "(#4) Application request limit reached",
	codeUserLimit: "(#17) User request limit reached",
	codePageLimit: "(#32) Page request limit reached",
	80000:         manyCalls("80000", "ad-account"),
	80001:         manyCalls("80001", "Page account"),
	80002:         manyCalls("80002", "Instagram account"),
	80003:         manyCalls("80003", "ad-account"),
	80004:         manyCalls("80004", "ad-account"),
	80005:         manyCalls("80005", "Page account"),
	80006:         manyCalls("80006", "Page account"),
}

func manyCalls(code, account string) string {
	return "(#" + code + ") There have been too many calls to this " + account + ". Wait a bit and try again. For more info, please " +
		"refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
}

// refusal is the error of a call beyond the limit.
func (th *throttles) refusal(a *activeThrottle, code int) refusal {
	r := oauthError(code, "%s", limitMessages[code])
	if code == 80000 || code == 80003 || code == 80004 {
		r.Subcode = subcodeManyCalls
	}
	if a.Error != nil {
		r.GraphError = *a.Error
		r.Type = cmp.Or(r.Type, "OAuthException")
	}
	r.status = th.options().ThrottleStatus
	return r
}
