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

// noReason is what Facebook answers in bad hours for good tokens, too (C14).
const noReason = `{"app_id":"123","type":"USER","is_valid":false,"scopes":[],"error":{"code":190,"message":"Error validating access token"}}`

// outcomesOf returns the events of a ref.
func (e *engine) outcomesOf(ref string) (types []string) {
	e.t.Helper()
	found, _ := e.events(0)
	for _, event := range found {
		if strings.HasSuffix(event, " "+ref) {
			types = append(types, strings.TrimSuffix(event, " "+ref))
		}
	}
	return types
}

func TestVerdictWithoutReasonIsConfirmedBeforeItIsBelieved(t *testing.T) {
	e := both(t, authpipetest.Options{})
	wrong := e.inspectedAs(noReason)
	text := e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	if again := e.clock.Now().Add(time.Minute).Format(time.RFC3339); !strings.Contains(text, again) {
		t.Errorf("the answer does not say that it is asked again at %s: %s", again, text)
	}
	e.is("active", uma)
	if resp, err := e.do(logical.ReadOperation, "creds/"+uma, nil); err != nil || len(resp.Warnings) != 1 {
		t.Errorf("it is served as %v, %v", resp, err)
	}
	wrong()
	e.after(time.Minute)
	e.is("active", uma)
	c := e.read("connections/" + uma)
	if c["consecutive_failures"] != 0 || c["checked_at"] != e.clock.Now().Format(time.RFC3339) {
		t.Errorf("a minute later it reads %v", c)
	}
	if events := e.outcomesOf(uma); slices.Contains(events, "connection.needs_reauth") {
		t.Errorf("events are %v", events)
	}
}

func TestVerdictWithoutReasonIsBelievedAfterAMinute(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.inspectedAs(noReason)
	for range 5 { // a client that asks again and again confirms nothing
		e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	}
	e.is("active", uma)
	e.after(time.Minute)
	e.is("needs_reauth", uma)
	e.refused("needs_reauth", 409, logical.ReadOperation, "creds/"+uma, nil)
	want := []string{"connection.created", "connection.refresh_failed", "connection.needs_reauth"}
	if events := e.outcomesOf(uma); !slices.Equal(events, want) {
		t.Errorf("events are %v, want %v", events, want)
	}
}

func TestVerdictWithReasonIsBelievedAtOnce(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.KillToken(e.token(uma), 190, 460, "The session has been invalidated because the user changed their password")
	e.refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.is("needs_reauth", uma)
}

// TestExpiryThatContradictsTheLastCheckIsConfirmed: the last check said that the
// token lives for weeks.
func TestExpiryThatContradictsTheLastCheckIsConfirmed(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.KillToken(e.token(uma), 190, 463, "Session has expired")
	e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.is("active", uma)
	e.after(time.Minute)
	e.is("needs_reauth", uma)
}

// TestRefusedRefreshOfALivingTokenEndsAsFailed: the token endpoint calls the token
// dead and debug_token does not. It is served to its end, and no longer.
func TestRefusedRefreshOfALivingTokenEndsAsFailed(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 190, Message: "Error validating access token"}})
	end := e.expiry(uma)
	for e.clock.Now().Before(end.Add(-7 * time.Hour)) {
		e.after(6 * time.Hour)
		e.is("active", uma)
	}
	e.after(8 * time.Hour)
	e.after(6 * time.Hour)
	e.is("failed", uma)
	events := e.outcomesOf(uma)
	for _, want := range []string{"connection.refresh_failed", "connection.expiring", "connection.failed"} {
		if !slices.Contains(events, want) {
			t.Errorf("events are %v, want %s among them", events, want)
		}
	}
}

// TestDeadCredentialIsAskedAboutForAMonth counts the questions, and has the token
// live again before one of them.
func TestDeadCredentialIsAskedAboutForAMonth(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	clear := e.inspectedAs(noReason)
	e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	died := e.clock.Now()
	e.after(time.Minute)
	e.is("needs_reauth", uma)
	var asked []time.Duration
	for e.clock.Now().Before(died.Add(31 * day)) {
		if e.calls(func() { e.after(30 * time.Minute) }) > 0 {
			asked = append(asked, e.clock.Now().Sub(died).Truncate(time.Hour))
		}
	}
	if want := []time.Duration{time.Hour, 6 * time.Hour, day, 3 * day, 10 * day, 17 * day, 24 * day}; !slices.Equal(asked, want) {
		t.Errorf("it was asked about after %v, want %v", asked, want)
	}
	if history := e.read("connections/" + uma)["history"].([]map[string]any); len(history) != 3 {
		t.Errorf("the history is %v: each answer is not an outcome of its own", history)
	}
	e.checkInvariants("dead for a month")
	clear()
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.is("active", uma)
}

