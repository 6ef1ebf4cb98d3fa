package authpipetest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// controlRequest is a request from a browser on this machine.
func controlRequest(method string, form url.Values) *http.Request {
	r := httptest.NewRequest(method, "http://127.0.0.1:8080/_control", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.RemoteAddr = "127.0.0.1:40000"
	return r
}

func (w world) control(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	page := httptest.NewRecorder()
	w.Control().ServeHTTP(page, r)
	return page
}

func TestControlShowsNoTokenInFull(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	user := w.token(pageScope)
	tokens := []string{user, w.pageToken(user), w.connect(authpipetest.Consent{})}
	w.ExpireToken(user)
	page := w.control(controlRequest(http.MethodGet, nil))
	body := page.Body.String()
	for _, want := range []string{
		"Ada Admin, for Page A", "Demo at Bakery Ltd", "Session has expired", "SYSTEM_USER", user[:3] + "…" + user[len(user)-4:],
		"GET /v26.0/dialog/oauth", "<td>access_token</td>", "All is well.",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, token := range append(tokens, appSecret) {
		if strings.Contains(body, token) || len(token) > 40 && strings.Contains(body, token[len(token)-20:]) {
			t.Errorf("the page has %s", token)
		}
	}
	if policy := page.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(body, "<script") {
		t.Errorf("policy %q", policy)
	}
}

func TestControlCausesFailures(t *testing.T) {
	for _, test := range []struct {
		name string
		form url.Values
		want string // in the answer to /me
	}{
		{"expire", params("action", "expire", "token", "1"), `"error_subcode":463`},
		{"log out", params("action", "logout", "token", "1"), `"error_subcode":467`},
		{"checkpoint", params("action", "checkpoint", "token", "1"), `"error_subcode":459`},
		{"remove the app", params("action", "remove", "app", appID, "user", "ada"), `"error_subcode":458`},
		{"and delete the data", params("action", "delete", "app", appID, "user", "ada"), `"error_subcode":458`},
		{"change the password", params("action", "password", "user", "ada"), `"error_subcode":460`},
		{"throttle the app", params("action", "throttle-app", "app", appID), `"code":4,`},
		{"throttle the person", params("action", "throttle-user", "user", "ada"), `"code":17,`},
		{"a page for everything", params("action", "down", "how", "0"), "<h1>Sorry"},
		{"an error for everything", params("action", "down", "how", "1"), `"is_transient":true`},
		{"nothing to do with her", params("action", "disconnect", "app", appID, "business", "1"), "Ada Admin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			token := w.token("email")
			page := w.control(controlRequest(http.MethodPost, test.form))
			if page.Code != http.StatusSeeOther || page.Header().Get("Location") != "/_control" {
				t.Errorf("status %d, Location %q", page.Code, page.Header().Get("Location"))
			}
			if r := w.get("/v26.0/me", params("access_token", token)); !strings.Contains(r.body, test.want) {
				t.Errorf("/me: %s", r.body)
			}
		})
	}
}

func TestControlEndsFailures(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token, control := w.token("email"), w.Control()
	press := func(pairs ...string) int {
		page := httptest.NewRecorder()
		control.ServeHTTP(page, controlRequest(http.MethodPost, params(pairs...)))
		return page.Code
	}
	press("action", "down", "how", "0")
	press("action", "down", "how", "1") // replaces the outage
	press("action", "throttle-object", "object", "777")
	press("action", "throttle-app", "app", appID)
	shown := httptest.NewRecorder()
	control.ServeHTTP(shown, controlRequest(http.MethodGet, nil))
	if body := shown.Body.String(); !strings.Contains(body, "Down: <strong>error 2") || !strings.Contains(body, "123 until 2026-11-16 08:05:00 UTC") {
		t.Errorf("the page: %s", body)
	}
	press("action", "up")
	press("action", "lift")
	w.get("/v26.0/me", params("access_token", token)).is(http.StatusOK, w.ada())
	for _, pairs := range [][]string{
		{"action", "explode"}, {"action", "expire", "token", "99"}, {"action", "down", "how", "9"}, {"action", "explode", "token", "1"},
	} {
		if code := press(pairs...); code != http.StatusBadRequest {
			t.Errorf("%v: status %d", pairs, code)
		}
	}
}

func TestControlRefusesOtherMachines(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"a browser on this machine", func(*http.Request) {}, http.StatusSeeOther},
		{"by name", func(r *http.Request) { r.Host = "localhost:8080" }, http.StatusSeeOther},
		{"a shell on this machine", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site") }, http.StatusSeeOther},
		{"another site's form", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		{"another port's form", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, http.StatusForbidden},
		{"an old browser, another site", func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "https://evil.example")
		}, http.StatusForbidden},
		{"a name that resolves to this machine", func(r *http.Request) { r.Host = "evil.example:8080" }, http.StatusForbidden},
		{"another machine", func(r *http.Request) { r.RemoteAddr = "192.0.2.1:40000" }, http.StatusForbidden},
		{"another method", func(r *http.Request) { r.Method = http.MethodDelete }, http.StatusMethodNotAllowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := controlRequest(http.MethodPost, params("action", "lift"))
			test.change(r)
			if got := w.in(t).control(r).Code; got != test.want {
				t.Errorf("status %d, want %d", got, test.want)
			}
		})
	}
	strange := controlRequest(http.MethodGet, nil)
	strange.Host = "evil.example"
	if got := w.control(strange); got.Code != http.StatusForbidden || strings.Contains(got.Body.String(), "Ada") {
		t.Errorf("reading it from elsewhere: status %d", got.Code)
	}
}

