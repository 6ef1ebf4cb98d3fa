package flow_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestTokenFromElsewhereIsImported(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	token := e.ObtainToken("ada")
	e.Must(logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": token, "actor": "admin"})
	c := e.Read("creds/" + enginetest.Installation)
	if c["access_token"] != token || c["provider_user_id"] != e.Facebook.ScopedID(enginetest.AppID, "ada") || c["ttl"] == nil {
		t.Errorf("served is %v", c)
	}
	connection := e.Read("connections/" + enginetest.Installation)
	want := map[string]any{"actor": "admin", "entity_id": "entity-1", "display_name": "token-app"}
	if diff := cmp.Diff(want, connection["connected_by"]); diff != "" {
		t.Error(diff)
	}
	if history := connection["history"].([]map[string]any); len(history) != 1 || history[0]["event"] != "imported" {
		t.Errorf("history is %v", history)
	}
	e.CheckInvariants("after an import")
	e.Refused("account_mismatch", 409, logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": e.ObtainToken("udo")})
	e.Must(logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": e.ObtainToken("udo"), "allow_account_change": true})
}

func TestImportRefusesBadTokens(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Refused("installation_required", 409, logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": "EAA"})
	e.Install()
	for name, row := range map[string]struct {
		token  string
		code   string
		status int
	}{
		"no token":                 {"", "invalid_request", 400},
		"a token with a line feed": {"EAA\nB", "invalid_request", 400},
		"a token that is too long": {strings.Repeat("A", 5000), "invalid_request", 400},
		"no token of Facebook's":   {"EAAnever", "invalid_request", 400},
		"the app's own token":      {enginetest.AppID + "|" + enginetest.AppSecret, "invalid_request", 400},
	} {
		_, err := e.Do(logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": row.token})
		if err == nil {
			t.Errorf("imported: %s", name)
			continue
		}
		enginetest.CheckCode(t, err, row.code, row.status)
		if len(row.token) > 5 && len(row.token) < 100 && strings.Contains(err.Error(), row.token) {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
	token := e.ObtainToken("uma")
	for name, prepare := range map[string]func() (undo func()){
		"another app's": func() func() {
			e.Facebook.AddApp(authpipetest.App{ID: "124", Secret: enginetest.AppSecret})
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "124", "force": true})
			return func() {
				e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": enginetest.AppID, "force": true})
			}
		},
		"one that the provider cannot be asked about": func() func() {
			return e.Facebook.Fail(authpipetest.Fault{Reset: true})
		},
	} {
		undo := prepare()
		if _, err := e.Do(logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": token}); err == nil {
			t.Errorf("imported: %s", name)
		}
		undo()
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	}
	e.Must(logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": token})
}

// TestImportTrimsLineEnd: a value from a file ends with a line's end, which is no part
// of a token or a secret.
func TestImportTrimsLineEnd(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.AppSecret + "\n", "client_id": " " + enginetest.AppID + "\r\n"})
	token := e.ObtainToken("ada")
	e.Must(logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": token + "\n"})
	if got := e.Token(enginetest.Installation); got != token {
		t.Errorf("served is %q", got)
	}
}

// TestRefusedImportNamesTokenError brings tokens that were changed
// on their way, that are another app's, and that are dead.
func TestRefusedImportNamesTokenError(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	token := e.ObtainToken("ada")
	e.Facebook.AddApp(authpipetest.App{ID: "124", Secret: "other-" + enginetest.AppSecret, RedirectURIs: []string{enginetest.MountURL + "/callback/facebook"}})
	dead := func(subcode int) func() {
		return e.Facebook.InspectAs(fmt.Sprintf(`{"app_id":"123","type":"USER","is_valid":false,"error":{"code":190,"subcode":%d,"message":"Error validating access token"}}`, subcode))
	}
	for name, row := range map[string]struct {
		token   string
		prepare func() (undo func())
		code    string
		status  int
		says    string
	}{
		"a header":            {token: "Bearer " + token, code: "invalid_request", status: 400, says: `"Bearer"`},
		"a header's old word": {token: "OAuth " + token, code: "invalid_request", status: 400, says: `"Bearer"`},
		"quotes":              {token: `"` + token + `"`, code: "invalid_request", status: 400, says: "quotes"},
		"a quote at its end":  {token: token + `'`, code: "invalid_request", status: 400, says: "quotes"},
		"a line break":        {token: token[:20] + "\n" + token[20:], code: "invalid_request", status: 400, says: "white space"},
		"an ellipsis":         {token: token[:20] + "…", code: "invalid_request", status: 400, says: "cut"},
		"three dots":          {token: token[:20] + "...", code: "invalid_request", status: 400, says: "cut"},
		"its end is missing":  {token: token[:20], code: "invalid_request", status: 400, says: "cut, for it has 20 characters"},
		"its beginning is":    {token: token[3:], code: "invalid_request", status: 400, says: "does not begin with EAA"},
		"a letter is changed": {token: token + strings.Repeat("Z", 60), code: "invalid_request", status: 400, says: "cut or changed"},
		"Instagram's":         {token: "IGAA" + token, code: "invalid_request", status: 400, says: "Instagram"},
		"from a URL":          {token: token + "%3D", code: "invalid_request", status: 400, says: "percent"},
		"another app's": {token: token, prepare: func() func() {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "124", "client_secret": "other-" + enginetest.AppSecret, "force": true})
			return func() {
				e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": enginetest.AppID, "client_secret": enginetest.AppSecret, "force": true})
			}
		}, code: "invalid_request", status: 400, says: "another app's"},
		"expired":             {token: token, prepare: func() func() { return dead(463) }, code: "needs_reauth", status: 409, says: "it is dead: it has expired"},
		"a changed password":  {token: token, prepare: func() func() { return dead(460) }, code: "needs_reauth", status: 409, says: "invalidated: the person changed their password"},
		"a removed app":       {token: token, prepare: func() func() { return dead(458) }, code: "revoked", status: 409, says: "the person has removed the app"},
		"dead without reason": {token: token, prepare: func() func() { return dead(0) }, code: "needs_reauth", status: 409, says: "Facebook does not say why"},
		"an outage": {token: token, prepare: func() func() {
			return e.Facebook.Fail(authpipetest.Fault{Status: 500, Error: &authpipetest.GraphError{Code: 2, Message: "Service temporarily unavailable"}})
		}, code: "unavailable", status: 502, says: "try again"},
	} {
		undo := func() {}
		if row.prepare != nil {
			undo = row.prepare()
		}
		text := e.Refused(row.code, row.status, logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": row.token})
		undo()
		if !strings.Contains(text, row.says) {
			t.Errorf("%s: %s", name, text)
		}
		if strings.Contains(text, token[3:20]) || strings.Contains(text, enginetest.AppSecret) {
			t.Errorf("%s: the error shows the token or the secret: %s", name, text)
		}
	}
	e.Must(logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": token})
}
