package authpipetest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const (
	appUsage     = "X-App-Usage"
	useCaseUsage = "X-Business-Use-Case-Usage"
)

// usage expects these usage headers and no Retry-After.
func (r reply) usage(app, useCase string) reply {
	r.t.Helper()
	if got := r.header.Get(appUsage); got != app {
		r.t.Errorf("%s: %s, want %s", appUsage, got, app)
	}
	if got := r.header.Get(useCaseUsage); got != useCase {
		r.t.Errorf("%s: %s, want %s", useCaseUsage, got, useCase)
	}
	if got := r.header.Get("Retry-After"); got != "" {
		r.t.Errorf("Retry-After: %s", got)
	}
	return r
}

func TestThrottleRefusesCalls(t *testing.T) {
	const page = "(#80001) There have been too many calls to this Page account. Wait a bit and try again. For more info, please " +
		"refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
	const full = `{"call_count":100,"total_cputime":20,"total_time":30}`
	const fullPage = `{"777":[{"type":"pages","call_count":100,"total_cputime":20,"total_time":30,"estimated_time_to_regain_access":19}]}`
	over := func(t authpipetest.Throttle) authpipetest.Throttle {
		t.CallCount, t.TotalCPUTime, t.TotalTime, t.RegainAccess = 100, 20, 30, 18*time.Minute+time.Second
		return t
	}
	ofApp, ofUser, ofPage := over(authpipetest.Throttle{App: appID}), over(authpipetest.Throttle{User: "ada"}), over(authpipetest.Throttle{Object: "777"})
	for _, test := range []struct {
		name         string
		throttle     authpipetest.Throttle
		token, node  string
		code         int
		message      string // empty: the call goes through
		app, useCase string
	}{
		{"an app's limit is its users'", ofApp, "user", "me", 4, "(#4) Application request limit reached", full, ""},
		{"an app's limit is its app token's", ofApp, "app", "ada", 4, "(#4) Application request limit reached", full, ""},
		{"an app's limit is no page's", ofApp, "page", "me", 0, "", "", ""},
		{"an app's limit is no other's", over(authpipetest.Throttle{App: "456"}), "user", "me", 0, "", "", ""},
		{"a person's limit", ofUser, "user", "me", 17, "(#17) User request limit reached", full, ""},
		{"a person's limit is no app's", ofUser, "app", "ada", 0, "", "", ""},
		{"another person's limit", over(authpipetest.Throttle{User: "uma"}), "user", "me", 0, "", "", ""},
		{"a page's limit, with its token", ofPage, "page", "me", 80001, page, "", fullPage},
		{"a page's limit, with a user token", ofPage, "user", "777", 32, "(#32) Page request limit reached", "", ""},
		{"a page's limit is nothing to other calls", ofPage, "user", "me", 0, "", "", ""},
		{"another page's limit", over(authpipetest.Throttle{Object: "888"}), "page", "me", 0, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			user := w.token(pageScope)
			token := map[string]string{"user": user, "page": w.pageToken(user), "app": appToken}[test.token]
			if test.node == "ada" {
				test.node = w.ScopedID(appID, "ada")
			}
			w.Throttle(test.throttle)
			r := w.get("/v26.0/"+test.node, params("access_token", token)).usage(test.app, test.useCase)
			if test.message == "" {
				r.is(http.StatusOK, r.body)
				return
			}
			r.refused(http.StatusBadRequest, test.code, test.message)
		})
	}
}

func TestThrottleTellsUsageBelowLimit(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	user := w.token(pageScope)
	page := w.pageToken(user)
	clear := w.Throttle(authpipetest.Throttle{App: appID, CallCount: 28, TotalTime: 25, TotalCPUTime: 25})
	w.Throttle(authpipetest.Throttle{User: "ada", CallCount: 27})
	w.Throttle(authpipetest.Throttle{Object: "777", UseCase: "messenger", CallCount: 99})
	w.get("/me", params("access_token", user)).usage(`{"call_count":28,"total_cputime":25,"total_time":25}`, "").is(http.StatusOK, w.ada())
	w.get("/me", params("access_token", page)).usage("",
		`{"777":[{"type":"messenger","call_count":99,"total_cputime":0,"total_time":0,"estimated_time_to_regain_access":0}]}`).
		is(http.StatusOK, `{"id":"777","name":"Page A"}`)
	clear()
	clear()
	w.get("/me", params("access_token", user)).usage(`{"call_count":27,"total_cputime":0,"total_time":0}`, "")
	w.get("/me", nil).usage("", "")
}

func TestThrottleEndsByClock(t *testing.T) {
	w := newWorld(t, authpipetest.Options{ThrottleStatus: http.StatusForbidden})
	token := w.token("email")
	w.Throttle(authpipetest.Throttle{App: appID, TotalTime: 120, RegainAccess: 10 * time.Minute, Penalty: time.Minute})
	call := func() reply { return w.get("/me", params("access_token", token)) }
	call().refused(http.StatusForbidden, 4, "(#4) Application request limit reached")
	w.clock.Advance(10 * time.Minute)
	call().refused(http.StatusForbidden, 4, "(#4) Application request limit reached") // the first refusal extended it
	w.clock.Advance(2 * time.Minute)
	call().usage("", "").is(http.StatusOK, w.ada())
}

func TestThrottleErrorIsAnOption(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	clear := w.Throttle(authpipetest.Throttle{CallCount: 100, Error: &authpipetest.GraphError{
		Code: 613, Message: "(#613) Calls to this api have exceeded the rate limit.",
	}})
	w.get("/me", params("access_token", token)).refused(http.StatusBadRequest, 613, "(#613) Calls to this api have exceeded the rate limit.")
	clear()
	w.Throttle(authpipetest.Throttle{Object: "777", UseCase: "ads_management", CallCount: 100})
	page := w.pageTokenUnlimited()
	w.get("/me", params("access_token", page)).refusedSub(80004, 2446079, "(#80004) There have been too many calls to this ad-account. "+
		"Wait a bit and try again. For more info, please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting.")
}

// pageTokenUnlimited returns the token of page 777 from the accounts, to which no limit of the page applies.
func (w world) pageTokenUnlimited() string {
	w.t.Helper()
	return tokenIn(w.get("/me/accounts", params("access_token", w.token(pageScope))).body)
}

func TestThrottleOfBusinessTellsUsage(t *testing.T) {
	w := newSystemUser(t)
	token := w.issue(w.token("business_management")).accessToken()
	w.Throttle(authpipetest.Throttle{Object: businessID, UseCase: "ads_insights", CallCount: 100, RegainAccess: 90 * time.Second})
	w.get("/me", params("access_token", token)).usage("", `{"5566":[{"type":"ads_insights","call_count":100,"total_cputime":0,"total_time":0,"estimated_time_to_regain_access":2}]}`).
		refusedSub(80000, 2446079, "(#80000) There have been too many calls to this ad-account. Wait a bit and try again. For more "+
			"info, please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting.")
}
