package breaker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestLimitPausesItsOwner covers the limits that Facebook documents, by
// their owners (C11).
func TestLimitPausesItsOwner(t *testing.T) {
	for code, app := range map[int]bool{
		4: true, 341: true, 613: true,
		17: false, 32: false, 80000: false, 80001: false, 80002: false, 80004: false, 80014: false,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
			e.Facebook.LimitOnce(code)
			e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			e.CheckHealthy([]string{enginetest.Uma})
			health := e.ProviderHealth()
			if app {
				if health["state"] != "throttled" || health["throttled_accounts"] != nil {
					t.Errorf("the provider is %v", health)
				}
				e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Udo+"/refresh", nil)
				return
			}
			if health["state"] != "ok" || health["throttled_accounts"] != 1 {
				t.Errorf("the provider is %v", health)
			}
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Udo+"/refresh", nil)
			if calls := e.Facebook.CallsDuring(func() {
				e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			}); calls != 0 {
				t.Errorf("the account that met the limit is asked about with %d calls", calls)
			}
			if found, _ := e.Events(0); strings.Contains(strings.Join(found, "\n"), "provider.throttled") {
				t.Errorf("events are %v", found)
			}
		})
	}
}

// TestLimitOfAnAccountHoldsInEveryTenant: the same person is connected in two.
func TestLimitOfAnAccountHoldsInEveryTenant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	elsewhere := "org_globex/facebook/installation"
	e.Connect(elsewhere, "boss", authpipetest.Consent{User: "uma"})
	e.Facebook.LimitOnce(17)
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	text := e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+elsewhere+"/refresh", nil)
	if strings.Contains(text, "org_acme") {
		t.Errorf("the answer names another tenant: %s", text)
	}
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
}

// TestThrottledNamesTheNextTry: the answer, the health and the engine's own work
// agree on it, for a limit of the app and of an account, with a time from Facebook
// and without.
func TestThrottledNamesTheNextTry(t *testing.T) {
	for _, code := range []int{4, 17} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Facebook.LimitOnce(code)
			text := e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			until := e.Clock.Now().Add(5 * time.Minute)
			if !strings.Contains(text, "try again after "+until.Format(time.RFC3339)) {
				t.Fatalf("the answer does not name %v: %s", until, text)
			}
			e.Clock.Advance(5*time.Minute - time.Second)
			if calls := e.Facebook.CallsDuring(func() {
				e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			}); calls != 0 {
				t.Errorf("%d calls are made before that", calls)
			}
			e.Clock.Advance(time.Second)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			if health := e.ProviderHealth(); health["state"] != "ok" || health["throttled_accounts"] != nil {
				t.Errorf("the provider is %v", health)
			}
		})
	}
}

func TestLimitsInARowPauseAnAccountLonger(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 17, Message: "limit reached"}})
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	var pauses []time.Duration
	for range 6 {
		pause := time.Duration(0)
		for e.Facebook.CallsDuring(func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil) }) == 0 {
			pause += time.Minute
			e.Clock.Advance(time.Minute)
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
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.AdvanceToDue(enginetest.Uma)
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 17, Message: "User request limit reached"}})
	e.MustSweep()
	due := e.Read("connections/" + enginetest.Uma)["next_due_at"].(string)
	if at, err := time.Parse(time.RFC3339, due); err != nil || at.Sub(e.Clock.Now()) < 5*time.Minute {
		t.Errorf("the next try is due at %s, now it is %s", due, e.Clock.Now())
	}
	if calls := e.Facebook.CallsDuring(func() { e.After(time.Minute); e.After(time.Minute) }); calls != 0 {
		t.Errorf("%d calls are made meanwhile", calls)
	}
	e.CheckHealthy([]string{enginetest.Uma})
	e.CheckInvariants("limited")
}

// TestLimitAtAnInspectionPausesThatAccountAlone: the answer of debug_token is about
// one token, although the app's own makes the call.
func TestLimitAtAnInspectionPausesThatAccountAlone(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Error: &authpipetest.GraphError{Code: 17, Message: "limit reached"}})
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	if health := e.ProviderHealth(); health["state"] != "ok" || health["throttled_accounts"] != 1 {
		t.Errorf("the provider is %v", health)
	}
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
}

