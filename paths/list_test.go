package paths_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestListsShowOneLevel(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "ada"})
	list := func(path string, data map[string]any) map[string]any {
		return e.Must(logical.ListOperation, path, data)
	}
	for _, prefix := range []string{"creds", "connections"} {
		for path, want := range map[string][]string{
			"/":                         {"org_acme/", "org_globex/"},
			"/org_acme/":                {"facebook/"},
			"/org_acme/facebook/":       {"installation", "users/"},
			"/org_acme/facebook/users/": {"udo", "uma"},
		} {
			if diff := cmp.Diff(want, list(prefix+path, nil)["keys"]); diff != "" {
				t.Errorf("%s%s: %s", prefix, path, diff)
			}
		}
		info := list(prefix+"/org_acme/facebook/users/", nil)["key_info"].(map[string]any)["uma"]
		want := map[string]any{"status": "active", "missing_scopes": []string{}, "expires_at": "2027-01-22T12:00:00Z", "connected_at": "2026-11-23T12:00:00Z"}
		if diff := cmp.Diff(want, info); diff != "" {
			t.Error("key_info: " + diff)
		}
		if diff := cmp.Diff([]string{"udo"}, list(prefix+"/org_acme/facebook/users/", map[string]any{"limit": 1})["keys"]); diff != "" {
			t.Error("limit: " + diff)
		}
		if diff := cmp.Diff([]string{"uma"}, list(prefix+"/org_acme/facebook/users/", map[string]any{"after": "udo"})["keys"]); diff != "" {
			t.Error("after: " + diff)
		}
		e.Refused("invalid_request", 400, logical.ListOperation, prefix+"/", map[string]any{"limit": 0})
		e.Refused("invalid_request", 400, logical.ListOperation, prefix+"/", map[string]any{"limit": 10_001})
	}
}

// TestListsShowTenantWithoutCredentials deletes all of a tenant's credentials: the tenant
// still exists, and the lists cost one storage call whatever lies below it.
func TestListsShowTenantWithoutCredentials(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, ref := range []string{enginetest.Uma, enginetest.Installation} {
		e.Must(logical.DeleteOperation, "creds/"+ref, nil)
	}
	e.MustSweep()
	for _, prefix := range []string{"creds/", "connections/"} {
		e.Storage.Reset()
		if diff := cmp.Diff([]string{"org_acme/"}, e.Must(logical.ListOperation, prefix, nil)["keys"]); diff != "" {
			t.Errorf("%s: %s", prefix, diff)
		}
		for _, op := range e.Storage.Operations() {
			if op.Verb == "list" && op.Key != "tenant/" {
				t.Errorf("%s lists %s in storage", prefix, op.Key)
			}
		}
	}
}

func TestListsAnswerOnEachLevel(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const ada = "org_acme/facebook/users/ada"
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list"})
	e.Connect(ada, "ada", authpipetest.Consent{User: "ada"})
	e.Read("creds/" + enginetest.Page777)
	e.Read("creds/" + ada + "/pages/778")
	e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
	for _, tree := range []string{"creds/", "connections/"} {
		for _, list := range []string{"", "org_acme/", "org_acme/facebook/", "org_acme/facebook/users/", "org_acme/facebook/pages/", "org_acme/stripe/static/", ada + "/pages/"} {
			if keys, _ := e.Must(logical.ListOperation, tree+list, nil)["keys"].([]string); len(keys) == 0 {
				t.Errorf("%s%s lists nothing", tree, list)
			}
		}
	}
}
