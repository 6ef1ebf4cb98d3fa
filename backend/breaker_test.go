package backend_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const day = 24 * time.Hour

// crowd connects n people under the installation and returns their refs.
func (e *engine) crowd(n int) []string {
	e.t.Helper()
	refs := make([]string, n)
	for i := range refs {
		name := fmt.Sprintf("person-%03d", i)
		e.fb.AddUser(authpipetest.User{ID: name})
		refs[i] = "org_acme/facebook/users/" + name
		e.connect(refs[i], name, authpipetest.Consent{User: name})
	}
	return refs
}

// calls counts what goes over the wire while act runs.
func (e *engine) calls(act func()) int {
	before := e.fb.Count("")
	act()
	return e.fb.Count("") - before
}

// untouched fails the test if the provider's trouble was put down to one of
// the credentials.
func (e *engine) untouched(refs []string) {
	e.t.Helper()
	for _, ref := range refs {
		if c := e.read("connections/" + ref); c["status"] != "active" || c["consecutive_failures"] != 0 || c["last_error"] != nil {
			e.t.Fatalf("%s is marked as failing: %v", ref, c)
		}
	}
}

func throttled(header string) authpipetest.Fault {
	return authpipetest.Fault{
		Error:  &authpipetest.GraphError{Code: 80001, Message: "There have been too many calls to this Page account."},
		Header: http.Header{"X-Business-Use-Case-Usage": {header}},
	}
}

func TestThrottledProviderIsNotCalled(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(20)
	parked := e.begin(udo, map[string]any{"actor": "udo"})
	code := e.callback(e.consent(parked, authpipetest.Consent{User: "udo"})).code(t)
	clear := e.fb.Fail(throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))
	e.refused("throttled", 429, logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)

	// Whoever asks is answered from memory, after a restart too, and told until
	// when.
	e.restart()
	calls := e.calls(func() {
		for _, path := range []string{"connections/" + refs[1] + "/check", "connections/" + refs[2] + "/refresh"} {
			if text := e.refused("throttled", 429, logical.UpdateOperation, path, nil); !strings.Contains(text, "2026-11-23T13:30:00Z") {
				t.Errorf("nobody is told until when: %s", text)
			}
		}
		e.refused("throttled", 429, logical.UpdateOperation, parked.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
		if c := e.read("creds/" + refs[3]); c["access_token"] == "" {
			t.Error("a living token is not served")
		}
	})
	if calls != 0 {
		t.Errorf("the provider was called %d times", calls)
	}
	if s := e.read(parked.path); s["status"] != "authorized" {
		t.Errorf("the parked session reads %v", s)
	}
	e.untouched(refs)

	// It is asked again when the time has come, and not before.
	e.clock.Advance(89 * time.Minute)
	if calls := e.calls(func() {
		e.refused("throttled", 429, logical.UpdateOperation, "connections/"+refs[1]+"/check", nil)
	}); calls != 0 {
		t.Errorf("a minute early the provider was called %d times", calls)
	}
	clear()
	e.clock.Advance(2 * time.Minute)
	e.must(logical.UpdateOperation, "connections/"+refs[1]+"/check", nil)
}

// TestDueWorkIsPutOffWhileCallsArePaused has the checks of a day fall
// into a pause: they are moved behind it, and not looked at by every sweep.
func TestDueWorkIsPutOffWhileCallsArePaused(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(60)
	e.clock.Advance(day)
	clear := e.fb.Fail(throttled(`{"1":[{"estimated_time_to_regain_access":120}]}`))
	if calls := e.calls(e.sweep); calls == 0 || calls > 2 {
		t.Errorf("%d calls were made, though the first was throttled", calls)
	}
	e.untouched(refs)
	for range 5 {
		e.clock.Advance(time.Minute)
		e.storage.Reset()
		if calls := e.calls(e.sweep); calls != 0 {
			t.Errorf("%d calls were made in the pause", calls)
		}
		if ops := len(e.storage.Operations()); ops > 1 {
			t.Errorf("a sweep in the pause makes %d storage calls", ops)
		}
	}
	clear()
	e.after(2 * time.Hour)
	e.after(time.Hour)
	for _, ref := range refs {
		if c := e.read("connections/" + ref); c["checked_at"] == c["connected_at"] {
			t.Errorf("%s was not checked after the pause", ref)
		}
	}
}