func TestControlLogsInBySDK(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.token("email") // the page has a button for each person with a grant
	page := w.control(controlRequest(http.MethodGet, nil)).Body.String()
	if !strings.Contains(page, `value="sdk-login"`) {
		t.Error("the page has no button for it")
	}
	answer := w.control(controlRequest(http.MethodPost, url.Values{"action": {"sdk-login"}, "app": {appID}}))
	if answer.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", answer.Code, answer.Body)
	}
	w.exchange("code", strings.TrimSpace(answer.Body.String()), "redirect_uri", "").accessToken()
	if answer := w.control(controlRequest(http.MethodPost, url.Values{"action": {"sdk-login"}, "app": {"4711"}})); answer.Code != http.StatusBadRequest {
		t.Errorf("for an app that does not exist it answers %d", answer.Code)
	}
}

func TestControlStartsAndStopsEachBehavior(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	seen := map[string]bool{}
	for _, b := range authpipetest.Behaviors() {
		if seen[b.Name] {
			t.Errorf("%s is there twice", b.Name)
		}
		seen[b.Name] = true
		if page := w.control(controlRequest(http.MethodPost, url.Values{"action": {"behave"}, "name": {b.Name}})); page.Code != http.StatusSeeOther {
			t.Fatalf("%s: status %d", b.Name, page.Code)
		}
		body := w.control(controlRequest(http.MethodGet, nil)).Body.String()
		if strings.Count(body, "<strong>On.</strong>") != 1 {
			t.Errorf("%s is not shown as on", b.Name)
		}
		w.control(controlRequest(http.MethodPost, url.Values{"action": {"stop"}, "name": {b.Name}}))
		if body := w.control(controlRequest(http.MethodGet, nil)).Body.String(); strings.Contains(body, "<strong>On.</strong>") {
			t.Errorf("%s does not stop", b.Name)
		}
	}
	if page := w.control(controlRequest(http.MethodPost, url.Values{"action": {"behave"}, "name": {"no-such"}})); page.Code != http.StatusBadRequest {
		t.Errorf("an unknown behavior is answered with %d", page.Code)
	}
	if _, err := w.Behave("no-such"); err == nil {
		t.Error("an unknown behavior is no error")
	}
}
