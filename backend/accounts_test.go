package backend_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const globexUma = "org_globex/facebook/users/uma"

// spread returns an engine where uma's account holds a user in org_acme, and the
// installation and a user in org_globex, under which udo stands too. The string
// is her account's id.
func spread(t testing.TB, o authpipetest.Options) (*engine, string) {
	t.Helper()
	e := both(t, o)
	e.connect(globex, "boss", authpipetest.Consent{User: "uma"})
	e.connect(globexUma, "uma", authpipetest.Consent{User: "uma"})
	e.connect("org_globex/facebook/users/udo", "udo", authpipetest.Consent{User: "udo"})
	return e, e.read("creds/" + uma)["provider_user_id"].(string)
}

// settled runs what a removal leaves to the background.
func (e *engine) settled() {
	for range 4 {
		e.after(2 * time.Minute)
	}
}

func TestAccountListsItsRefsInEveryTenant(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "tenants/org_globex", map[string]any{"suspended": true})
	got := e.read("accounts/facebook/" + account)
	if diff := cmp.Diff([]string{uma, globex, globexUma}, got["refs"]); diff != "" {
		t.Error(diff)
	}
	info := got["ref_info"].(map[string]any)
	if view := info[uma].(map[string]any); view["status"] != "active" || view["rests_on"] != "account" || view["connected_at"] == nil || view["suspended"] != nil {
		t.Errorf("of %s it says %v", uma, view)
	}
	if view := info[globex].(map[string]any); view["suspended"] != true {
		t.Errorf("of a ref of a suspended tenant it says %v", view)
	}
	if strings.Contains(fmt.Sprint(got), e.served(uma)) {
		t.Error("it answers a token")
	}
}

func TestAccountIsRefused(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	for _, op := range []logical.Operation{logical.ReadOperation, logical.DeleteOperation} {
		e.refused("not_found", 404, op, "accounts/facebook/4711", nil)
		e.refused("not_found", 404, op, "accounts/myspace/"+account, nil)
		for _, bad := range []string{"business:5566", "..", "a,b", strings.Repeat("1", 129)} {
			if text := e.refused("invalid_request", 400, op, "accounts/facebook/"+bad, nil); !strings.Contains(text, `"account"`) {
				t.Errorf("%s: %s", bad, text)
			}
		}
		for _, id := range []any{1234567890123456789, account} {
			e.refused("invalid_request", 400, op, "accounts/facebook/"+account, map[string]any{"account": id})
		}
	}
	if text := e.refused("invalid_request", 400, logical.DeleteOperation, "accounts/facebook/"+account, map[string]any{"revoke": "perhaps"}); !strings.Contains(text, "revoke") {
		t.Error(text)
	}
	e.read("creds/" + uma)
}

