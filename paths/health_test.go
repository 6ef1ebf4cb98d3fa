package paths_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
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

func TestHealthListsRefsSortedByBytes(t *testing.T) {
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

func TestHealthSkipsStaleIndexEntries(t *testing.T) {
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

func TestHealthSummarizesMount(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	if h := e.Read("health"); h["last_sweep"] != nil || h["overdue"] != 0 || h["providers"].(map[string]any)["facebook"].(map[string]any)["state"] != "ok" {
		t.Errorf("a mount that has done nothing reads %v", h)
	}
	e.Install()
	refs := e.ConnectMany(5)
	e.After(time.Hour) // their sessions are reaped
	e.Facebook.RemoveApp(enginetest.AppID, "person-001")
	e.Facebook.ChangePassword("person-002")
	e.Clock.Advance(enginetest.Day)
	if h := e.Read("health"); h["overdue"] != 6 || h["overdue_all_counted"] != true {
		t.Errorf("before the sweep it reads %v", h)
	}
	e.MustSweep()
	h := e.Read("health")
	if counts := h["counts"].(map[string]any); counts["revoked"] != 1 || counts["needs_reauth"] != 1 || counts["failed"] != 0 || h["overdue"] != 0 {
		t.Errorf("after the sweep it reads %v", h)
	}
	if last := h["last_sweep"].(map[string]any); last["at"] != e.Clock.Now().Format(time.RFC3339) || last["due"] != 6 || last["failed"] != false {
		t.Errorf("the last sweep is %v", last)
	}
	defer e.Facebook.Fail(enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))()
	e.Do(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
	facebook := e.Read("health")["providers"].(map[string]any)["facebook"].(map[string]any)
	if facebook["state"] != "throttled" || facebook["until"] != e.Clock.Now().Add(90*time.Minute).Format(time.RFC3339) || facebook["clock_skew"] != int64(0) ||
		facebook["error"].(map[string]any)["code"] != 80001 {
		t.Errorf("the provider reads %v", facebook)
	}
}

// TestHealthOfHealthyMountCostsFewStorageCalls has many that are well and one that is not.
func TestHealthOfHealthyMountCostsFewStorageCalls(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	cost := func() int {
		e.Read("health")
		e.Storage.Reset()
		e.Read("health")
		return len(e.Storage.Operations())
	}
	before := cost()
	e.ConnectMany(50)
	if after := cost(); after != before {
		t.Errorf("with 50 more that are well it costs %d storage calls, before %d", after, before)
	}
}

// TestEndedVersionShowsInHealth has the configured version end: Facebook
// answers by the oldest that has not, without a word.
func TestEndedVersionShowsInHealth(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	served := func() any {
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		return e.Read("health")["providers"].(map[string]any)["facebook"].(map[string]any)["served_version"]
	}
	if got := served(); got != nil {
		t.Errorf("served by %v, which is as configured", got)
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v19.0"})
	if got := served(); got != "v21.0" {
		t.Errorf("served by %v", got)
	}
}
