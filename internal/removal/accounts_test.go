package removal_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

const globexUma = "org_globex/facebook/users/uma"

// spread returns an engine where uma's account holds a user in org_acme, and the
// installation and a user in org_globex, under which udo stands too. The string
// is her account's id.
func spread(t testing.TB, o authpipetest.Options) (*enginetest.Engine, string) {
	t.Helper()
	e := enginetest.Connected(t, o)
	e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "uma"})
	e.Connect(globexUma, "uma", authpipetest.Consent{User: "uma"})
	e.Connect("org_globex/facebook/users/udo", "udo", authpipetest.Consent{User: "udo"})
	return e, e.Read("creds/" + enginetest.Uma)["provider_user_id"].(string)
}

func TestAccountListsItsRefsInEveryTenant(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "tenants/org_globex", map[string]any{"suspended": true})
	got := e.Read("accounts/facebook/" + account)
	if diff := cmp.Diff([]string{enginetest.Uma, enginetest.Globex, globexUma}, got["refs"]); diff != "" {
		t.Error(diff)
	}
	info := got["ref_info"].(map[string]any)
	if view := info[enginetest.Uma].(map[string]any); view["status"] != "active" || view["rests_on"] != "account" || view["connected_at"] == nil || view["suspended"] != nil {
		t.Errorf("of %s it says %v", enginetest.Uma, view)
	}
	if view := info[enginetest.Globex].(map[string]any); view["suspended"] != true {
		t.Errorf("of a ref of a suspended tenant it says %v", view)
	}
	if strings.Contains(fmt.Sprint(got), e.Token(enginetest.Uma)) {
		t.Error("it answers a token")
	}
}

func TestBadAccountIsRefused(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	for _, op := range []logical.Operation{logical.ReadOperation, logical.DeleteOperation} {
		e.Refused("not_found", 404, op, "accounts/facebook/4711", nil)
		e.Refused("not_found", 404, op, "accounts/myspace/"+account, nil)
		for _, bad := range []string{"business:5566", "..", "a,b", strings.Repeat("1", 129)} {
			if text := e.Refused("invalid_request", 400, op, "accounts/facebook/"+bad, nil); !strings.Contains(text, `"account"`) {
				t.Errorf("%s: %s", bad, text)
			}
		}
		for _, id := range []any{1234567890123456789, account} {
			e.Refused("invalid_request", 400, op, "accounts/facebook/"+account, map[string]any{"account": id})
		}
	}
	if text := e.Refused("invalid_request", 400, logical.DeleteOperation, "accounts/facebook/"+account, map[string]any{"revoke": "perhaps"}); !strings.Contains(text, "revoke") {
		t.Error(text)
	}
	e.Read("creds/" + enginetest.Uma)
}

