package backend_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// provider returns what health says of Facebook.
func (e *engine) provider() map[string]any {
	e.t.Helper()
	return e.read("health")["providers"].(map[string]any)["facebook"].(map[string]any)
}

// limitOf has one call of the token endpoint meet a limit.
func (e *engine) limitOf(code int) {
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Times: 1, Error: &authpipetest.GraphError{Code: code, Message: "limit reached"}})
}

// TestLimitPausesWhomItConcerns covers the limits that Facebook documents, by
// their owners (C11).
func TestLimitPausesWhomItConcerns(t *testing.T) {
	for code, app := range map[int]bool{
		4: true, 341: true, 613: true,
		17: false, 32: false, 80000: false, 80001: false, 80002: false, 80004: false, 80014: false,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
			e.limitOf(code)
			e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
			e.untouched([]string{uma})
			health := e.provider()
			if app {
				if health["state"] != "throttled" || health["throttled_accounts"] != nil {
					t.Errorf("the provider is %v", health)
				}
				e.refused("throttled", 429, logical.UpdateOperation, "connections/"+udo+"/refresh", nil)
				return
			}
			if health["state"] != "ok" || health["throttled_accounts"] != 1 {
				t.Errorf("the provider is %v", health)
			}
			e.must(logical.UpdateOperation, "connections/"+udo+"/refresh", nil)
			if calls := e.calls(func() { e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil) }); calls != 0 {
				t.Errorf("the account that met the limit is asked about with %d calls", calls)
			}
			if found, _ := e.events(0); strings.Contains(strings.Join(found, "\n"), "provider.throttled") {
				t.Errorf("events are %v", found)
			}
		})
	}
}

// TestLimitOfAnAccountHoldsInEveryTenant: the same person is connected in two.
func TestLimitOfAnAccountHoldsInEveryTenant(t *testing.T) {
	e := both(t, authpipetest.Options{})
	elsewhere := "org_globex/facebook/installation"
	e.connect(elsewhere, "boss", authpipetest.Consent{User: "uma"})
	e.limitOf(17)
	e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	text := e.refused("throttled", 429, logical.UpdateOperation, "connections/"+elsewhere+"/refresh", nil)
	if strings.Contains(text, "org_acme") {
		t.Errorf("the answer names another tenant: %s", text)
	}
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
}

// TestThrottledNamesTheNextTry: the answer, the health and the engine's own work
// agree on it, for a limit of the app and of an account, with a time from Facebook
// and without.
func TestThrottledNamesTheNextTry(t *testing.T) {
	for _, code := range []int{4, 17} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.limitOf(code)
			text := e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
			until := e.clock.Now().Add(5 * time.Minute)
			if !strings.Contains(text, "try again after "+until.Format(time.RFC3339)) {
				t.Fatalf("the answer does not name %v: %s", until, text)
			}
			e.clock.Advance(5*time.Minute - time.Second)
			if calls := e.calls(func() { e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil) }); calls != 0 {
				t.Errorf("%d calls are made before that", calls)
			}
			e.clock.Advance(time.Second)
			e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
			if health := e.provider(); health["state"] != "ok" || health["throttled_accounts"] != nil {
				t.Errorf("the provider is %v", health)
			}
		})
	}
}

func TestLimitsInARowPauseAnAccountLonger(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 17, Message: "limit reached"}})
	e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	var pauses []time.Duration
	for range 6 {
		pause := time.Duration(0)
		for e.calls(func() { e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) }) == 0 {
			pause += time.Minute
			e.clock.Advance(time.Minute)
			if pause > 2*time.Hour {
				t.Fatal("the pause does not end")
			}
		}
		pauses = append(pauses, pause)
	}
	if want := []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour}; !slices.Equal(pauses, want) {
		t.Errorf("pauses are %v, want %v", pauses, want)
	}
}

// TestDueWorkOfALimitedAccountWaits: it is not looked at again at each sweep.
func TestDueWorkOfALimitedAccountWaits(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.untilDue(uma)
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 17, Message: "User request limit reached"}})
	e.sweep()
	due := e.read("connections/" + uma)["next_due_at"].(string)
	if at, err := time.Parse(time.RFC3339, due); err != nil || at.Sub(e.clock.Now()) < 5*time.Minute {
		t.Errorf("the next try is due at %s, now it is %s", due, e.clock.Now())
	}
	if calls := e.calls(func() { e.after(time.Minute); e.after(time.Minute) }); calls != 0 {
		t.Errorf("%d calls are made meanwhile", calls)
	}
	e.untouched([]string{uma})
	e.checkInvariants("limited")
}

// TestLimitAtAnInspectionPausesThatAccountAlone: the answer of debug_token is about
// one token, although the app's own makes the call.
func TestLimitAtAnInspectionPausesThatAccountAlone(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Error: &authpipetest.GraphError{Code: 17, Message: "limit reached"}})
	e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	if health := e.provider(); health["state"] != "ok" || health["throttled_accounts"] != 1 {
		t.Errorf("the provider is %v", health)
	}
	e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
}

