package paths_test

import (
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// revoked returns an engine where these users' grants were taken away, and
// found to be.
func revoked(t *testing.T, users ...string) *enginetest.Engine {
	t.Helper()
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, user := range users {
		ref := "org_acme/facebook/users/" + user
		e.Connect(ref, user, authpipetest.Consent{User: "udo"})
		e.Facebook.RemoveApp(enginetest.AppID, "udo")
		e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+ref+"/check", nil)
	}
	return e
}

func health(e *enginetest.Engine, status string, more map[string]any) []string {
	e.T.Helper()
	keys, _ := e.Must(logical.ListOperation, "health/"+status+"/", more)["keys"].([]string)
	return keys
}

func TestHealthListsWholeRefsSortedByBytes(t *testing.T) {
	e := revoked(t, "b", "b-2", "a")
	e.Read("creds/" + enginetest.Page777)
	e.Facebook.KillToken(e.Read("creds/" + enginetest.Page777)["access_token"].(string), 190, 460, "")
	e.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+enginetest.Page777+"/check", nil)
	// Before org_acme, for a hyphen sorts before a slash.
	const other = "org_acme-2/facebook/installation"
	e.Connect(other, "boss", authpipetest.Consent{User: "udo"})
	e.Facebook.RemoveApp(enginetest.AppID, "udo")
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+other+"/check", nil)
	const users = "org_acme/facebook/users/"
	list := e.Must(logical.ListOperation, "health/revoked", nil)
	if diff := cmp.Diff([]string{other, users + "a", users + "b", users + "b-2"}, list["keys"]); diff != "" {
		t.Error(diff)
	}
	info := list["key_info"].(map[string]any)[users+"b"].(map[string]any)
	if info["status"] != "revoked" || info["expires_at"] == nil || info["connected_at"] == nil || info["removing"] != nil {
		t.Errorf("key_info is %v", info)
	}
	if diff := cmp.Diff([]string{enginetest.Page777}, health(e, "needs_reauth", nil)); diff != "" {
		t.Error(diff)
	}
	if got := health(e, "failed", nil); len(got) != 0 {
		t.Errorf("failed are %v", got)
	}
	e.Refused("invalid_request", 400, logical.ListOperation, "health/active/", nil)
	e.Refused("invalid_request", 400, logical.ListOperation, "health/revoked/", map[string]any{"limit": 0})

	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	info = e.Must(logical.ListOperation, "health/revoked/", nil)["key_info"].(map[string]any)[users+"a"].(map[string]any)
	if info["removing"] != true {
		t.Errorf("while it is being removed key_info is %v", info)
	}
}

func TestHealthIsListedByPages(t *testing.T) {
	e := revoked(t, "a", "b", "c", "d")
	const users = "org_acme/facebook/users/"
	e.Storage.Reset()
	if diff := cmp.Diff([]string{users + "a", users + "b"}, health(e, "revoked", map[string]any{"limit": 2})); diff != "" {
		t.Error(diff)
	}
	for _, op := range e.Storage.Operations() {
		if op.Key == "cred/"+users+"c" || op.Key == "cred/"+users+"d" {
			t.Errorf("beside the page it makes %v", op)
		}
	}
	if diff := cmp.Diff([]string{users + "c", users + "d"}, health(e, "revoked", map[string]any{"after": users + "b", "limit": 2})); diff != "" {
		t.Error(diff)
	}
	if got := health(e, "revoked", map[string]any{"after": users + "d"}); len(got) != 0 {
		t.Errorf("after the last come %v", got)
	}
}

func TestWhatTheStatusIndexSaysWronglyIsNotListed(t *testing.T) {
	e := revoked(t, "b", "c")
	const users = "org_acme/facebook/users/"
	outdated := []string{"status/revoked/org_acme,facebook,users,a", "status/revoked/org_acme,facebook,users,uma"}
	plant := func() {
		for _, key := range outdated {
			e.Storage.PutEntry(key)
		}
	}
	plant()
	// The page is full all the same.
	if diff := cmp.Diff([]string{users + "b", users + "c"}, health(e, "revoked", map[string]any{"limit": 2})); diff != "" {
		t.Error(diff)
	}
	// It did not come as far as uma.
	if diff := cmp.Diff(outdated[1:], missing(e.Storage.Under("status/"), "b", "c")); diff != "" {
		t.Error(diff)
	}
	health(e, "revoked", nil)
	if left := missing(e.Storage.Under("status/"), "b", "c"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}

	plant()
	e.RestartOn(&logical.StaticSystemView{ReplicationStateVal: consts.ReplicationPerformanceStandby})
	if diff := cmp.Diff([]string{users + "b", users + "c"}, health(e, "revoked", nil)); diff != "" {
		t.Errorf("on a standby: %s", diff)
	}
	if writes := e.Storage.Writes(); len(writes) > 0 {
		t.Errorf("a standby makes %v", writes)
	}
}

// missing returns those of hints that are not of these users.
func missing(hints []string, users ...string) (others []string) {
	for _, hint := range hints {
		known := false
		for _, user := range users {
			known = known || hint == "status/revoked/org_acme,facebook,users,"+user
		}
		if !known {
			others = append(others, hint)
		}
	}
	return others
}
