package backend_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func (e *engine) deletion() map[string]any {
	e.t.Helper()
	deletion, ok := e.read(acme)["deletion"].(map[string]any)
	if !ok {
		e.t.Fatalf("the tenant is not being deleted: %v", e.read(acme))
	}
	return deletion
}

// left returns the keys that name the tenant, but for sessions, whose names
// tell nothing.
func (e *engine) left(tenant string) (left []string) {
	e.t.Helper()
	for _, key := range e.keys("") {
		if strings.Contains(key, tenant) && !strings.Contains(key, ",forgetting,") { // which goes a week later: see forget_test.go
			left = append(left, key)
		}
	}
	return left
}

// deleted checks that nothing of org_acme is left, and that it can begin anew.
func (e *engine) deleted(when string) {
	e.t.Helper()
	if left := e.left("org_acme"); len(left) > 0 {
		e.t.Errorf("%s, left: %v", when, left)
	}
	e.refused("not_found", 404, logical.ReadOperation, acme, nil)
	e.install()
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
	if got := e.read(acme); got["key_version"] != 1 || got["suspended"] != false || got["deletion"] != nil {
		e.t.Errorf("%s, begun anew it reads %v", when, got)
	}
}

func (e *engine) valid(token string) bool {
	e.t.Helper()
	known, _ := e.fb.Inspect(token)
	return known.Valid
}

func (e *engine) served(ref string) string {
	e.t.Helper()
	return e.read("creds/" + ref)["access_token"].(string)
}

