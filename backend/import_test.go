package backend_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// obtained is a token that another program got from the provider for person.
func (e *engine) obtained(person string) string {
	e.t.Helper()
	const elsewhere = "org_elsewhere/facebook/installation"
	e.connect(elsewhere, "boss", authpipetest.Consent{User: person}, "allow_account_change", "true")
	token := e.read("creds/" + elsewhere)["access_token"].(string)
	e.must(logical.DeleteOperation, "creds/"+elsewhere, map[string]any{"revoke": false})
	return token
}

func TestATokenFromElsewhereIsImported(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	token := e.obtained("ada")
	e.must(logical.UpdateOperation, "creds/"+installation, map[string]any{"access_token": token, "actor": "admin"})
	c := e.read("creds/" + installation)
	if c["access_token"] != token || c["provider_user_id"] != e.fb.ScopedID(appID, "ada") || c["ttl"] == nil {
		t.Errorf("served is %v", c)
	}
	connection := e.read("connections/" + installation)
	want := map[string]any{"actor": "admin", "entity_id": "entity-1", "display_name": "token-app"}
	if diff := cmp.Diff(want, connection["connected_by"]); diff != "" {
		t.Error(diff)
	}
	if history := connection["history"].([]map[string]any); len(history) != 1 || history[0]["event"] != "imported" {
		t.Errorf("history is %v", history)
	}
	e.checkInvariants("after an import")
	e.refused("account_mismatch", 409, logical.UpdateOperation, "creds/"+installation, map[string]any{"access_token": e.obtained("udo")})
	e.must(logical.UpdateOperation, "creds/"+installation, map[string]any{"access_token": e.obtained("udo"), "allow_account_change": true})
}

func TestWhatCannotBeImported(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.refused("installation_required", 409, logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": "EAA"})
	e.install()
	for name, row := range map[string]struct {
		token  string
		code   string
		status int
	}{
		"no token":                 {"", "invalid_request", 400},
		"a token with a line feed": {"EAA\nB", "invalid_request", 400},
		"a token that is too long": {strings.Repeat("A", 5000), "invalid_request", 400},
		"no token of Facebook's":   {"EAAnever", "needs_reauth", 409},
		"the app's own token":      {appID + "|" + appSecret, "invalid_request", 400},
	} {
		_, err := e.do(logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": row.token})
		if err == nil {
			t.Errorf("imported: %s", name)
			continue
		}
		checkCode(t, err, row.code, row.status)
		if len(row.token) > 5 && len(row.token) < 100 && strings.Contains(err.Error(), row.token) {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
	token := e.obtained("uma")
	for name, prepare := range map[string]func() (undo func()){
		"another app's": func() func() {
			e.fb.AddApp(authpipetest.App{ID: "124", Secret: appSecret})
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "124", "force": true})
			return func() {
				e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": appID, "force": true})
			}
		},
		"one that the provider cannot be asked about": func() func() {
			return e.fb.Fail(authpipetest.Fault{Reset: true})
		},
	} {
		undo := prepare()
		if _, err := e.do(logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": token}); err == nil {
			t.Errorf("imported: %s", name)
		}
		undo()
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
	}
	e.must(logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": token})
}

// TestWhatComesFromAFileHasALinesEnd has it no part of a token or a secret.
func TestWhatComesFromAFileHasALinesEnd(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": appSecret + "\n", "client_id": " " + appID + "\r\n"})
	token := e.obtained("ada")
	e.must(logical.UpdateOperation, "creds/"+installation, map[string]any{"access_token": token + "\n"})
	if got := e.served(installation); got != token {
		t.Errorf("served is %q", got)
	}
}
