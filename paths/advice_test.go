package paths_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestUnknownScopeWarnsWithNearest(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, row := range []struct{ scope, says string }{
		{"pages_manage_post", "did you mean pages_manage_posts?"},
		{"page_show_list", "did you mean pages_show_list?"},
		{"manage_pages", "check its spelling"},
	} {
		for path, field := range map[string]string{"connect/" + enginetest.Uma: "scopes", "config/facebook": "user_scopes"} {
			got := e.Warnings(path, map[string]any{field: []string{"email", row.scope}})
			if len(got) != 1 || !strings.HasPrefix(got[0], field+`: "`+row.scope+`" `) || !strings.Contains(got[0], row.says) {
				t.Errorf("%s %s=%s warns: %q", path, field, row.scope, got)
			}
		}
	}
	if got := e.Warnings("config/facebook", map[string]any{"installation_scopes": "pages_messagin,read_insight"}); len(got) != 2 {
		t.Errorf("of two it warns: %q", got)
	}
	if got := e.Read("config/facebook")["installation_scopes"].([]string); len(got) != 2 {
		t.Errorf("what was warned of is not stored: %v", got)
	}
	// A write of something else says nothing of what was stored before.
	if got := e.Warnings("config/facebook", map[string]any{"session_ttl": "5m"}); len(got) != 0 {
		t.Errorf("a write of another field warns: %q", got)
	}
}

func TestKnownScopesDoNotWarn(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	known := []string{"openid", "public_profile", "email", "pages_manage_posts", "business_management", "instagram_content_publish", "whatsapp_business_messaging", "leads_retrieval"}
	if got := e.Warnings("connect/"+enginetest.Uma, map[string]any{"scopes": known}); len(got) != 0 {
		t.Errorf("connect warns: %q", got)
	}
	if got := e.Warnings("config/facebook", map[string]any{"user_scopes": known}); len(got) != 0 {
		t.Errorf("config warns: %q", got)
	}
	if got := e.Warnings("config/facebook", map[string]any{"user_scopes": "", "installation_scopes": ""}); len(got) != 0 {
		t.Errorf("the defaults are warned of: %q", got)
	}
}

func TestNewClientSecretWarnsUntilVerified(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	got := e.Warnings("config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
	if len(got) != 1 || !strings.Contains(got[0], "config/facebook/verify has not been run") || strings.Contains(got[0], enginetest.NewSecret) {
		t.Errorf("a new secret warns: %q", got)
	}
	for name, data := range map[string]map[string]any{
		"the same secret again": {"client_secret": enginetest.NewSecret},
		"another field":         {"enabled": true},
	} {
		if got := e.Warnings("config/facebook", data); len(got) != 0 {
			t.Errorf("%s warns: %q", name, got)
		}
	}
	e.Must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	if got := e.Warnings("config/facebook", map[string]any{"client_id": enginetest.AppID, "client_secret": enginetest.AppSecret, "redirect_uris": enginetest.MountURL + "/callback/facebook", "graph_url": e.Facebook.URL, "dialog_url": e.Facebook.URL}); len(got) != 1 {
		t.Errorf("the first write warns: %q", got)
	}
}

func TestNonDecimalClientIDIsRefused(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, id := range []string{"my-app", "123456789012345a", "0x1f", "１２３", "-1", "1.5", strings.Repeat("1", 33)} {
		text := e.Refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", map[string]any{"client_id": id})
		if !strings.Contains(text, `field "client_id"`) {
			t.Errorf("%s: the error does not name the field: %s", id, text)
		}
	}
	text := e.Refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "my-app"})
	for _, says := range []string{"must be decimal digits", "App settings, Basic"} {
		if !strings.Contains(text, says) {
			t.Errorf("the error does not say %q: %s", says, text)
		}
	}
	if got := e.Read("config/facebook")["client_id"]; got != enginetest.AppID {
		t.Errorf("client_id is %v", got)
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "1234567890123456"})
}