// TestLimitThatOutlastsATokenEndsIt: its end is announced in time, it is checked meanwhile, and never
// active with a dead token.
func TestLimitThatOutlastsATokenEndsIt(t *testing.T) {
	for _, code := range []int{4, 17} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: code, Message: "limit reached"}})
			end := e.Expiry(enginetest.Uma)
			for e.Clock.Now().Before(end.Add(-enginetest.Day)) {
				e.After(time.Hour)
			}
			checked, err := time.Parse(time.RFC3339, e.Read("connections/" + enginetest.Uma)["checked_at"].(string))
			if age := e.Clock.Now().Sub(checked); err != nil || code == 17 && age > 4*enginetest.Day {
				t.Errorf("it was last checked %v ago, %v", age, err)
			}
			for e.Clock.Now().Before(end.Add(9 * enginetest.Day)) {
				e.After(time.Hour)
			}
			ended := map[int]string{4: "failed", 17: "needs_reauth"}[code] // a check may find it dead first
			e.CheckStatus(ended, enginetest.Uma)
			if events := e.EventsOf(enginetest.Uma); !slices.Contains(events, "connection.expiring") || !slices.Contains(events, "connection."+ended) {
				t.Errorf("events are %v", events)
			}
		})
	}
}

// TestLimitWhileConnectingPausesThatAccountAlone: whose token it is comes out on the
// way.
func TestLimitWhileConnectingPausesThatAccountAlone(t *testing.T) {
	const another = "org_globex/facebook/installation"
	for name, connect := range map[string]func(e *enginetest.Engine){
		"by a session": func(e *enginetest.Engine) {
			s := e.Begin(another, map[string]any{"actor": "admin"})
			p := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"}))
			limit(e)
			e.Refused("throttled", 429, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": p.ConnectCode(e.T)})
			e.CheckSession(s, "authorized")
			if calls := e.Facebook.CallsDuring(func() {
				e.Refused("throttled", 429, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": p.ConnectCode(e.T)})
			}); calls != 0 {
				e.T.Errorf("completing again costs %d calls", calls)
			}
		},
		"by an import": func(e *enginetest.Engine) {
			token := e.CheckedToken(enginetest.Uma)
			limit(e)
			e.Refused("throttled", 429, logical.UpdateOperation, "creds/"+another, map[string]any{"access_token": token})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			connect(e)
			if health := e.ProviderHealth(); health["state"] != "ok" || health["throttled_accounts"] != 1 {
				t.Errorf("the provider is %v", health)
			}
			if calls := e.Facebook.CallsDuring(func() {
				e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			}); calls != 0 {
				t.Errorf("the account is asked about with %d calls", calls)
			}
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
		})
	}
}

// limit has debug_token say of the next token that its person has met a limit.
func limit(e *enginetest.Engine) {
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Body: `{"data":{"app_id":"` + enginetest.AppID + `","user_id":"` + e.Facebook.ScopedID(enginetest.AppID, "uma") + `","is_valid":false,"error":{"code":17,"message":"User request limit reached"}}}`})
}

// TestGrantOfALimitedAccountIsRevoked: the app's own token does that.
func TestGrantOfALimitedAccountIsRevoked(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token := e.Token(enginetest.Uma)
	e.Facebook.LimitOnce(17)
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	e.Must(logical.DeleteOperation, "accounts/facebook/"+e.Facebook.ScopedID(enginetest.AppID, "uma"), nil)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Uma, nil)
	if e.Facebook.Valid(token) {
		t.Error("the grant lives on")
	}
}

// TestPausesOfAccountsAreForgotten: what has ended is not kept for ever, and the next
// limit is the first in its row.
func TestPausesOfAccountsAreForgotten(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, wait := range []time.Duration{3 * time.Hour, 0} {
		e.Facebook.LimitOnce(17)
		text := e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		if until := e.Clock.Now().Add(5 * time.Minute).Format(time.RFC3339); !strings.Contains(text, until) {
			t.Errorf("the answer does not name %s: %s", until, text)
		}
		e.Clock.Advance(wait)
		if wait == 0 {
			break
		}
		e.Facebook.LimitOnce(17)
		e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
		e.Clock.Advance(wait)
	}
}

// TestCallbackPageSaysThrottledUntilTheLimitIsOver, however often it is loaded.
func TestCallbackPageSaysThrottledUntilTheLimitIsOver(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback", "return_urls": []string{enginetest.ReturnURL}})
	s := e.Begin(enginetest.Installation, map[string]any{"return_url": enginetest.ReturnURL})
	back := e.Consent(s, authpipetest.Consent{User: "ada"})
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Times: 1, Error: &authpipetest.GraphError{Code: 17, Message: "limit reached"}})
	for range 3 {
		if p := e.Callback(back); !strings.Contains(p.HTML, "error=throttled") {
			t.Errorf("the page says %s", p.HTML)
		}
		e.Clock.Advance(time.Minute)
	}
	e.Clock.Advance(3 * time.Minute)
	if p := e.Callback(back); strings.Contains(p.HTML, "error=") {
		t.Errorf("afterwards the page says %s", p.HTML)
	}
	e.CheckSession(s, "completed")
}
