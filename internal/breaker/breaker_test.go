package breaker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestThrottledProviderIsNotCalled(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(20)
	parked := e.Begin(enginetest.Udo, map[string]any{"actor": "udo"})
	code := e.Callback(e.Consent(parked, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	clear := e.Facebook.Fail(enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)

	// Callers get the cached error with its time, after a restart too.
	e.Restart()
	calls := e.Facebook.CallsDuring(func() {
		for _, path := range []string{"connections/" + refs[1] + "/check", "connections/" + refs[2] + "/refresh"} {
			if text := e.Refused("throttled", 429, logical.UpdateOperation, path, nil); !strings.Contains(text, "2026-11-23T13:30:00Z") {
				t.Errorf("the error names no time: %s", text)
			}
		}
		e.Refused("throttled", 429, logical.UpdateOperation, parked.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
		if c := e.Read("creds/" + refs[3]); c["access_token"] == "" {
			t.Error("a living token is not served")
		}
	})
	if calls != 0 {
		t.Errorf("the provider was called %d times", calls)
	}
	if s := e.Read(parked.Path); s["status"] != "authorized" {
		t.Errorf("the parked session reads %v", s)
	}
	e.CheckHealthy(refs)

	// It is asked again when the time has come, and not before.
	e.Clock.Advance(89 * time.Minute)
	if calls := e.Facebook.CallsDuring(func() {
		e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+refs[1]+"/check", nil)
	}); calls != 0 {
		t.Errorf("a minute early the provider was called %d times", calls)
	}
	clear()
	e.Clock.Advance(2 * time.Minute)
	e.Must(logical.UpdateOperation, "connections/"+refs[1]+"/check", nil)
}

// TestPausePostponesDueWork has the checks of a day fall
// into a pause: they are moved behind it, and not looked at by every sweep.
func TestPausePostponesDueWork(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(60)
	e.Clock.Advance(enginetest.Day)
	clear := e.Facebook.Fail(enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":120}]}`))
	if calls := e.Facebook.CallsDuring(e.MustSweep); calls == 0 || calls > 2 {
		t.Errorf("%d calls were made, though the first was throttled", calls)
	}
	e.CheckHealthy(refs)
	for range 5 {
		e.Clock.Advance(time.Minute)
		e.Storage.Reset()
		if calls := e.Facebook.CallsDuring(e.MustSweep); calls != 0 {
			t.Errorf("%d calls were made in the pause", calls)
		}
		if ops := len(e.Storage.Operations()); ops > 1 {
			t.Errorf("a sweep in the pause makes %d storage calls", ops)
		}
	}
	clear()
	e.After(2 * time.Hour)
	e.After(time.Hour)
	for _, ref := range refs {
		if c := e.Read("connections/" + ref); c["checked_at"] == c["connected_at"] {
			t.Errorf("%s was not checked after the pause", ref)
		}
	}
}

// TestPauseWithoutTimeGrows covers the limits of an app and of a user, for
// which Facebook does not say how long they last.
func TestPauseWithoutTimeGrows(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	defer e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}})()
	check := func() {
		e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	}
	for _, pause := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
		if e.Facebook.CallsDuring(check) != 1 {
			t.Fatalf("before the pause of %v the provider is not asked", pause)
		}
		e.Clock.Advance(pause - time.Second)
		if e.Facebook.CallsDuring(check) != 0 {
			t.Errorf("the pause of %v is over a second early", pause)
		}
		e.Clock.Advance(time.Second)
	}
}