func TestATenantIsRevokedAndRemovedWithAllThatItHas(t *testing.T) {
	e := populated(t) // org_globex holds uma's account
	e.connect("org_acme/facebook/users/ada", "ada", authpipetest.Consent{User: "ada"})
	e.deposit(hook, "webhook_secret", apiKey)
	e.deposit(stripe, "api_key", apiKey)
	ada, shared := e.served("org_acme/facebook/users/ada"), e.served(uma)
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	e.must(logical.UpdateOperation, acme+"/reindex", nil)
	others := e.index("org_globex")
	record := e.raw("cred/" + uma)
	e.must(logical.DeleteOperation, acme, nil)
	if got := e.deletion(); got["revoke"] != true || got["force"] != false || got["removed"] != 0 {
		t.Errorf("it reads %v", got)
	}
	for _, ref := range []string{hook, stripe} {
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
		e.refused("not_found", 404, logical.ReadOperation, "connections/"+ref, nil)
		e.refused("not_found", 404, logical.UpdateOperation, "creds/"+ref, map[string]any{"credential": "other", "credential_type": "api_key"})
	}
	for _, ref := range []string{installation, uma, udo, page777} {
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
		e.refused("not_found", 404, logical.ReadOperation, "connections/"+ref, nil)
		e.refused("not_found", 404, logical.UpdateOperation, "connections/"+ref+"/refresh", nil)
	}
	e.refused("not_found", 404, logical.DeleteOperation, "creds/"+uma, nil)
	e.refused("not_found", 404, logical.DeleteOperation, "creds/"+installation, nil)
	e.refused("not_found", 404, logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
	e.refused("not_found", 404, logical.UpdateOperation, "connect/"+uma, nil)
	e.refused("not_found", 404, logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": shared})
	e.refused("not_found", 404, logical.UpdateOperation, acme, map[string]any{"suspended": true})
	e.refused("not_found", 404, logical.UpdateOperation, acme+"/rotate", nil)
	e.refused("not_found", 404, logical.UpdateOperation, acme+"/reindex", nil)
	e.restart()
	e.after(2 * time.Minute)
	if e.valid(ada) {
		t.Error("ada's grant lives")
	}
	if !e.valid(shared) || e.served(globex) == "" {
		t.Error("a grant was revoked that another tenant holds")
	}
	if diff := cmp.Diff(others, e.index("org_globex")); diff != "" {
		t.Errorf("the other tenant's indexes: %s", diff)
	}
	found, _ := e.events(0)
	if last := found[len(found)-1]; last != "tenant.deleted org_acme" {
		t.Errorf("the last event is %s", last)
	}
	e.deleted("at the end")
	e.plant("cred/"+uma, record)
	if resp, err := e.do(logical.ReadOperation, "creds/"+uma, nil); err == nil {
		t.Errorf("a record of the former tenant opens: %v", resp.Data["provider_user_id"])
	}
	e.remove("cred/" + uma)
	e.InvalidateKey(t.Context(), "cred/"+uma)
}

func TestAListSaysThatATenantIsBeingDeleted(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, acme, nil)
	info := e.must(logical.ListOperation, "creds/org_acme/facebook/users/", nil)["key_info"].(map[string]any)["uma"].(map[string]any)
	if info["removing"] != true {
		t.Errorf("key_info is %v", info)
	}
}

func TestWhatCannotBeRevokedKeepsItsTenant(t *testing.T) {
	e := both(t, authpipetest.Options{})
	token := e.served(uma)
	e.must(logical.DeleteOperation, acme, nil)
	repair := e.fb.Fail(down)
	for range 3 {
		e.after(7 * time.Hour)
	}
	want := []string{installation, uma}
	if got := e.deletion(); got["unrevoked_count"] != 2 || got["attempts"] != 3 || !cmp.Equal(got["unrevoked"], want) {
		t.Errorf("it reads %v", got)
	}
	repair()
	e.after(7 * time.Hour)
	if e.valid(token) {
		t.Error("uma's grant was forgotten, not revoked")
	}
	e.deleted("at the end")
}

// TestManyWhoCannotBeRevokedKeepNoneFromTheirTurn has more fail than a record
// names, in slices of one.
func TestManyWhoCannotBeRevokedKeepNoneFromTheirTurn(t *testing.T) {
	e := both(t, authpipetest.Options{})
	record := e.raw("cred/" + uma)
	for i := range 105 {
		e.plant(fmt.Sprintf("cred/org_acme/facebook/users/%03d", i), record) // opens nowhere
	}
	token := e.served(uma)
	e.must(logical.DeleteOperation, acme, nil)
	for range 120 {
		e.clock.Advance(2 * time.Minute)
		e.slowly()
		e.Sweep(t.Context())
		if i := e.deletion()["attempts"].(int); i > 0 {
			break
		}
	}
	e.storage.Reset()
	got := e.deletion()
	if got["unrevoked_count"] != 105 || len(got["unrevoked"].([]string)) != 100 || got["removed"] != 2 || e.valid(token) {
		t.Errorf("it reads %v, uma's grant lives: %v", got, e.valid(token))
	}
	e.must(logical.DeleteOperation, acme, map[string]any{"force": true})
	e.after(2 * time.Minute)
	e.deleted("by force")
}

func TestADeletionTakesMoreSaidLater(t *testing.T) {
	for name, said := range map[string]map[string]any{"force": {"force": true}, "no revoking": {"revoke": false}} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.must(logical.DeleteOperation, acme, nil)
			defer e.fb.Fail(down)()
			e.after(2 * time.Minute)
			e.must(logical.DeleteOperation, acme, nil) // says nothing new
			e.after(2 * time.Minute)
			if got := e.deletion(); got["unrevoked_count"] != 2 {
				t.Errorf("it reads %v", got)
			}
			e.must(logical.DeleteOperation, acme, said)
			e.after(2 * time.Minute)
			if left := e.keys("cred/org_acme"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			e.refused("not_found", 404, logical.ReadOperation, acme, nil)
		})
	}
}

func TestMoreIsHeardWhileTheWorkerIsAtIt(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, acme, nil)
	e.clock.Advance(2 * time.Minute)
	e.during(down,
		func() { e.Sweep(t.Context()) },
		func() {
			e.fb.Fail(down)
			e.must(logical.DeleteOperation, acme, map[string]any{"revoke": false})
		})
	e.after(2 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, acme, nil)
}

