package refresh_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// behave has Facebook answer as the behavior says, until stop.
func behave(e *enginetest.Engine, name string) (stop func()) {
	e.T.Helper()
	stop, err := e.Facebook.Behave(name)
	if err != nil {
		e.T.Fatal(err)
	}
	return stop
}

// TestOutageEndsNoCredential: for a moment Facebook calls all tokens dead, and gives
// no reason (C14).
func TestOutageEndsNoCredential(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := append(e.ConnectMany(60), enginetest.Installation)
	e.Clock.Advance(enginetest.Day)
	stop := behave(e, "bad-hour")
	e.MustSweep()
	stop()
	e.After(2 * time.Minute)
	for _, ref := range refs {
		e.CheckStatus("active", ref)
		e.Read("creds/" + ref)
	}
	if found, _ := e.Events(0); strings.Contains(strings.Join(found, "\n"), "needs_reauth") {
		t.Errorf("events are %v", found)
	}
}

// TestMissingPermissionEndsNoCredential: it arrives as code 200, as code 100 (C7) and
// as code 190 (C15).
func TestMissingPermissionEndsNoCredential(t *testing.T) {
	for name, act := range map[string]func(*enginetest.Engine){
		"as 403 with code 200": func(e *enginetest.Engine) { behave(e, "permission-as-403") },
		"as 400 with code 100": func(e *enginetest.Engine) { behave(e, "permission-as-100") },
		"as 400 with code 190": func(e *enginetest.Engine) { behave(e, "permission-as-190") },
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Install()
			act(e)
			text := e.Refused("needs_reauth", 409, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
			if !strings.Contains(text, "ermission") {
				t.Errorf("the answer does not name the permission: %s", text)
			}
			e.CheckStatus("active", enginetest.Installation)
			e.CheckHealthy([]string{enginetest.Installation})
		})
	}
}

// TestSubcodeInCodeFieldIsRead: codes 450 to 468 are the subcodes of 190 (C8).
func TestSubcodeInCodeFieldIsRead(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	behave(e, "session-code")
	e.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	e.CheckStatus("needs_reauth", enginetest.Uma)
	if last := e.Read("connections/" + enginetest.Uma)["last_error"].(map[string]any); last["code"] != 459 || last["concerns"] != "token" || last["remedy"] != "person" {
		t.Errorf("last_error is %v", last)
	}
}

// TestRefusedProofMarksNoCredential, however the text spells it (C9).
func TestRefusedProofMarksNoCredential(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	behave(e, "proof-refused")
	e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.CheckHealthy([]string{enginetest.Uma})
	if state := e.ProviderHealth()["state"]; state != "misconfigured" {
		t.Errorf("the provider is %v", state)
	}
}

// TestOddInspectionsAreRead: ids may be numbers, issued_at absent, and a
// granular scope without targets, which means all (C19).
func TestOddInspectionsAreRead(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, name := range []string{"ids-as-numbers", "issued-at-left-out", "targets-left-out"} {
		behave(e, name)
	}
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo", Pages: []string{"777"}})
	e.Read("creds/" + enginetest.Page777)
	for _, ref := range []string{enginetest.Installation, enginetest.Page777, enginetest.Uma, enginetest.Udo} {
		e.Must(logical.UpdateOperation, "connections/"+ref+"/check", nil)
		e.CheckStatus("active", ref)
	}
	if got := e.Read("creds/" + enginetest.Installation); got["granular_scopes"] != nil {
		t.Errorf("granular_scopes is %v", got["granular_scopes"])
	}
}

// TestRealLimitsPauseTheirOwners goes by the behaviors of the control page (C11).
func TestRealLimitsPauseTheirOwners(t *testing.T) {
	for name, state := range map[string]string{"app-limit": "throttled", "person-limit": "ok", "page-limit": "ok", "business-limit": "ok"} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			stop := behave(e, name)
			e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			stop()
			if health := e.ProviderHealth(); health["state"] != state {
				t.Errorf("the provider is %v", health)
			}
			if _, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil); (err == nil) != (state == "ok") {
				t.Errorf("another account's refresh: %v", err)
			}
			e.CheckHealthy([]string{enginetest.Uma, enginetest.Installation})
			e.After(10 * time.Minute)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		})
	}
}

// TestBusinessInstallationIsNotified has Facebook's webhook say that a business has
// installed the app again, by which configuration, or changed what it shares (C19):
// the installation is checked, and nothing is believed.
func TestBusinessInstallationIsNotified(t *testing.T) {
	for field, value := range map[string]map[string]any{
		"business_integration_install": {"business_manager_id": enginetest.BusinessID, "tp_config_id": "31"},
		"business_integration_update":  {"business_manager_id": enginetest.BusinessID},
	} {
		t.Run(field, func(t *testing.T) {
			e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
			e.Install()
			e.Clock.Advance(time.Hour)
			before := e.Read("connections/" + enginetest.Installation)["checked_at"]
			e.Webhooks.Notify(map[string]any{"object": "application", "entry": []any{map[string]any{
				"id": enginetest.AppID, "time": e.Clock.Now().Unix(), "changes": []any{map[string]any{"field": field, "value": value}},
			}}})
			e.After(2 * time.Minute)
			if got := e.Read("connections/" + enginetest.Installation); got["status"] != "active" || got["checked_at"] == before {
				t.Errorf("the installation is %v, last checked at %v, as before", got["status"], got["checked_at"])
			}
		})
	}
}