func TestAccountDeletionDisconnectsEveryTenant(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "tenants/org_globex", map[string]any{"suspended": true})
	token, calls := e.served(uma), e.fb.Count(authpipetest.EndpointRevoke)
	got := e.must(logical.DeleteOperation, "accounts/facebook/"+account, nil)
	want := map[string]any{"deleted": []string{uma, globexUma}, "removing": []string{globex}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if e.valid(token) || e.fb.Count(authpipetest.EndpointRevoke) != calls+1 {
		t.Errorf("the grant lives: %v; it was revoked %d times", e.valid(token), e.fb.Count(authpipetest.EndpointRevoke)-calls)
	}
	for _, ref := range []string{uma, globexUma, globex, "org_globex/facebook/users/udo"} {
		e.refused(map[bool]string{true: "suspended", false: "not_found"}[strings.HasPrefix(ref, "org_globex")], map[bool]int{true: 409, false: 404}[strings.HasPrefix(ref, "org_globex")], logical.ReadOperation, "creds/"+ref, nil)
	}
	if got := e.read("accounts/facebook/" + account); !cmp.Equal(got["refs"], []string{globex}) || got["ref_info"].(map[string]any)[globex].(map[string]any)["removing"] != true {
		t.Errorf("meanwhile it reads %v", got)
	}
	e.settled()
	e.refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
	e.refused("not_found", 404, logical.DeleteOperation, "accounts/facebook/"+account, nil)
	if got := e.fb.Count(authpipetest.EndpointRevoke); got != calls+2 { // and udo's, which went along
		t.Errorf("grants were revoked %d times", got-calls)
	}
	if left := e.index("org_globex"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	e.read("creds/" + installation) // of another account
	e.checkInvariants("at the end")
}

func TestAccountDeletionMayLeaveTheGrant(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	token := e.served(uma)
	e.must(logical.DeleteOperation, "accounts/facebook/"+account, map[string]any{"revoke": false})
	e.settled()
	if !e.valid(token) {
		t.Error("the grant was revoked")
	}
	e.refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
}

func TestAccountDeletionChangesNothingIfTheGrantCannotBeRevoked(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	repair := e.fb.Fail(down)
	e.refused("unavailable", 502, logical.DeleteOperation, "accounts/facebook/"+account, nil)
	for _, ref := range []string{uma, globexUma, globex} {
		e.served(ref)
	}
	resp, err := e.do(logical.DeleteOperation, "accounts/facebook/"+account, map[string]any{"force": true})
	if err != nil || len(resp.Warnings) != 1 || !strings.Contains(resp.Warnings[0], "could not be revoked") {
		t.Fatalf("by force: %v, %v", resp, err)
	}
	e.settled()
	repair()
	e.settled()
	e.refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
	e.checkInvariants("at the end")
}

func TestAccountDeletionNeedsForceForAnUnreadableRecord(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	e.plant("cred/"+uma, []byte("nothing that opens"))
	if info := e.read("accounts/facebook/" + account)["ref_info"].(map[string]any)[uma].(map[string]any); info["status"] != "unreadable" {
		t.Errorf("of %s it says %v", uma, info)
	}
	if text := e.refused("failed", 409, logical.DeleteOperation, "accounts/facebook/"+account, nil); !strings.Contains(text, uma) || !strings.Contains(text, "force=true") {
		t.Error(text)
	}
	e.served(globexUma)
	e.must(logical.DeleteOperation, "accounts/facebook/"+account, map[string]any{"force": true})
	e.settled()
	e.refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
}

func TestAccountDeletionTakesPagesAlong(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.read("creds/" + page777)
	account := e.read("creds/" + installation)["provider_user_id"].(string)
	if diff := cmp.Diff([]string{installation}, e.read("accounts/facebook/" + account)["refs"]); diff != "" {
		t.Error(diff)
	}
	e.must(logical.DeleteOperation, "accounts/facebook/"+account, nil)
	e.settled()
	e.refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
	if left := e.keys("cred/"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestBusinessIsFoundAndDisconnectedByItsID(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	e.connect(globex, "boss", authpipetest.Consent{User: "ada"})
	tokens := []string{e.served(installation), e.served(globex)}
	got := e.read("accounts/facebook/" + businessID)
	if diff := cmp.Diff([]string{installation, globex}, got["refs"]); diff != "" {
		t.Error(diff)
	}
	if info := got["ref_info"].(map[string]any)[globex].(map[string]any); info["rests_on"] != "business" {
		t.Errorf("of %s it says %v", globex, info)
	}
	done := e.must(logical.DeleteOperation, "accounts/facebook/"+businessID, nil)
	if len(done["deleted"].([]string))+len(done["removing"].([]string)) != 2 {
		t.Errorf("it answers %v", done)
	}
	e.settled()
	for _, token := range tokens {
		if e.valid(token) {
			t.Error("a token lives")
		}
	}
	e.refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+businessID, nil)
}

// TestAccountDeletionMayDieAtAnyStorageOperation repeats a delete that was cut
// short at each storage operation.
func TestAccountDeletionMayDieAtAnyStorageOperation(t *testing.T) {
	for name, said := range map[string]map[string]any{"revoking": nil, "leaving the grant": {"revoke": false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for c := range eachCrash() {
				e, account := spread(t, authpipetest.Options{})
				token := e.served(uma)
				e.storage.DieAt(c.operation, c.afterEffect)
				e.do(logical.DeleteOperation, "accounts/facebook/"+account, said)
				if c.misses(e) {
					continue
				}
				e.restart()
				when := c.String()
				if _, err := e.do(logical.DeleteOperation, "accounts/facebook/"+account, said); err != nil {
					checkCode(t, err, "not_found", 404)
				}
				e.settled()
				e.refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
				if left := e.keys("cred/org_globex/"); len(left) > 0 {
					t.Errorf("%s, left: %v", when, left)
				}
				if e.valid(token) == (said == nil) {
					t.Errorf("%s, the grant lives: %v", when, e.valid(token))
				}
				e.read("creds/" + installation)
				e.checkInvariants(when)
			}
		})
	}
}

// TestAccountIsClosedToACallerOfOneTenant binds a caller to a tenant that has a
// ref of the account.
func TestAccountIsClosedToACallerOfOneTenant(t *testing.T) {
	e, _ := scoped(t)
	e.install()
	account := e.read("creds/" + installation)["provider_user_id"].(string)
	for _, op := range []logical.Operation{logical.ReadOperation, logical.DeleteOperation} {
		if _, err := e.as("acme", op, "accounts/facebook/"+account, nil); !denied(err) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, err := e.as("free", logical.ReadOperation, "accounts/facebook/"+account, nil); err != nil {
		t.Error(err)
	}
}

// TestAccountDeletionOutlivesItsCaller has the caller go away at once.
func TestAccountDeletionOutlivesItsCaller(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.HandleRequest(ctx, &logical.Request{Operation: logical.DeleteOperation, Path: "accounts/facebook/" + account, Storage: e.storage}); err != nil {
		t.Fatal(err)
	}
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
}