func TestByForceTheKeysGoAtOnce(t *testing.T) {
	e := populated(t)
	other := e.node(standby{})
	other.read("creds/" + uma)
	n := e.fb.Count("")
	resp, err := e.do(logical.DeleteOperation, acme, map[string]any{"force": true})
	if err != nil || len(resp.Warnings) != 1 || !strings.Contains(resp.Warnings[0], "can be revoked") {
		t.Fatalf("answered %v, %v", resp, err)
	}
	if left := e.keys("keyring/tenant/org_acme"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
	other.InvalidateKey(t.Context(), "keyring/tenant/org_acme")
	e.remove("tenant/org_acme") // so that nothing but the key keeps it from being served
	other.InvalidateKey(t.Context(), "tenant/org_acme")
	if resp, err := other.do(logical.ReadOperation, "creds/"+uma, nil); err == nil {
		t.Errorf("another node answers %v", resp.Data["provider_user_id"])
	}
	e.InvalidateKey(t.Context(), "tenant/org_acme")
	if resp, err := e.do(logical.ReadOperation, "creds/"+uma, nil); err == nil {
		t.Errorf("this node answers %v", resp.Data["provider_user_id"])
	}
	if e.fb.Count("") != n {
		t.Error("the provider was asked")
	}
}

func TestByForceAllIsRemoved(t *testing.T) {
	e := populated(t)
	n := e.fb.Count("")
	e.must(logical.DeleteOperation, acme, map[string]any{"force": true})
	e.log.Reset()
	e.after(2 * time.Minute)
	if e.fb.Count("") != n {
		t.Error("the provider was asked")
	}
	if log := e.log.String(); !strings.Contains(log, "forgotten without revoking") || !strings.Contains(log, uma) {
		t.Errorf("the log does not say what was forgotten: %s", log)
	}
	if left := e.left("org_acme"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// Their account is nobody's but the other tenant's.
	token := e.served(globex)
	if resp, err := e.do(logical.DeleteOperation, "creds/"+globex, nil); err != nil || resp != nil && len(resp.Warnings) > 0 {
		t.Errorf("answered %v, %v", resp, err)
	}
	if e.valid(token) {
		t.Error("the grant was not revoked")
	}
}

func TestAGrantIsRevokedThatOnlyAShreddedTenantHeldToo(t *testing.T) {
	e := populated(t)
	token := e.served(globex)
	e.must(logical.DeleteOperation, acme, map[string]any{"force": true})
	if resp, err := e.do(logical.DeleteOperation, "creds/"+globex, nil); err != nil || resp != nil && len(resp.Warnings) > 0 {
		t.Errorf("answered %v, %v", resp, err)
	}
	if e.valid(token) {
		t.Error("the grant was not revoked")
	}
}

func TestTwoTenantsOfOneAccountThatAreDeletedTogetherRevokeIt(t *testing.T) {
	e := populated(t)
	token := e.served(globex)
	e.must(logical.DeleteOperation, acme, nil)
	e.must(logical.DeleteOperation, "tenants/org_globex", nil)
	e.after(2 * time.Minute)
	if e.valid(token) {
		t.Error("each left the grant to the other")
	}
	if left := append(e.left("org_acme"), e.left("org_globex")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestWithoutRevokingTheProviderIsNotTold(t *testing.T) {
	e := both(t, authpipetest.Options{})
	token, n := e.served(uma), e.fb.Count("")
	e.must(logical.DeleteOperation, acme, map[string]any{"revoke": false})
	e.after(2 * time.Minute)
	if !e.valid(token) || e.fb.Count("") != n {
		t.Error("it was")
	}
	e.deleted("at the end")
}

func TestASessionOfADeletedTenantIsNone(t *testing.T) {
	for name, at := range map[string]struct{ deleted, again bool }{
		"while it is being deleted": {}, "when it is gone": {deleted: true}, "when it has begun anew": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			waiting, parked := e.begin(udo, nil), e.begin(udo, nil)
			back := e.consent(waiting, authpipetest.Consent{User: "udo"})
			code := e.callback(e.consent(parked, authpipetest.Consent{User: "udo"})).code(t)
			e.must(logical.DeleteOperation, acme, nil)
			if at.deleted {
				e.after(2 * time.Minute)
			}
			if at.again {
				e.install()
			}
			n := e.fb.Count(authpipetest.EndpointAccessToken)
			if got := e.callback(back); got.status != 400 {
				t.Errorf("the callback is answered %d", got.status)
			}
			e.refused("not_found", 404, logical.UpdateOperation, parked.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			e.refused("not_found", 404, logical.ReadOperation, parked.path, nil)
			e.refused("not_found", 404, logical.DeleteOperation, parked.path, nil)
			if e.fb.Count(authpipetest.EndpointAccessToken) != n {
				t.Error("a code was sent")
			}
			e.after(2 * time.Hour)
			if keys := e.keys("session/"); len(keys) > 0 {
				t.Errorf("left: %v", keys)
			}
		})
	}
}

func TestADeletionTakesARemovalAndARotationOver(t *testing.T) {
	e := both(t, authpipetest.Options{})
	repair := e.fb.Fail(down)
	e.connect("org_acme/facebook/users/ada", "ada", authpipetest.Consent{User: "ada"}) // so that the installation is not told
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	e.after(2 * time.Minute)
	e.must(logical.DeleteOperation, acme, nil)
	if got := e.read(acme); len(got["removals"].(map[string]any)) > 0 || got["rotation"] != nil || got["key_version"] != 2 {
		t.Errorf("the tenant reads %v", got)
	}
	e.must(logical.DeleteOperation, acme, nil) // once more
	if got := e.read(acme); got["key_version"] != 2 {
		t.Errorf("deleted again, the tenant reads %v", got)
	}
	repair()
	e.after(7 * time.Hour)
	e.deleted("at the end")
}

// TestADeletionDuringAWalkWins has a tenant be deleted while its last record is
// being written by a reindex or a rotation.
func TestADeletionDuringAWalkWins(t *testing.T) {
	for _, walk := range []string{"/rotate", "/reindex"} {
		t.Run(walk, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.loseIndex("org_acme")
			e.after(25 * time.Hour)
			e.must(logical.UpdateOperation, acme+walk, nil)
			e.clock.Advance(2 * time.Minute)
			reached, release := e.hold("put", "cred/"+uma)
			var both sync.WaitGroup
			both.Go(func() { e.Sweep(context.Background()) })
			<-reached
			both.Go(func() { e.must(logical.DeleteOperation, acme, map[string]any{"force": true}) })
			e.settle()
			release()
			both.Wait()
			e.after(2 * time.Minute)
			e.after(2 * time.Minute)
			for _, key := range e.left("org_acme") {
				if !strings.HasPrefix(key, "account/") && !strings.Contains(key, ",credential,") {
					t.Errorf("left: %s", key)
				}
			}
		})
	}
}

func TestADeletionIsCarriedOnWhereItsEntryWasLost(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, acme, nil)
	e.loseIndex("org_acme")
	e.after(2 * time.Minute)
	e.deletion()
	e.must(logical.DeleteOperation, acme, nil)
	e.after(2 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, acme, nil)
}

// TestATenantOfManyIsDeletedInSlices has each slice be over after a lot of records.
func TestATenantOfManyIsDeletedInSlices(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for i := range 100 {
		user := fmt.Sprintf("u%02d", i)
		e.fb.AddUser(authpipetest.User{ID: user})
		e.connect("org_acme/facebook/users/"+user, user, authpipetest.Consent{User: user})
	}
	e.storage.Reset()
	e.must(logical.DeleteOperation, acme, nil)
	if n := len(e.storage.Operations()); n > 10 {
		t.Errorf("the request makes %d storage calls", n)
	}
	slices := 0
	for len(e.left("tenant/org_acme")) > 0 && slices < 50 {
		slices++
		e.clock.Advance(2 * time.Minute)
		e.slowly()
		e.sweep()
		e.storage.Reset()
		if slices == 3 {
			e.restart()
		}
	}
	if slices < 5 || slices == 50 {
		t.Errorf("it takes %d slices", slices)
	}
	e.deleted("at the end")
}

func TestADeletionNamesATenant(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.refused("not_found", 404, logical.DeleteOperation, "tenants/org_none", nil)
	e.refused("not_found", 404, logical.DeleteOperation, "tenants/org_none", map[string]any{"force": true})
	e.refused("invalid_request", 400, logical.DeleteOperation, acme, map[string]any{"suspended": true})
	e.read("creds/" + uma)
}
