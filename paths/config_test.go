package paths_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestConfigReadsBackWithoutSecret(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	want := map[string]any{
		"client_id":              enginetest.AppID,
		"redirect_uris":          []string{enginetest.MountURL + "/callback/facebook", "https://app.example.com/oauth"},
		"public_url":             enginetest.MountURL,
		"return_urls":            []string{enginetest.ReturnURL},
		"installation_scopes":    []string{"pages_show_list", "pages_read_engagement", "pages_manage_posts"},
		"user_scopes":            []string{"public_profile", "email"},
		"graph_version":          "v27.0",
		"pkce":                   "auto",
		"completion":             "confirm",
		"require_installation":   true,
		"session_ttl":            int64(600),
		"check_interval":         int64(86400),
		"client_secret_overlap":  int64(86400),
		"installation_config_id": "",
		"user_config_id":         "",
		"enabled":                true,
		"app_name":               "",
		"dialog_url":             e.Facebook.URL,
		"graph_url":              e.Facebook.URL,
	}
	if diff := cmp.Diff(want, e.Read("config/facebook")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"facebook"}, e.Must(logical.ListOperation, "config/", nil)["keys"]); diff != "" {
		t.Error(diff)
	}
}

func TestConfigWriteChangesOnlyNamedFields(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	before := e.Read("config/facebook")
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{
		"session_ttl": "20m", "check_interval": 0, "enabled": "false", "require_installation": false, "user_scopes": "email,openid", "pkce": "never",
	})
	want := maps.Clone(before)
	maps.Copy(want, map[string]any{
		"session_ttl": int64(1200), "check_interval": int64(0), "enabled": false, "require_installation": false, "user_scopes": []string{"email", "openid"}, "pkce": "never",
	})
	if diff := cmp.Diff(want, e.Read("config/facebook")); diff != "" {
		t.Error("changed: " + diff)
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{
		"session_ttl": "", "check_interval": "", "enabled": "", "require_installation": "", "user_scopes": []string{}, "pkce": "",
	})
	if diff := cmp.Diff(before, e.Read("config/facebook")); diff != "" {
		t.Error("reset: " + diff)
	}
	e.Install() // the secret was kept
}

func TestBadConfigIsRefusedAndChangesNothing(t *testing.T) {
	for name, data := range map[string]map[string]any{
		"client_id":           {"client_id": ""},
		"client_secret":       {"client_secret": "with space"},
		"redirect_uris":       {"redirect_uris": []string{"http://vault.example.com/cb"}},
		"return_urls":         {"return_urls": []string{"https://user@app.example.com/"}},
		"public_url":          {"public_url": "https://vault.example.com/v1/authpipe/"},
		"dialog_url":          {"dialog_url": "//www.facebook.com"},
		"graph_url":           {"graph_url": "ftp://graph.facebook.com"},
		"installation_scopes": {"installation_scopes": []string{`pages"show`}},
		"user_scopes":         {"user_scopes": []string{"two words"}},
		"graph_version":       {"graph_version": "26"},
		"pkce":                {"pkce": "sometimes"},
		"completion":          {"completion": "none"},
		"session_ttl":         {"session_ttl": "61m"},
		"check_interval":      {"check_interval": "1s"},
		"enabled":             {"enabled": "perhaps"},
		"colour":              {"colour": "blue"},
		"provider":            {"provider": "google"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			before := e.Read("config/facebook")
			data["graph_version"] = or(data["graph_version"], "v25.0")
			text := e.Refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", data)
			if !strings.Contains(text, `"`+name+`"`) {
				t.Errorf("the error does not name the field: %s", text)
			}
			if diff := cmp.Diff(before, e.Read("config/facebook")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func or(a, b any) any {
	if a == nil {
		return b
	}
	return a
}

func TestAmbiguousURLIsRefused(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, u := range []string{
		"", "https:", "https://", "https:///x", "https:app.example.com", "//app.example.com/", "/connected", "javascript:alert(1)", "data:text/html,x",
		"http://app.example.com/", "https://app.example.com\\@evil.example/", "https://app.example.com@evil.example/", "https://app.example.com/#x",
		"https://app.example.com/\r\nSet-Cookie:x", "https://app.example.com/ x", "https://app.example.com/\"", "https://app.example.com/<script>",
		"http://127.0.0.1.example.com/", "http://localhost.example.com/", "https://ex\u0430mple.com/", "https://%", "https://" + strings.Repeat("a", 2048),
	} {
		e.Refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": []string{u}})
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": []string{"http://127.0.0.1:3000/x", "http://localhost/", "http://[::1]:80/", "https://app.example.com:8443/a?b=c"}})
}

func TestConfigInUseKeepsItsClient(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Refused("invalid_request", 400, logical.DeleteOperation, "config/facebook", nil)
	e.Refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "124"})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "124"})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": enginetest.AppID})
	e.Install()
	e.Must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	e.Refused("not_found", 404, logical.ReadOperation, "config/facebook", nil)
	e.Refused("not_found", 404, logical.DeleteOperation, "config/facebook", nil)
	e.Refused("not_found", 404, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin"})
	e.Refused("not_found", 404, logical.UpdateOperation, "config/google", map[string]any{"client_id": "1"})
}

func TestDisabledProviderTakesNoNewSessions(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"enabled": false})
	e.Refused("suspended", 409, logical.UpdateOperation, "connect/"+enginetest.Uma, nil)
	e.Read("creds/" + enginetest.Installation)
}

