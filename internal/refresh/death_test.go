package refresh_test

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

// noReason is what Facebook answers in bad hours for good tokens, too (C14).
const noReason = `{"app_id":"123","type":"USER","is_valid":false,"scopes":[],"error":{"code":190,"message":"Error validating access token"}}`

func TestVerdictWithoutReasonIsConfirmed(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	wrong := e.Facebook.InspectAs(noReason)
	text := e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	if again := e.Clock.Now().Add(time.Minute).Format(time.RFC3339); !strings.Contains(text, again) {
		t.Errorf("the answer does not say that it is asked again at %s: %s", again, text)
	}
	e.CheckStatus("active", enginetest.Uma)
	if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err != nil || len(resp.Warnings) != 1 {
		t.Errorf("it is served as %v, %v", resp, err)
	}
	wrong()
	e.After(time.Minute)
	e.CheckStatus("active", enginetest.Uma)
	c := e.Read("connections/" + enginetest.Uma)
	if c["consecutive_failures"] != 0 || c["checked_at"] != e.Clock.Now().Format(time.RFC3339) {
		t.Errorf("a minute later it reads %v", c)
	}
	if events := e.EventsOf(enginetest.Uma); slices.Contains(events, "connection.needs_reauth") {
		t.Errorf("events are %v", events)
	}
}

func TestVerdictWithoutReasonAppliesAfterAMinute(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.InspectAs(noReason)
	for range 5 { // a client that asks again and again confirms nothing
		e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	}
	e.CheckStatus("active", enginetest.Uma)
	e.After(time.Minute)
	e.CheckStatus("needs_reauth", enginetest.Uma)
	e.Refused("needs_reauth", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	want := []string{"connection.created", "connection.refresh_failed", "connection.needs_reauth"}
	if events := e.EventsOf(enginetest.Uma); !slices.Equal(events, want) {
		t.Errorf("events are %v, want %v", events, want)
	}
}

func TestVerdictWithReasonAppliesAtOnce(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.KillToken(e.CheckedToken(enginetest.Uma), 190, 460, "The session has been invalidated because the user changed their password")
	e.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.CheckStatus("needs_reauth", enginetest.Uma)
}

// TestExpiryThatContradictsTheLastCheckIsConfirmed: the last check said that the
// token lives for weeks.
func TestExpiryThatContradictsTheLastCheckIsConfirmed(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.KillToken(e.CheckedToken(enginetest.Uma), 190, 463, "Session has expired")
	e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.CheckStatus("active", enginetest.Uma)
	e.After(time.Minute)
	e.CheckStatus("needs_reauth", enginetest.Uma)
}

// TestRefusedRefreshOfALivingTokenEndsAsFailed: the token endpoint calls the token
// dead and debug_token does not. It is served to its end, and no longer.
func TestRefusedRefreshOfALivingTokenEndsAsFailed(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 190, Message: "Error validating access token"}})
	end := e.Expiry(enginetest.Uma)
	for e.Clock.Now().Before(end.Add(-7 * time.Hour)) {
		e.After(6 * time.Hour)
		e.CheckStatus("active", enginetest.Uma)
	}
	e.After(8 * time.Hour)
	e.After(6 * time.Hour)
	e.CheckStatus("failed", enginetest.Uma)
	events := e.EventsOf(enginetest.Uma)
	for _, want := range []string{"connection.refresh_failed", "connection.expiring", "connection.failed"} {
		if !slices.Contains(events, want) {
			t.Errorf("events are %v, want %s among them", events, want)
		}
	}
}

// TestDeadCredentialIsCheckedForAMonth counts the questions, and has the token
// live again before one of them.
func TestDeadCredentialIsCheckedForAMonth(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	clear := e.Facebook.InspectAs(noReason)
	e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	died := e.Clock.Now()
	e.After(time.Minute)
	e.CheckStatus("needs_reauth", enginetest.Uma)
	var asked []time.Duration
	for e.Clock.Now().Before(died.Add(31 * enginetest.Day)) {
		if e.Facebook.CallsDuring(func() { e.After(30 * time.Minute) }) > 0 {
			asked = append(asked, e.Clock.Now().Sub(died).Truncate(time.Hour))
		}
	}
	if want := []time.Duration{time.Hour, 6 * time.Hour, enginetest.Day, 3 * enginetest.Day, 10 * enginetest.Day, 17 * enginetest.Day, 24 * enginetest.Day}; !slices.Equal(asked, want) {
		t.Errorf("it was asked about after %v, want %v", asked, want)
	}
	if history := e.Read("connections/" + enginetest.Uma)["history"].([]map[string]any); len(history) != 3 {
		t.Errorf("the history is %v: each answer is not an outcome of its own", history)
	}
	e.CheckInvariants("dead for a month")
	clear()
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.CheckStatus("active", enginetest.Uma)
}