// TestWrongAppSecretMarksNoCredential resets the secret in the dashboard for a
// day. One probe a tick finds out when that is mended.
func TestWrongAppSecretMarksNoCredential(t *testing.T) {
	for name, mend := range map[string]func(*enginetest.Engine){
		"by itself, when the provider takes the client again": func(e *enginetest.Engine) { e.Facebook.SetAppSecret(enginetest.AppID, enginetest.AppSecret) },
		"at once, when the configuration is written": func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Install()
			refs := e.ConnectMany(60)
			e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
			e.Clock.Advance(enginetest.Day)
			if calls := e.Facebook.CallsDuring(e.MustSweep); calls > 8 {
				t.Errorf("the sweep made %d calls", calls)
			}
			e.CheckHealthy(refs)
			if calls := e.Facebook.CallsDuring(func() { e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+refs[0]+"/check", nil) }); calls != 0 {
				t.Errorf("a check made %d calls", calls)
			}
			for range 10 {
				e.Clock.Advance(time.Minute)
				if calls := e.Facebook.CallsDuring(e.MustSweep); calls != 1 {
					t.Errorf("a tick made %d calls, and not one probe", calls)
				}
			}
			mend(e)
			if strings.Contains(name, "itself") {
				e.After(time.Minute)
			}
			e.Must(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
			e.After(2 * time.Hour)
			for _, ref := range refs {
				if c := e.Read("connections/" + ref); c["checked_at"] == c["connected_at"] {
					t.Errorf("%s was not checked after that", ref)
				}
			}
			e.CheckHealthy(refs)
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
			e := enginetest.New(t, authpipetest.Options{})
			e.Install()
			refs := e.ConnectMany(10)
			clear := e.Facebook.Fail(fault)
			for i := range 5 {
				e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+refs[i]+"/check", nil)
			}
			if calls := e.Facebook.CallsDuring(func() {
				e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+refs[5]+"/check", nil)
			}); calls != 0 {
				t.Errorf("after five failures a check makes %d calls", calls)
			}
			e.CheckHealthy(refs[5:])
			e.Clock.Advance(enginetest.Day)
			e.MustSweep()
			for range 3 {
				e.Clock.Advance(time.Minute)
				if calls := e.Facebook.CallsDuring(e.MustSweep); calls != 1 {
					t.Errorf("a tick made %d calls, and not one probe", calls)
				}
			}
			clear()
			e.After(time.Minute)
			e.Must(logical.UpdateOperation, "connections/"+refs[5]+"/check", nil)
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
			e := enginetest.Connected(t, authpipetest.Options{})
			for range 12 {
				clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &fault})
				if _, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil); err == nil {
					t.Fatal("the refresh succeeds")
				}
				clear()
			}
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
		})
	}
}

func TestChecksRunInBatches(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(119) // and the installation
	e.Facebook.RemoveApp(enginetest.AppID, "person-007")
	e.Clock.Advance(enginetest.Day)
	if calls := e.Facebook.CallsDuring(e.MustSweep); calls != 3 {
		t.Errorf("120 checks took %d calls, want 3", calls)
	}
	for i, ref := range refs {
		c := e.Read("connections/" + ref)
		if revoked := i == 7; revoked != (c["status"] == "revoked") || !revoked && c["checked_at"] == c["connected_at"] {
			t.Errorf("%s reads %v", ref, c)
		}
	}
	e.Clock.Advance(enginetest.Day)
	if e.MustSweep(); e.Read("connections/" + refs[0])["checked_at"] != e.Clock.Now().Format(time.RFC3339) {
		t.Error("the day after, nothing is checked")
	}
}

// TestPauseEndsWhenClockIsCorrected has the clock stand a day ahead
// when the provider asks for a pause.
func TestPauseEndsWhenClockIsCorrected(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(enginetest.Day)
	clear := e.Facebook.Fail(enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	clear()
	e.Clock.Advance(-enginetest.Day)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
}

// TestExpiringTokenIsRefreshedByNextSweep has the provider shorten the
// life of a token to minutes.
func TestExpiringTokenIsRefreshedByNextSweep(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(2 * enginetest.Day)
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	e.Facebook.SetTokenExpiry(token, e.Clock.Now().Add(4*time.Minute))
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.After(time.Minute)
	if c := e.Read("creds/" + enginetest.Uma); c["access_token"] == token || c["expires_at"] != e.Clock.Now().Add(authpipetest.LongLife).Format(time.RFC3339) {
		t.Errorf("what is served is %v", c)
	}
}