func TestFieldOfAnotherOperationIsRefused(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, r := range []struct {
		op    logical.Operation
		field string
		value any
	}{
		{logical.ReadOperation, "access_token", "EAA"},
		{logical.ReadOperation, "actor", "uma"},
		{logical.UpdateOperation, "min_ttl", "1h"},
		{logical.UpdateOperation, "revoke", false},
		{logical.DeleteOperation, "access_token", "EAA"},
	} {
		text := e.Refused("invalid_request", 400, r.op, "creds/"+enginetest.Uma, map[string]any{r.field: r.value})
		if !strings.Contains(text, `"`+r.field+`"`) {
			t.Errorf("the error does not name %s: %s", r.field, text)
		}
	}
}

func TestBadRequestNamesField(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	for _, r := range []struct {
		field string
		path  string
		data  map[string]any
	}{
		{"tenant", "connect/.org/facebook/installation", map[string]any{"actor": "admin"}},
		{"tenant", "connect/" + strings.Repeat("a", 65) + "/facebook/installation", map[string]any{"actor": "admin"}},
		{"tenant", "connect/or:g/facebook/installation", map[string]any{"actor": "admin"}},
		{"user", "connect/org_acme/facebook/users/a..b", nil},
		{"user", "connect/org_acme/facebook/users/a,b", nil},
		{"actor", "connect/" + enginetest.Installation, nil},
		{"actor", "connect/" + enginetest.Installation, map[string]any{"actor": 10224875123456789.0}},
		{"actor", "connect/" + enginetest.Installation, map[string]any{"actor": strings.Repeat("a", 257)}},
		{"return_url", "connect/" + enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL + "&x"}},
		{"redirect_uri", "connect/" + enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": "https://evil.example/"}},
		{"scopes", "connect/" + enginetest.Installation, map[string]any{"actor": "admin", "scopes": []string{"a b"}}},
		{"completion", "connect/" + enginetest.Installation, map[string]any{"actor": "admin", "completion": "later"}},
		{"scope", "connect/" + enginetest.Installation, map[string]any{"actor": "admin", "scope": "email"}},
		{"tenant", "connect/" + enginetest.Installation, map[string]any{"actor": "admin", "tenant": "org_globex"}},
		{"state", "sessions/org_acme/x/complete", map[string]any{"actor": "admin", "state": "x", "code": "y"}},
	} {
		text := e.Refused("invalid_request", 400, logical.UpdateOperation, r.path, r.data)
		if !strings.Contains(text, `"`+r.field+`"`) {
			t.Errorf("%s with %v: the error does not name %s: %s", r.path, r.data, r.field, text)
		}
	}
	for _, user := range []string{"auth0|5f7c8ec7c33c6c004bbafe82", "ada@example.com", "0b6e7c1e-6f0e-4b0e-9c53-0a8f3e8f5b1c", "1+2=3~"} {
		e.Connect("org_acme/facebook/users/"+user, user, authpipetest.Consent{User: "uma"})
		e.Read("creds/org_acme/facebook/users/" + user)
	}
}