func TestDeadCredentialThatLivesAgainRecoversByItself(t *testing.T) {
	e := both(t, authpipetest.Options{})
	clear := e.inspectedAs(noReason)
	e.after(day)
	e.after(time.Minute)
	e.is("needs_reauth", uma)
	clear()
	e.after(time.Hour)
	e.is("active", uma)
	e.read("creds/" + uma)
	if events := e.outcomesOf(uma); events[len(events)-1] != "connection.recovered" {
		t.Errorf("events are %v", events)
	}
	if c := e.read("connections/" + uma); c["next_due_at"] == nil || c["last_error"] != nil {
		t.Errorf("it reads %v", c)
	}
	e.checkInvariants("recovered")
}

// TestDeadCredentialIsAskedAboutAfterAnOutage: the question could not be asked at
// its time.
func TestDeadCredentialIsAskedAboutAfterAnOutage(t *testing.T) {
	e := both(t, authpipetest.Options{})
	clear := e.inspectedAs(noReason)
	e.after(day)
	e.after(time.Minute)
	e.is("needs_reauth", uma)
	clear()
	back := e.fb.Fail(authpipetest.Fault{Status: 503, Body: "<html>"})
	for range 6 {
		e.after(30 * time.Minute)
	}
	e.is("needs_reauth", uma)
	back()
	for range 6 {
		e.after(30 * time.Minute)
	}
	e.is("active", uma)
}

// TestExpiredTokenIsNotAskedAboutAgain: no answer could bring it back.
func TestExpiredTokenIsNotAskedAboutAgain(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	token := e.token(uma)
	e.fb.SetTokenExpiry(token, e.clock.Now().Add(2*time.Hour))
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.fb.KillToken(token, 190, 460, "changed")
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.is("needs_reauth", uma)
	if calls := e.calls(func() { e.after(90 * time.Minute) }); calls == 0 {
		t.Error("it is not asked about while it may live")
	}
	e.after(2 * time.Hour)
	if c := e.read("connections/" + uma); c["next_due_at"] != nil || c["status"] != "needs_reauth" {
		t.Errorf("it reads %v", c)
	}
}

func TestLostPageRoleEndsThePage(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.read("creds/" + page777)
	e.fb.RemovePageRole("777", "ada")
	e.refused("revoked", 409, logical.UpdateOperation, "connections/"+page777+"/check", nil)
	if _, err := e.do(logical.ReadOperation, "creds/"+page777, nil); err == nil {
		t.Error("the page is served after a check has found that its role is lost")
	}
	e.is("active", installation)
}

// TestRevokedGrantIsFoundInEveryTenant: one tenant's check finds that the person
// has removed the app, and the next sweep finds it for the others.
func TestRevokedGrantIsFoundInEveryTenant(t *testing.T) {
	e := both(t, authpipetest.Options{})
	elsewhere := "org_globex/facebook/installation"
	e.connect(elsewhere, "boss", authpipetest.Consent{User: "uma"})
	e.fb.RemoveApp(appID, "uma")
	e.refused("revoked", 409, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.after(time.Minute)
	e.is("revoked", elsewhere)
	e.is("active", installation)
}

// TestClientRefusedForOneTokenEndsAsFailed: the token endpoint refuses the client
// for this token, and a probe of the client succeeds. Nothing would tell of it
// otherwise, and the token would end as active.
func TestClientRefusedForOneTokenEndsAsFailed(t *testing.T) {
	for _, g := range []authpipetest.GraphError{
		{Code: 3, Message: "Capability"}, {Code: 101, Message: "Error validating application."}, {Code: 1, Message: "Error validating client secret."},
	} {
		t.Run(fmt.Sprint(g.Code), func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &g})
			end := e.expiry(uma)
			for e.clock.Now().Before(end.Add(day)) {
				e.after(6 * time.Hour)
			}
			e.is("failed", uma)
			if last, ok := e.read("connections/" + uma)["last_error"].(map[string]any); !ok || last["class"] != "misconfigured" || last["remedy"] == "person" {
				t.Errorf("last_error is %v", last)
			}
			events := e.outcomesOf(uma)
			for _, want := range []string{"connection.refresh_failed", "connection.expiring", "connection.failed"} {
				if !slices.Contains(events, want) {
					t.Errorf("events are %v, want %s among them", events, want)
				}
			}
			if calls := e.calls(func() {
				for range 60 {
					e.after(time.Minute)
				}
			}); calls > 10 {
				t.Errorf("an hour later it still costs %d calls an hour", calls)
			}
		})
	}
}