func TestAccountDeletionDisconnectsEveryTenant(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "tenants/org_globex", map[string]any{"suspended": true})
	token, calls := e.Token(enginetest.Uma), e.Facebook.Count(authpipetest.EndpointRevoke)
	got := e.Must(logical.DeleteOperation, "accounts/facebook/"+account, nil)
	want := map[string]any{"deleted": []string{enginetest.Uma, globexUma}, "removing": []string{enginetest.Globex}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if e.Facebook.Valid(token) || e.Facebook.Count(authpipetest.EndpointRevoke) != calls+1 {
		t.Errorf("the grant lives: %v; it was revoked %d times", e.Facebook.Valid(token), e.Facebook.Count(authpipetest.EndpointRevoke)-calls)
	}
	for _, ref := range []string{enginetest.Uma, globexUma, enginetest.Globex, "org_globex/facebook/users/udo"} {
		e.Refused(map[bool]string{true: "suspended", false: "not_found"}[strings.HasPrefix(ref, "org_globex")], map[bool]int{true: 409, false: 404}[strings.HasPrefix(ref, "org_globex")], logical.ReadOperation, "creds/"+ref, nil)
	}
	if got := e.Read("accounts/facebook/" + account); !cmp.Equal(got["refs"], []string{enginetest.Globex}) || got["ref_info"].(map[string]any)[enginetest.Globex].(map[string]any)["removing"] != true {
		t.Errorf("meanwhile it reads %v", got)
	}
	e.FinishRemoval()
	e.Refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
	e.Refused("not_found", 404, logical.DeleteOperation, "accounts/facebook/"+account, nil)
	if got := e.Facebook.Count(authpipetest.EndpointRevoke); got != calls+2 { // and udo's, which went along
		t.Errorf("grants were revoked %d times", got-calls)
	}
	if left := e.Tenant.Index("org_globex"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	e.Read("creds/" + enginetest.Installation) // of another account
	e.CheckInvariants("at the end")
}

func TestAccountDeletionMayLeaveTheGrant(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	token := e.Token(enginetest.Uma)
	e.Must(logical.DeleteOperation, "accounts/facebook/"+account, map[string]any{"revoke": false})
	e.FinishRemoval()
	if !e.Facebook.Valid(token) {
		t.Error("the grant was revoked")
	}
	e.Refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
}

func TestAccountDeletionChangesNothingIfTheGrantCannotBeRevoked(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	repair := e.Facebook.Fail(enginetest.RevokeDown)
	e.Refused("unavailable", 502, logical.DeleteOperation, "accounts/facebook/"+account, nil)
	for _, ref := range []string{enginetest.Uma, globexUma, enginetest.Globex} {
		e.Token(ref)
	}
	resp, err := e.Do(logical.DeleteOperation, "accounts/facebook/"+account, map[string]any{"force": true})
	if err != nil || len(resp.Warnings) != 1 || !strings.Contains(resp.Warnings[0], "could not be revoked") {
		t.Fatalf("by force: %v, %v", resp, err)
	}
	e.FinishRemoval()
	repair()
	e.FinishRemoval()
	e.Refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
	e.CheckInvariants("at the end")
}

func TestAccountDeletionNeedsForceForAnUnreadableRecord(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	e.Plant("cred/"+enginetest.Uma, []byte("nothing that opens"))
	if info := e.Read("accounts/facebook/" + account)["ref_info"].(map[string]any)[enginetest.Uma].(map[string]any); info["status"] != "unreadable" {
		t.Errorf("of %s it says %v", enginetest.Uma, info)
	}
	if text := e.Refused("failed", 409, logical.DeleteOperation, "accounts/facebook/"+account, nil); !strings.Contains(text, enginetest.Uma) || !strings.Contains(text, "force=true") {
		t.Error(text)
	}
	e.Token(globexUma)
	e.Must(logical.DeleteOperation, "accounts/facebook/"+account, map[string]any{"force": true})
	e.FinishRemoval()
	e.Refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
}

func TestAccountDeletionDeletesPages(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Read("creds/" + enginetest.Page777)
	account := e.Read("creds/" + enginetest.Installation)["provider_user_id"].(string)
	if diff := cmp.Diff([]string{enginetest.Installation}, e.Read("accounts/facebook/" + account)["refs"]); diff != "" {
		t.Error(diff)
	}
	e.Must(logical.DeleteOperation, "accounts/facebook/"+account, nil)
	e.FinishRemoval()
	e.Refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
	if left := e.Storage.Under("cred/"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestBusinessIsDisconnectedByItsID(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "ada"})
	tokens := []string{e.Token(enginetest.Installation), e.Token(enginetest.Globex)}
	got := e.Read("accounts/facebook/" + enginetest.BusinessID)
	if diff := cmp.Diff([]string{enginetest.Installation, enginetest.Globex}, got["refs"]); diff != "" {
		t.Error(diff)
	}
	if info := got["ref_info"].(map[string]any)[enginetest.Globex].(map[string]any); info["rests_on"] != "business" {
		t.Errorf("of %s it says %v", enginetest.Globex, info)
	}
	done := e.Must(logical.DeleteOperation, "accounts/facebook/"+enginetest.BusinessID, nil)
	if len(done["deleted"].([]string))+len(done["removing"].([]string)) != 2 {
		t.Errorf("it answers %v", done)
	}
	e.FinishRemoval()
	for _, token := range tokens {
		if e.Facebook.Valid(token) {
			t.Error("a token lives")
		}
	}
	e.Refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+enginetest.BusinessID, nil)
}

// TestAccountDeletionSurvivesCrash repeats a delete that was cut
// short at each storage operation.
func TestAccountDeletionSurvivesCrash(t *testing.T) {
	for name, said := range map[string]map[string]any{"revoking": nil, "leaving the grant": {"revoke": false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var account, token string
			setup := func() (e *enginetest.Engine) {
				e, account = spread(t, authpipetest.Options{})
				token = e.Token(enginetest.Uma)
				return e
			}
			remove := func(e *enginetest.Engine) error {
				return e.Try(logical.DeleteOperation, "accounts/facebook/"+account, said)
			}
			enginetest.EachCrash(setup, remove, func(e *enginetest.Engine, f enginetest.Failure) {
				when := f.String()
				if _, err := e.Do(logical.DeleteOperation, "accounts/facebook/"+account, said); err != nil {
					enginetest.CheckCode(t, err, "not_found", 404)
				}
				e.FinishRemoval()
				e.Refused("not_found", 404, logical.ReadOperation, "accounts/facebook/"+account, nil)
				if left := e.Storage.Under("cred/org_globex/"); len(left) > 0 {
					t.Errorf("%s, left: %v", when, left)
				}
				if e.Facebook.Valid(token) == (said == nil) {
					t.Errorf("%s, the grant lives: %v", when, e.Facebook.Valid(token))
				}
				e.Read("creds/" + enginetest.Installation)
				e.CheckInvariants(when)
			})
		})
	}
}

// TestAccountIsDeniedToBoundCaller binds a caller to a tenant that has a
// ref of the account.
func TestAccountIsDeniedToBoundCaller(t *testing.T) {
	e, _ := enginetest.Scoped(t)
	e.Install()
	account := e.Read("creds/" + enginetest.Installation)["provider_user_id"].(string)
	for _, op := range []logical.Operation{logical.ReadOperation, logical.DeleteOperation} {
		if _, err := e.DoAs("acme", op, "accounts/facebook/"+account, nil); !enginetest.Denied(err) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, err := e.DoAs("free", logical.ReadOperation, "accounts/facebook/"+account, nil); err != nil {
		t.Error(err)
	}
}

// TestAccountDeletionOutlivesItsCaller has the caller go away at once.
func TestAccountDeletionOutlivesItsCaller(t *testing.T) {
	e, account := spread(t, authpipetest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.HandleRequest(ctx, &logical.Request{Operation: logical.DeleteOperation, Path: "accounts/facebook/" + account, Storage: e.Storage}); err != nil {
		t.Fatal(err)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
}