// TestLimitThatOutlastsATokenEndsIt: it is told in time, checked meanwhile, and never
// active with a dead token.
func TestLimitThatOutlastsATokenEndsIt(t *testing.T) {
	for _, code := range []int{4, 17} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: code, Message: "limit reached"}})
			end := e.expiry(uma)
			for e.clock.Now().Before(end.Add(-day)) {
				e.after(time.Hour)
			}
			checked, err := time.Parse(time.RFC3339, e.read("connections/" + uma)["checked_at"].(string))
			if age := e.clock.Now().Sub(checked); err != nil || code == 17 && age > 4*day {
				t.Errorf("it was last checked %v ago, %v", age, err)
			}
			for e.clock.Now().Before(end.Add(9 * day)) {
				e.after(time.Hour)
			}
			ended := map[int]string{4: "failed", 17: "needs_reauth"}[code] // a check may find it dead first
			e.is(ended, uma)
			if events := e.outcomesOf(uma); !slices.Contains(events, "connection.expiring") || !slices.Contains(events, "connection."+ended) {
				t.Errorf("events are %v", events)
			}
		})
	}
}

// TestLimitWhileConnectingPausesThatAccountAlone: whose token it is comes out on the
// way.
func TestLimitWhileConnectingPausesThatAccountAlone(t *testing.T) {
	const another = "org_globex/facebook/installation"
	for name, connect := range map[string]func(e *engine){
		"by a session": func(e *engine) {
			s := e.begin(another, map[string]any{"actor": "admin"})
			p := e.callback(e.consent(s, authpipetest.Consent{User: "uma"}))
			limit(e)
			e.refused("throttled", 429, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": p.code(e.t)})
			e.unharmed(s, "authorized")
			if calls := e.calls(func() {
				e.refused("throttled", 429, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": p.code(e.t)})
			}); calls != 0 {
				e.t.Errorf("completing again costs %d calls", calls)
			}
		},
		"by an import": func(e *engine) {
			token := e.token(uma)
			limit(e)
			e.refused("throttled", 429, logical.UpdateOperation, "creds/"+another, map[string]any{"access_token": token})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			connect(e)
			if health := e.provider(); health["state"] != "ok" || health["throttled_accounts"] != 1 {
				t.Errorf("the provider is %v", health)
			}
			if calls := e.calls(func() { e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil) }); calls != 0 {
				t.Errorf("the account is asked about with %d calls", calls)
			}
			e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
		})
	}
}

// limit has debug_token say of the next token that its person has met a limit.
func limit(e *engine) {
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Body: `{"data":{"app_id":"` + appID + `","user_id":"` + e.fb.ScopedID(appID, "uma") + `","is_valid":false,"error":{"code":17,"message":"User request limit reached"}}}`})
}

// TestGrantOfALimitedAccountIsRevoked: the app's own token does that.
func TestGrantOfALimitedAccountIsRevoked(t *testing.T) {
	e := both(t, authpipetest.Options{})
	token := e.served(uma)
	e.limitOf(17)
	e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	e.must(logical.DeleteOperation, "accounts/facebook/"+e.fb.ScopedID(appID, "uma"), nil)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+uma, nil)
	if e.valid(token) {
		t.Error("the grant lives on")
	}
}

// TestPausesOfAccountsAreForgotten: what has ended is not kept for ever, and the next
// limit is the first in its row.
func TestPausesOfAccountsAreForgotten(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for _, wait := range []time.Duration{3 * time.Hour, 0} {
		e.limitOf(17)
		text := e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
		if until := e.clock.Now().Add(5 * time.Minute).Format(time.RFC3339); !strings.Contains(text, until) {
			t.Errorf("the answer does not name %s: %s", until, text)
		}
		e.clock.Advance(wait)
		if wait == 0 {
			break
		}
		e.limitOf(17)
		e.refused("throttled", 429, logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
		e.clock.Advance(wait)
	}
}

// TestCallbackPageSaysThrottledUntilTheLimitIsOver, however often it is loaded.
func TestCallbackPageSaysThrottledUntilTheLimitIsOver(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback", "return_urls": []string{returnURL}})
	s := e.begin(installation, map[string]any{"return_url": returnURL})
	back := e.consent(s, authpipetest.Consent{User: "ada"})
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Times: 1, Error: &authpipetest.GraphError{Code: 17, Message: "limit reached"}})
	for range 3 {
		if p := e.callback(back); !strings.Contains(p.html, "error=throttled") {
			t.Errorf("the page says %s", p.html)
		}
		e.clock.Advance(time.Minute)
	}
	e.clock.Advance(3 * time.Minute)
	if p := e.callback(back); strings.Contains(p.html, "error=") {
		t.Errorf("afterwards the page says %s", p.html)
	}
	e.unharmed(s, "completed")
}