func TestDeadCredentialRecovers(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	clear := e.Facebook.InspectAs(noReason)
	e.After(enginetest.Day)
	e.After(time.Minute)
	e.CheckStatus("needs_reauth", enginetest.Uma)
	clear()
	e.After(time.Hour)
	e.CheckStatus("active", enginetest.Uma)
	e.Read("creds/" + enginetest.Uma)
	if events := e.EventsOf(enginetest.Uma); events[len(events)-1] != "connection.recovered" {
		t.Errorf("events are %v", events)
	}
	if c := e.Read("connections/" + enginetest.Uma); c["next_due_at"] == nil || c["last_error"] != nil {
		t.Errorf("it reads %v", c)
	}
	e.CheckInvariants("recovered")
}

// TestDeadCredentialIsCheckedAfterOutage: the question could not be asked at
// its time.
func TestDeadCredentialIsCheckedAfterOutage(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	clear := e.Facebook.InspectAs(noReason)
	e.After(enginetest.Day)
	e.After(time.Minute)
	e.CheckStatus("needs_reauth", enginetest.Uma)
	clear()
	back := e.Facebook.Fail(authpipetest.Fault{Status: 503, Body: "<html>"})
	for range 6 {
		e.After(30 * time.Minute)
	}
	e.CheckStatus("needs_reauth", enginetest.Uma)
	back()
	for range 6 {
		e.After(30 * time.Minute)
	}
	e.CheckStatus("active", enginetest.Uma)
}

// TestExpiredTokenIsNotChecked: no answer could bring it back.
func TestExpiredTokenIsNotChecked(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	token := e.CheckedToken(enginetest.Uma)
	e.Facebook.SetTokenExpiry(token, e.Clock.Now().Add(2*time.Hour))
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Facebook.KillToken(token, 190, 460, "changed")
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.CheckStatus("needs_reauth", enginetest.Uma)
	if calls := e.Facebook.CallsDuring(func() { e.After(90 * time.Minute) }); calls == 0 {
		t.Error("it is not asked about while it may live")
	}
	e.After(2 * time.Hour)
	if c := e.Read("connections/" + enginetest.Uma); c["next_due_at"] != nil || c["status"] != "needs_reauth" {
		t.Errorf("it reads %v", c)
	}
}

func TestLostPageRoleEndsThePage(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Read("creds/" + enginetest.Page777)
	e.Facebook.RemovePageRole("777", "ada")
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Page777+"/check", nil)
	if _, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil); err == nil {
		t.Error("the page is served after a check has found that its role is lost")
	}
	e.CheckStatus("active", enginetest.Installation)
}

// TestRevokedGrantIsFoundInEveryTenant: one tenant's check finds that the person
// has removed the app, and the next sweep finds it for the others.
func TestRevokedGrantIsFoundInEveryTenant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	elsewhere := "org_globex/facebook/installation"
	e.Connect(elsewhere, "boss", authpipetest.Consent{User: "uma"})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.After(time.Minute)
	e.CheckStatus("revoked", elsewhere)
	e.CheckStatus("active", enginetest.Installation)
}

