package pages_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

const accessOf = "connections/" + enginetest.Installation + "/access"

// access checks the reasons of an answer, and that it makes no call.
func access(t *testing.T, e *enginetest.Engine, path string, query map[string]any, want ...string) {
	t.Helper()
	calls := e.Facebook.Count("")
	got := e.Must(logical.ReadOperation, path, query)
	if diff := cmp.Diff(append([]string{}, want...), got["reasons"]); diff != "" {
		t.Errorf("%s %v: %s", path, query, diff)
	}
	if got["granted"] != (len(want) == 0) {
		t.Errorf("%s %v: granted is %v", path, query, got["granted"])
	}
	if n := e.Facebook.Count("") - calls; n != 0 {
		t.Errorf("%s %v makes %d calls", path, query, n)
	}
}

func TestAccessNamesWhatIsMissing(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Facebook.AddPage(authpipetest.Page{ID: "777", Name: "Page A", Tasks: []string{"ANALYZE", "CREATE_CONTENT"}})
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"777"}})
	posting := map[string]any{"scopes": "pages_manage_posts", "page": "777"}

	// Before the first list of pages the scopes say which pages were granted.
	access(t, e, accessOf, nil)
	access(t, e, accessOf, posting)
	access(t, e, accessOf, map[string]any{"scopes": "pages_manage_posts", "page": "778"}, "scope_missing:pages_manage_posts")
	access(t, e, accessOf, map[string]any{"scopes": "ads_management,pages_show_list"}, "scope_missing:ads_management")

	e.Must(logical.ListOperation, "creds/org_acme/facebook/pages/", nil)
	access(t, e, accessOf, posting)
	access(t, e, "connections/"+enginetest.Page777+"/access", map[string]any{"scopes": "pages_manage_posts"})
	access(t, e, accessOf, map[string]any{"page": "778"}, "page_missing")
	access(t, e, accessOf, map[string]any{"scopes": "pages_manage_engagement", "page": "777"}, "scope_missing:pages_manage_engagement", "task_missing:MODERATE")
	access(t, e, accessOf, map[string]any{"scopes": "pages_manage_engagement"}, "scope_missing:pages_manage_engagement")
}

func TestAccessNamesStatus(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Read("creds/" + enginetest.Page777)
	e.Must(logical.UpdateOperation, "tenants/org_acme", map[string]any{"suspended": true})
	access(t, e, accessOf, nil, "status:suspended")
	e.Must(logical.UpdateOperation, "tenants/org_acme", map[string]any{"suspended": false})
	access(t, e, accessOf, nil)

	e.Facebook.RemoveApp(enginetest.AppID, "ada")
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	access(t, e, accessOf, map[string]any{"scopes": "pages_show_list"}, "status:revoked")
	e.Refused("not_found", 404, logical.ReadOperation, "connections/org_acme/facebook/users/bob/access", nil)
	e.Refused("invalid_request", 400, logical.ReadOperation, accessOf, map[string]any{"page": "../777"})
	e.Refused("invalid_request", 400, logical.ReadOperation, accessOf, map[string]any{"scopes": "two words"})
}

func TestAccessEndsWithPageRole(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"777", "778"}})
	e.Read("creds/" + enginetest.Page777)
	e.Facebook.RemovePageRole("777", "ada")
	_, _ = e.Do(logical.UpdateOperation, "connections/"+enginetest.Page777+"/check", nil)
	access(t, e, accessOf, map[string]any{"page": "777"}, "page_missing")
	access(t, e, accessOf, map[string]any{"page": "778"})

	// What was known of it ends with the connection.
	e.Facebook.SetPageRole("777", "ada", nil)
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"777", "778"}})
	access(t, e, accessOf, map[string]any{"page": "777"})
	e.Must(logical.ListOperation, "creds/org_acme/facebook/pages/", nil)
	access(t, e, accessOf, map[string]any{"page": "777"})
}

func TestAccessEndsWithDataAccess(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "email,user_posts", "require_installation": false})
	e.Connect("org_acme/facebook/users/ada", "ada", authpipetest.Consent{User: "ada"})
	const path = "connections/org_acme/facebook/users/ada/access"
	access(t, e, path, map[string]any{"scopes": "user_posts"})
	e.Clock.Advance(91 * 24 * time.Hour)
	got := e.Must(logical.ReadOperation, path, map[string]any{"scopes": "user_posts"})
	if diff := cmp.Diff([]string{"data_access_over"}, got["reasons"]); diff != "" {
		t.Error(diff)
	}
}