// TestUnconfirmedVerdictIsNotAskedAboutEachMinute: the answers that follow say
// neither that the token lives nor that it is dead.
func TestUnconfirmedVerdictIsNotAskedAboutEachMinute(t *testing.T) {
	e := both(t, authpipetest.Options{})
	clear := e.inspectedAs(noReason)
	e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	clear()
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Code: 368, Message: "temporarily blocked"}})
	if calls := e.calls(func() {
		for range 12 * 60 {
			e.after(time.Minute)
		}
	}); calls > 30 {
		t.Errorf("half a day costs %d calls", calls)
	}
	e.is("active", uma)
}

// TestVerdictOfAClockThatWasAheadIsConfirmed after the clock was set right.
func TestVerdictOfAClockThatWasAheadIsConfirmed(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.inspectedAs(noReason)
	e.clock.Advance(20 * day)
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.clock.Advance(-20 * day)
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.clock.Advance(2 * time.Minute)
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.is("needs_reauth", uma)
}

// TestDataAccessThatIsOverStaysOver: debug_token calls the token valid all the
// while, and must not undo what a call has found (F22).
func TestDataAccessThatIsOverStaysOver(t *testing.T) {
	e := both(t, authpipetest.Options{})
	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 190, Subcode: 493, Message: "not used for 90 days"}})
	e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.after(day)
	if got := e.authType(uma, nil); got != "reauthorize" {
		t.Errorf("the next connect asks for %q", got)
	}
	if resp, err := e.do(logical.ReadOperation, "creds/"+uma, nil); err != nil || !strings.Contains(strings.Join(resp.Warnings, "\n"), "access to the person's data") {
		t.Errorf("it is served with %v, %v", resp, err)
	}
	clear()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	if got := e.authType(uma, nil); got == "reauthorize" {
		t.Error("after connecting again it is still over")
	}
}

// TestPageWhoseRoleIsLostIsNotServedDuringAnOutage: the list of pages still names
// it, with the same token, and debug_token fails.
func TestPageWhoseRoleIsLostIsNotServedDuringAnOutage(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.read("creds/" + page777)
	lost := e.inspectedAs(`{"app_id":"123","type":"PAGE","is_valid":false,"scopes":[],"error":{"code":190,"subcode":492,"message":"No page role"}}`)
	e.refused("revoked", 409, logical.UpdateOperation, "connections/"+page777+"/check", nil)
	lost()
	back := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Status: 500, Error: &authpipetest.GraphError{Code: 2}})
	for range 3 {
		e.refused("revoked", 409, logical.ReadOperation, "creds/"+page777, nil)
		e.clock.Advance(2 * time.Minute)
	}
	back() // and the role is back
	e.after(2 * time.Minute)
	e.read("creds/" + page777)
}

// TestConnectInABadHourIsCompletedLater: the code is spent, and the token that it
// was exchanged for is called dead without a reason (C14).
func TestConnectInABadHourIsCompletedLater(t *testing.T) {
	e, s, _, code := authorized(t)
	clear := e.inspectedAs(noReason)
	proof := map[string]any{"actor": "admin", "connect_code": code}
	e.refused("unavailable", 502, logical.UpdateOperation, s.path+"/complete", proof)
	if got := e.read(s.path)["status"]; got != "authorized" {
		t.Errorf("the session is %v", got)
	}
	clear()
	exchanges := e.fb.Count(authpipetest.EndpointAccessToken)
	e.must(logical.UpdateOperation, s.path+"/complete", proof)
	e.read("creds/" + installation)
	if got := e.fb.Count(authpipetest.EndpointAccessToken); got != exchanges {
		t.Error("the code is exchanged twice")
	}
}