// TestPauseWithoutTimeGrows covers the limits of an app and of a user, for
// which Facebook does not say how long they last.
func TestPauseWithoutTimeGrows(t *testing.T) {
	e := both(t, authpipetest.Options{})
	defer e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}})()
	check := func() { e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/check", nil) }
	for _, pause := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
		if e.calls(check) != 1 {
			t.Fatalf("before the pause of %v the provider is not asked", pause)
		}
		e.clock.Advance(pause - time.Second)
		if e.calls(check) != 0 {
			t.Errorf("the pause of %v is over a second early", pause)
		}
		e.clock.Advance(time.Second)
	}
}

// TestWrongAppSecretMarksNoCredential resets the secret in the dashboard for a
// day. One probe a tick finds out when that is mended.
func TestWrongAppSecretMarksNoCredential(t *testing.T) {
	for name, mend := range map[string]func(*engine){
		"by itself, when the provider takes the client again": func(e *engine) { e.fb.SetAppSecret(appID, appSecret) },
		"at once, when the configuration is written": func(e *engine) {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.install()
			refs := e.crowd(60)
			e.fb.SetAppSecret(appID, newSecret)
			e.clock.Advance(day)
			if calls := e.calls(e.sweep); calls > 8 {
				t.Errorf("the sweep made %d calls", calls)
			}
			e.untouched(refs)
			if calls := e.calls(func() { e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+refs[0]+"/check", nil) }); calls != 0 {
				t.Errorf("a check made %d calls", calls)
			}
			for range 10 {
				e.clock.Advance(time.Minute)
				if calls := e.calls(e.sweep); calls != 1 {
					t.Errorf("a tick made %d calls, and not one probe", calls)
				}
			}
			mend(e)
			if strings.Contains(name, "itself") {
				e.after(time.Minute)
			}
			e.must(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
			e.after(2 * time.Hour)
			for _, ref := range refs {
				if c := e.read("connections/" + ref); c["checked_at"] == c["connected_at"] {
					t.Errorf("%s was not checked after that", ref)
				}
			}
			e.untouched(refs)
		})
	}
}

// TestUnavailableProviderIsProbedOnceATick has every call fail, in each way in
// which a provider can be down.
func TestUnavailableProviderIsProbedOnceATick(t *testing.T) {
	for name, fault := range map[string]authpipetest.Fault{
		"it answers with an error": {Status: 503, Body: "<html>down</html>"},
		"it says that it is down":  {Status: 500, Error: &authpipetest.GraphError{Code: 2, Message: "Service temporarily unavailable"}},
		"the connection breaks":    {Reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.install()
			refs := e.crowd(10)
			clear := e.fb.Fail(fault)
			for i := range 5 {
				e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+refs[i]+"/check", nil)
			}
			if calls := e.calls(func() {
				e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+refs[5]+"/check", nil)
			}); calls != 0 {
				t.Errorf("after five failures a check makes %d calls", calls)
			}
			e.untouched(refs[5:])
			e.clock.Advance(day)
			e.sweep()
			for range 3 {
				e.clock.Advance(time.Minute)
				if calls := e.calls(e.sweep); calls != 1 {
					t.Errorf("a tick made %d calls, and not one probe", calls)
				}
			}
			clear()
			e.after(time.Minute)
			e.must(logical.UpdateOperation, "connections/"+refs[5]+"/check", nil)
		})
	}
}

// TestFailuresOfOneCredentialOpenNoCircuit has calls about one fail in ways
// that might be the provider's, while it works for all others.
func TestFailuresOfOneCredentialOpenNoCircuit(t *testing.T) {
	for name, fault := range map[string]authpipetest.GraphError{
		"unknown":       {Code: 1, Message: "An unknown error has occurred."},
		"misconfigured": {Code: 3, Message: "Application does not have the capability to make this API call."},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			for range 12 {
				clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &fault})
				if _, err := e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil); err == nil {
					t.Fatal("the refresh succeeds")
				}
				clear()
			}
			e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
		})
	}
}

