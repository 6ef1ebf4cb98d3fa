package backend_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// warnings carries out a write and returns what it is warned of.
func (e *engine) warnings(path string, data map[string]any) []string {
	e.t.Helper()
	resp, err := e.do(logical.UpdateOperation, path, data)
	if err != nil {
		e.t.Fatalf("%s: %v", path, err)
	}
	if resp == nil {
		return nil
	}
	return resp.Warnings
}

func TestUnknownScopeIsWarnedOfWithTheNearest(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for _, row := range []struct{ scope, says string }{
		{"pages_manage_post", "did you mean pages_manage_posts?"},
		{"page_show_list", "did you mean pages_show_list?"},
		{"manage_pages", "check its spelling"},
	} {
		for path, field := range map[string]string{"connect/" + uma: "scopes", "config/facebook": "user_scopes"} {
			got := e.warnings(path, map[string]any{field: []string{"email", row.scope}})
			if len(got) != 1 || !strings.HasPrefix(got[0], field+`: "`+row.scope+`" `) || !strings.Contains(got[0], row.says) {
				t.Errorf("%s %s=%s warns: %q", path, field, row.scope, got)
			}
		}
	}
	if got := e.warnings("config/facebook", map[string]any{"installation_scopes": "pages_messagin,read_insight"}); len(got) != 2 {
		t.Errorf("of two it warns: %q", got)
	}
	if got := e.read("config/facebook")["installation_scopes"].([]string); len(got) != 2 {
		t.Errorf("what was warned of is not stored: %v", got)
	}
	// A write of something else says nothing of what was stored before.
	if got := e.warnings("config/facebook", map[string]any{"session_ttl": "5m"}); len(got) != 0 {
		t.Errorf("a write of another field warns: %q", got)
	}
}

func TestKnownScopesAreNotWarnedOf(t *testing.T) {
	e := both(t, authpipetest.Options{})
	known := []string{"openid", "public_profile", "email", "pages_manage_posts", "business_management", "instagram_content_publish", "whatsapp_business_messaging", "leads_retrieval"}
	if got := e.warnings("connect/"+uma, map[string]any{"scopes": known}); len(got) != 0 {
		t.Errorf("connect warns: %q", got)
	}
	if got := e.warnings("config/facebook", map[string]any{"user_scopes": known}); len(got) != 0 {
		t.Errorf("config warns: %q", got)
	}
	if got := e.warnings("config/facebook", map[string]any{"user_scopes": "", "installation_scopes": ""}); len(got) != 0 {
		t.Errorf("the defaults are warned of: %q", got)
	}
}

func TestNewClientSecretIsWarnedOfUntilItIsVerified(t *testing.T) {
	e := both(t, authpipetest.Options{})
	got := e.warnings("config/facebook", map[string]any{"client_secret": newSecret})
	if len(got) != 1 || !strings.Contains(got[0], "config/facebook/verify has not been run") || strings.Contains(got[0], newSecret) {
		t.Errorf("a new secret warns: %q", got)
	}
	for name, data := range map[string]map[string]any{
		"the same secret again": {"client_secret": newSecret},
		"another field":         {"enabled": true},
	} {
		if got := e.warnings("config/facebook", data); len(got) != 0 {
			t.Errorf("%s warns: %q", name, got)
		}
	}
	e.must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	if got := e.warnings("config/facebook", map[string]any{"client_id": appID, "client_secret": appSecret, "redirect_uris": mountURL + "/callback/facebook", "graph_url": e.base, "dialog_url": e.base}); len(got) != 1 {
		t.Errorf("the first write warns: %q", got)
	}
}

func TestClientIDThatIsNotDecimalIsRefused(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for _, id := range []string{"my-app", "123456789012345a", "0x1f", "１２３", "-1", "1.5", strings.Repeat("1", 33)} {
		text := e.refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", map[string]any{"client_id": id})
		if !strings.Contains(text, `field "client_id"`) {
			t.Errorf("%s: the error does not name the field: %s", id, text)
		}
	}
	text := e.refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "my-app"})
	for _, says := range []string{"must be decimal digits", "App settings, Basic"} {
		if !strings.Contains(text, says) {
			t.Errorf("the error does not say %q: %s", says, text)
		}
	}
	if got := e.read("config/facebook")["client_id"]; got != appID {
		t.Errorf("client_id is %v", got)
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "1234567890123456"})
}
