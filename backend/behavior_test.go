package backend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// behave has Facebook answer as the behavior says, until stop.
func (e *engine) behave(name string) (stop func()) {
	e.t.Helper()
	stop, err := e.fb.Behave(name)
	if err != nil {
		e.t.Fatal(err)
	}
	return stop
}

// TestBadHourEndsNoCredential: for a moment Facebook calls all tokens dead, and gives
// no reason (C14).
func TestBadHourEndsNoCredential(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := append(e.crowd(60), installation)
	e.clock.Advance(day)
	stop := e.behave("bad-hour")
	e.sweep()
	stop()
	e.after(2 * time.Minute)
	for _, ref := range refs {
		e.is("active", ref)
		e.read("creds/" + ref)
	}
	if found, _ := e.events(0); strings.Contains(strings.Join(found, "\n"), "needs_reauth") {
		t.Errorf("events are %v", found)
	}
}

// TestMissingPermissionEndsNoCredential: it arrives as code 200, as code 100 (C7) and
// as code 190 (C15).
func TestMissingPermissionEndsNoCredential(t *testing.T) {
	for name, act := range map[string]func(*engine){
		"as 403 with code 200": func(e *engine) { e.behave("permission-as-403") },
		"as 400 with code 100": func(e *engine) { e.behave("permission-as-100") },
		"as 400 with code 190": func(e *engine) { e.behave("permission-as-190") },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.install()
			act(e)
			text := e.refused("needs_reauth", 409, logical.ReadOperation, "creds/"+page777, nil)
			if !strings.Contains(text, "ermission") {
				t.Errorf("the answer does not name the permission: %s", text)
			}
			e.is("active", installation)
			e.untouched([]string{installation})
		})
	}
}

// TestSubcodeAsACodeIsRead: codes 450 to 468 are the subcodes of 190 (C8).
func TestSubcodeAsACodeIsRead(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.behave("session-code")
	e.refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	e.is("needs_reauth", uma)
	if last := e.read("connections/" + uma)["last_error"].(map[string]any); last["code"] != 459 || last["concerns"] != "token" || last["remedy"] != "person" {
		t.Errorf("last_error is %v", last)
	}
}

// TestProofThatIsRefusedIsTheClients, however the text spells it (C9).
func TestProofThatIsRefusedIsTheClients(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.behave("proof-refused")
	e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.untouched([]string{uma})
	if state := e.provider()["state"]; state != "misconfigured" {
		t.Errorf("the provider is %v", state)
	}
}

// TestOddFormsOfAnInspectionAreRead: ids may be numbers, issued_at absent, and a
// granular scope without targets, which means all (C19).
func TestOddFormsOfAnInspectionAreRead(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for _, name := range []string{"ids-as-numbers", "issued-at-left-out", "targets-left-out"} {
		e.behave(name)
	}
	e.connect(udo, "udo", authpipetest.Consent{User: "udo", Pages: []string{"777"}})
	e.read("creds/" + page777)
	for _, ref := range []string{installation, page777, uma, udo} {
		e.must(logical.UpdateOperation, "connections/"+ref+"/check", nil)
		e.is("active", ref)
	}
	if got := e.read("creds/" + installation); got["granular_scopes"] != nil {
		t.Errorf("granular_scopes is %v", got["granular_scopes"])
	}
}

// TestLimitsAsTheyComePauseTheirOwners goes by the behaviors of the control page (C11).
func TestLimitsAsTheyComePauseTheirOwners(t *testing.T) {
	for name, state := range map[string]string{"app-limit": "throttled", "person-limit": "ok", "page-limit": "ok", "business-limit": "ok"} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			stop := e.behave(name)
			e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
			stop()
			if health := e.provider(); health["state"] != state {
				t.Errorf("the provider is %v", health)
			}
			if _, err := e.do(logical.UpdateOperation, "connections/"+installation+"/refresh", nil); (err == nil) != (state == "ok") {
				t.Errorf("another account's refresh: %v", err)
			}
			e.untouched([]string{uma, installation})
			e.after(10 * time.Minute)
			e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
		})
	}
}

// TestInstallationOfABusinessIsTold has Facebook's webhook say that a business has
// installed the app again, by which configuration, or changed what it shares (C19):
// the installation is checked, and nothing is believed.
func TestInstallationOfABusinessIsTold(t *testing.T) {
	for field, value := range map[string]map[string]any{
		"business_integration_install": {"business_manager_id": businessID, "tp_config_id": "31"},
		"business_integration_update":  {"business_manager_id": businessID},
	} {
		t.Run(field, func(t *testing.T) {
			e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
			e.install()
			e.clock.Advance(time.Hour)
			before := e.read("connections/" + installation)["checked_at"]
			e.notified(map[string]any{"object": "application", "entry": []any{map[string]any{
				"id": appID, "time": e.clock.Now().Unix(), "changes": []any{map[string]any{"field": field, "value": value}},
			}}})
			e.after(2 * time.Minute)
			if got := e.read("connections/" + installation); got["status"] != "active" || got["checked_at"] == before {
				t.Errorf("the installation is %v, last checked at %v, as before", got["status"], got["checked_at"])
			}
		})
	}
}