func TestChecksAreAskedForInBatches(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(119) // and the installation
	e.fb.RemoveApp(appID, "person-007")
	e.clock.Advance(day)
	if calls := e.calls(e.sweep); calls != 3 {
		t.Errorf("120 checks took %d calls, want 3", calls)
	}
	for i, ref := range refs {
		c := e.read("connections/" + ref)
		if revoked := i == 7; revoked != (c["status"] == "revoked") || !revoked && c["checked_at"] == c["connected_at"] {
			t.Errorf("%s reads %v", ref, c)
		}
	}
	e.clock.Advance(day)
	if e.sweep(); e.read("connections/" + refs[0])["checked_at"] != e.clock.Now().Format(time.RFC3339) {
		t.Error("the day after, nothing is checked")
	}
}

// TestAPauseDoesNotOutlastAClockThatIsSetRight has the clock stand a day ahead
// when the provider asks for a pause.
func TestAPauseDoesNotOutlastAClockThatIsSetRight(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(day)
	clear := e.fb.Fail(throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))
	e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	clear()
	e.clock.Advance(-day)
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
}

// TestATokenAboutToExpireIsRefreshedByTheNextSweep has the provider shorten the
// life of a token to minutes.
func TestATokenAboutToExpireIsRefreshedByTheNextSweep(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(2 * day)
	token := e.read("creds/" + uma)["access_token"].(string)
	e.fb.SetTokenExpiry(token, e.clock.Now().Add(4*time.Minute))
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.after(time.Minute)
	if c := e.read("creds/" + uma); c["access_token"] == token || c["expires_at"] != e.clock.Now().Add(authpipetest.LongLife).Format(time.RFC3339) {
		t.Errorf("what is served is %v", c)
	}
}

func TestHealthTellsHowTheMountIs(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	if h := e.read("health"); h["last_sweep"] != nil || h["overdue"] != 0 || h["providers"].(map[string]any)["facebook"].(map[string]any)["state"] != "ok" {
		t.Errorf("a mount that has done nothing reads %v", h)
	}
	e.install()
	refs := e.crowd(5)
	e.after(time.Hour) // their sessions are reaped
	e.fb.RemoveApp(appID, "person-001")
	e.fb.ChangePassword("person-002")
	e.clock.Advance(day)
	if h := e.read("health"); h["overdue"] != 6 || h["overdue_all_counted"] != true {
		t.Errorf("before the sweep it reads %v", h)
	}
	e.sweep()
	h := e.read("health")
	if counts := h["counts"].(map[string]any); counts["revoked"] != 1 || counts["needs_reauth"] != 1 || counts["failed"] != 0 || h["overdue"] != 0 {
		t.Errorf("after the sweep it reads %v", h)
	}
	if last := h["last_sweep"].(map[string]any); last["at"] != e.clock.Now().Format(time.RFC3339) || last["due"] != 6 || last["failed"] != false {
		t.Errorf("the last sweep is %v", last)
	}
	defer e.fb.Fail(throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))()
	e.do(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
	facebook := e.read("health")["providers"].(map[string]any)["facebook"].(map[string]any)
	if facebook["state"] != "throttled" || facebook["until"] != e.clock.Now().Add(90*time.Minute).Format(time.RFC3339) || facebook["clock_skew"] != int64(0) ||
		facebook["error"].(map[string]any)["code"] != 80001 {
		t.Errorf("the provider reads %v", facebook)
	}
}

// TestAHealthyMountIsReadForLittle has many that are well and one that is not.
func TestAHealthyMountIsReadForLittle(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	cost := func() int {
		e.read("health")
		e.storage.Reset()
		e.read("health")
		return len(e.storage.Operations())
	}
	before := cost()
	e.crowd(50)
	if after := cost(); after != before {
		t.Errorf("with 50 more that are well it costs %d storage calls, before %d", after, before)
	}
}

// TestAnEndedVersionShowsInHealth has the configured version end: Facebook
// answers by the oldest that has not, without a word.
func TestAnEndedVersionShowsInHealth(t *testing.T) {
	e := both(t, authpipetest.Options{})
	served := func() any {
		e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
		return e.read("health")["providers"].(map[string]any)["facebook"].(map[string]any)["served_version"]
	}
	if got := served(); got != nil {
		t.Errorf("served by %v, which is as configured", got)
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v19.0"})
	if got := served(); got != "v21.0" {
		t.Errorf("served by %v", got)
	}
}