// TestClientRefusedForOneTokenEndsAsFailed: the token endpoint refuses the client
// for this token, and a probe of the client succeeds. Otherwise nothing would show it, and
// the token would end as active.
func TestClientRefusedForOneTokenEndsAsFailed(t *testing.T) {
	for _, g := range []authpipetest.GraphError{
		{Code: 3, Message: "Capability"}, {Code: 101, Message: "Error validating application."}, {Code: 1, Message: "Error validating client secret."},
	} {
		t.Run(fmt.Sprint(g.Code), func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &g})
			end := e.Expiry(enginetest.Uma)
			for e.Clock.Now().Before(end.Add(enginetest.Day)) {
				e.After(6 * time.Hour)
			}
			e.CheckStatus("failed", enginetest.Uma)
			if last, ok := e.Read("connections/" + enginetest.Uma)["last_error"].(map[string]any); !ok || last["class"] != "misconfigured" || last["remedy"] == "person" {
				t.Errorf("last_error is %v", last)
			}
			events := e.EventsOf(enginetest.Uma)
			for _, want := range []string{"connection.refresh_failed", "connection.expiring", "connection.failed"} {
				if !slices.Contains(events, want) {
					t.Errorf("events are %v, want %s among them", events, want)
				}
			}
			if calls := e.Facebook.CallsDuring(func() {
				for range 60 {
					e.After(time.Minute)
				}
			}); calls > 10 {
				t.Errorf("an hour later it still costs %d calls an hour", calls)
			}
		})
	}
}

// TestUnconfirmedVerdictIsNotCheckedEachMinute: the answers that follow say
// neither that the token lives nor that it is dead.
func TestUnconfirmedVerdictIsNotCheckedEachMinute(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	clear := e.Facebook.InspectAs(noReason)
	e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	clear()
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Code: 368, Message: "temporarily blocked"}})
	if calls := e.Facebook.CallsDuring(func() {
		for range 12 * 60 {
			e.After(time.Minute)
		}
	}); calls > 30 {
		t.Errorf("half a day costs %d calls", calls)
	}
	e.CheckStatus("active", enginetest.Uma)
}

// TestVerdictOfAClockThatWasAheadIsConfirmed after the clock was set right.
func TestVerdictOfAClockThatWasAheadIsConfirmed(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.InspectAs(noReason)
	e.Clock.Advance(20 * enginetest.Day)
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Clock.Advance(-20 * enginetest.Day)
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Clock.Advance(2 * time.Minute)
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.CheckStatus("needs_reauth", enginetest.Uma)
}

// TestDataAccessThatIsOverStaysOver: debug_token calls the token valid all the
// while, and must not undo what a call has found (F22).
func TestDataAccessThatIsOverStaysOver(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 190, Subcode: 493, Message: "not used for 90 days"}})
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.After(enginetest.Day)
	if got := authType(e, enginetest.Uma, nil); got != "reauthorize" {
		t.Errorf("the next connect asks for %q", got)
	}
	if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err != nil || !strings.Contains(strings.Join(resp.Warnings, "\n"), "access to the person's data") {
		t.Errorf("it is served with %v, %v", resp, err)
	}
	clear()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	if got := authType(e, enginetest.Uma, nil); got == "reauthorize" {
		t.Error("after connecting again it is still over")
	}
}

// TestPageWhoseRoleIsLostIsNotServedDuringAnOutage: the list of pages still names
// it, with the same token, and debug_token fails.
func TestPageWhoseRoleIsLostIsNotServedDuringAnOutage(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Read("creds/" + enginetest.Page777)
	lost := e.Facebook.InspectAs(`{"app_id":"123","type":"PAGE","is_valid":false,"scopes":[],"error":{"code":190,"subcode":492,"message":"No page role"}}`)
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Page777+"/check", nil)
	lost()
	back := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Status: 500, Error: &authpipetest.GraphError{Code: 2}})
	for range 3 {
		e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
		e.Clock.Advance(2 * time.Minute)
	}
	back() // and the role is back
	e.After(2 * time.Minute)
	e.Read("creds/" + enginetest.Page777)
}

// TestConnectDuringOutageIsCompletedLater: the code is spent, and the token that it
// was exchanged for is called dead without a reason (C14).
func TestConnectDuringOutageIsCompletedLater(t *testing.T) {
	e, s, _, code := enginetest.Authorized(t)
	clear := e.Facebook.InspectAs(noReason)
	proof := map[string]any{"actor": "admin", "connect_code": code}
	e.Refused("unavailable", 502, logical.UpdateOperation, s.Path+"/complete", proof)
	if got := e.Read(s.Path)["status"]; got != "authorized" {
		t.Errorf("the session is %v", got)
	}
	clear()
	exchanges := e.Facebook.Count(authpipetest.EndpointAccessToken)
	e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
	e.Read("creds/" + enginetest.Installation)
	if got := e.Facebook.Count(authpipetest.EndpointAccessToken); got != exchanges {
		t.Error("the code is exchanged twice")
	}
}
