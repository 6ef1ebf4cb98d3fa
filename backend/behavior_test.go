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
		"as 403 with code 200": func(e *engine) {
			e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Status: 403, Error: &authpipetest.GraphError{Code: 200, Message: "(#200) Requires pages_show_list permission"}})
		},
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

// TestOddFormsOfAnInspectionAreRead: ids may be numbers, and issued_at absent (C19).
func TestOddFormsOfAnInspectionAreRead(t *testing.T) {
	e := newEngine(t, authpipetest.Options{AppIDAsNumber: true, TargetIDsAsNumbers: true, PageTokenOmitsIssuedAt: true})
	e.install()
	e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
	e.read("creds/" + page777)
	e.must(logical.UpdateOperation, "connections/"+page777+"/check", nil)
	e.is("active", page777)
}
