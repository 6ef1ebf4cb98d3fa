package authpipetest

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// Throttle is a rate limit and how much of it is used up ("Rate Limits"). Say whose limit it is by App, User and Object;
// without any, it is each app's. Answers within the limit tell the usage in a header, as Facebook does once there is some; calls beyond it are refused.
// There is no Retry-After.
type Throttle struct {
	App  string // calls with app tokens and user tokens of this app: code 4
	User string // calls with this person's user tokens, at App or at any: code 17
	// Object is a page or a business, the limit one of its business use cases: it is for calls with tokens of the page, or of
	// system users of the business, code 80001 and the like. Calls about a page with a user token have code 32. If Object is
	// set, App may narrow it down and User does nothing.
	Object  string
	UseCase string // pages (zero), ads_management, ads_insights, custom_audience, instagram, leadgen, messenger

	// Usage in percent of the limit. Any of them at 100 or more means throttled.
	CallCount, TotalCPUTime, TotalTime int

	// RegainAccess is when a throttled caller is let through again, counted from now by the simulator's clock. The headers of a
	// use case tell it in minutes. Zero: not before the Throttle is cleared.
	RegainAccess time.Duration
	// Penalty is put on top of RegainAccess by every call that is refused.
	Penalty time.Duration

	// Error is what a throttled call gets, for codes that are not the limit's usual one, such as 613 or 341. Zero: the usual
	// one. An empty Type is OAuthException.
	Error *GraphError
}

// armedThrottle is a Throttle in force.
type armedThrottle struct {
	Throttle
	until time.Time // zero: until it is cleared
}

// throttles has the limits in force.
type throttles struct {
	*settings
	armed []*armedThrottle
}

// Throttle puts a limit in force. Calling clear lifts it; so does the clock, see RegainAccess.
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

func (th *throttles) arm(t Throttle) *armedThrottle {
	t.UseCase = cmp.Or(t.UseCase, "pages")
	armed := &armedThrottle{Throttle: t}
	if t.RegainAccess > 0 && t.exceeded() {
		armed.until = th.options().Now().Add(t.RegainAccess)
	}
	th.armed = append(th.armed, armed)
	return armed
}

func (th *throttles) disarm(armed *armedThrottle) {
	th.armed = slices.DeleteFunc(th.armed, func(a *armedThrottle) bool { return a == armed })
}

func (t Throttle) exceeded() bool { return max(t.CallCount, t.TotalCPUTime, t.TotalTime) >= 100 }

// limit leaves the usage in the headers of the call's answer, and refuses the call if a limit is reached.
func (th *throttles) limit(c *call, t *token) error {
	now := th.options().Now()
	th.armed = slices.DeleteFunc(th.armed, func(a *armedThrottle) bool {
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
		case a.Object == "" && a.CallCount > app: // of two, the one that is closer to its end
			app = a.CallCount
			c.tell("X-App-Usage", a.appUsage())
		}
		if a.exceeded() && refused == nil {
			refused = th.refusal(a, code)
			if !a.until.IsZero() {
				a.until = a.until.Add(a.Penalty)
			}
		}
	}
	if len(objects) > 0 {
		c.tell("X-Business-Use-Case-Usage", objects)
	}
	return refused
}

// tell puts a header with a JSON value on the call's answer.
func (c *call) tell(header string, value any) {
	if c.header == nil {
		c.header = http.Header{}
	}
	c.header.Set(header, string(encode(value)))
}

// inUseCase tells the tokens whose calls are counted by business use case: those of pages and system users.
func (t *token) inUseCase() bool { return t.kind == KindPage || t.kind == KindSystemUser }

// applies tells whether the limit is the call's, and the code of the error when it is reached.
func (a *armedThrottle) applies(c *call, t *token) (code int, applies bool) {
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

func (a *armedThrottle) appUsage() appUsage {
	return appUsage{a.CallCount, a.TotalCPUTime, a.TotalTime}
}

func (a *armedThrottle) useCaseUsage(now time.Time) useCaseUsage {
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

// subcodeManyCalls comes with the codes of three use cases ("Rate Limits").
const subcodeManyCalls = 2446079

// useCaseCodes are the error codes of the business use cases.
var useCaseCodes = map[string]int{
	"ads_insights": 80000, "pages": 80001, "instagram": 80002, "custom_audience": 80003, "ads_management": 80004,
	"leadgen": 80005, "messenger": 80006,
}

// limitMessages are the messages of the codes; a code that is missing has the one of its use case.
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

// throttled refuses a call because a limit is reached.
func (th *throttles) refusal(a *armedThrottle, code int) refusal {
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
