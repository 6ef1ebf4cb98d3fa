package removal_test

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
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func deletion(e *enginetest.Engine) map[string]any {
	e.T.Helper()
	deletion, ok := e.Read(enginetest.Acme)["deletion"].(map[string]any)
	if !ok {
		e.T.Fatalf("the tenant is not being deleted: %v", e.Read(enginetest.Acme))
	}
	return deletion
}

func TestTenantDeletionRevokesAndRemovesAll(t *testing.T) {
	e := enginetest.Populated(t) // org_globex holds uma's account
	e.Connect("org_acme/facebook/users/ada", "ada", authpipetest.Consent{User: "ada"})
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey)
	e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
	ada, shared := e.Token("org_acme/facebook/users/ada"), e.Token(enginetest.Uma)
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	e.Must(logical.UpdateOperation, enginetest.Acme+"/reindex", nil)
	others := e.Tenant.Index("org_globex")
	record := e.Storage.Raw("cred/" + enginetest.Uma)
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	if got := deletion(e); got["revoke"] != true || got["force"] != false || got["removed"] != 0 {
		t.Errorf("it reads %v", got)
	}
	for _, ref := range []string{enginetest.StaticHook, enginetest.StaticStripe} {
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
		e.Refused("not_found", 404, logical.ReadOperation, "connections/"+ref, nil)
		e.Refused("not_found", 404, logical.UpdateOperation, "creds/"+ref, map[string]any{"credential": "other", "credential_type": "api_key"})
	}
	for _, ref := range []string{enginetest.Installation, enginetest.Uma, enginetest.Udo, enginetest.Page777} {
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
		e.Refused("not_found", 404, logical.ReadOperation, "connections/"+ref, nil)
		e.Refused("not_found", 404, logical.UpdateOperation, "connections/"+ref+"/refresh", nil)
	}
	e.Refused("not_found", 404, logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.Refused("not_found", 404, logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Refused("not_found", 404, logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
	e.Refused("not_found", 404, logical.UpdateOperation, "connect/"+enginetest.Uma, nil)
	e.Refused("not_found", 404, logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": shared})
	e.Refused("not_found", 404, logical.UpdateOperation, enginetest.Acme, map[string]any{"suspended": true})
	e.Refused("not_found", 404, logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	e.Refused("not_found", 404, logical.UpdateOperation, enginetest.Acme+"/reindex", nil)
	e.Restart()
	e.After(2 * time.Minute)
	if e.Facebook.Valid(ada) {
		t.Error("ada's grant lives")
	}
	if !e.Facebook.Valid(shared) || e.Token(enginetest.Globex) == "" {
		t.Error("a grant was revoked that another tenant holds")
	}
	if diff := cmp.Diff(others, e.Tenant.Index("org_globex")); diff != "" {
		t.Errorf("the other tenant's indexes: %s", diff)
	}
	found, _ := e.Events(0)
	if last := found[len(found)-1]; last != "tenant.deleted org_acme" {
		t.Errorf("the last event is %s", last)
	}
	e.Tenant.CheckDeleted("at the end")
	e.Plant("cred/"+enginetest.Uma, record)
	if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err == nil {
		t.Errorf("a record of the former tenant opens: %v", resp.Data["provider_user_id"])
	}
	e.Storage.Remove("cred/" + enginetest.Uma)
	e.InvalidateKey(t.Context(), "cred/"+enginetest.Uma)
}

func TestListShowsTenantDeletion(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	info := e.Must(logical.ListOperation, "creds/org_acme/facebook/users/", nil)["key_info"].(map[string]any)["uma"].(map[string]any)
	if info["removing"] != true {
		t.Errorf("key_info is %v", info)
	}
}

func TestTenantDeletionWaitsForRevocation(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token := e.Token(enginetest.Uma)
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	repair := e.Facebook.Fail(enginetest.RevokeDown)
	for range 3 {
		e.After(7 * time.Hour)
	}
	want := []string{enginetest.Installation, enginetest.Uma}
	if got := deletion(e); got["unrevoked_count"] != 2 || got["attempts"] != 3 || !cmp.Equal(got["unrevoked"], want) {
		t.Errorf("it reads %v", got)
	}
	repair()
	e.After(7 * time.Hour)
	if e.Facebook.Valid(token) {
		t.Error("uma's grant was forgotten, not revoked")
	}
	e.Tenant.CheckDeleted("at the end")
}

// TestFailingRevocationsDelayNoOthers has more fail than a record
// names, in slices of one.
func TestFailingRevocationsDelayNoOthers(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	record := e.Storage.Raw("cred/" + enginetest.Uma)
	for i := range 105 {
		e.Plant(fmt.Sprintf("cred/org_acme/facebook/users/%03d", i), record) // opens nowhere
	}
	token := e.Token(enginetest.Uma)
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	for range 120 {
		e.Clock.Advance(2 * time.Minute)
		e.SlowReads()
		e.Sweep(t.Context())
		if i := deletion(e)["attempts"].(int); i > 0 {
			break
		}
	}
	e.Storage.Reset()
	got := deletion(e)
	if got["unrevoked_count"] != 105 || len(got["unrevoked"].([]string)) != 100 || got["removed"] != 2 || e.Facebook.Valid(token) {
		t.Errorf("it reads %v, uma's grant lives: %v", got, e.Facebook.Valid(token))
	}
	e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true})
	e.After(2 * time.Minute)
	e.Tenant.CheckDeleted("by force")
}

func TestTenantDeletionTakesLaterOptions(t *testing.T) {
	for name, said := range map[string]map[string]any{"force": {"force": true}, "no revoking": {"revoke": false}} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Must(logical.DeleteOperation, enginetest.Acme, nil)
			defer e.Facebook.Fail(enginetest.RevokeDown)()
			e.After(2 * time.Minute)
			e.Must(logical.DeleteOperation, enginetest.Acme, nil) // says nothing new
			e.After(2 * time.Minute)
			if got := deletion(e); got["unrevoked_count"] != 2 {
				t.Errorf("it reads %v", got)
			}
			e.Must(logical.DeleteOperation, enginetest.Acme, said)
			e.After(2 * time.Minute)
			if left := e.Storage.Under("cred/org_acme"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			e.Refused("not_found", 404, logical.ReadOperation, enginetest.Acme, nil)
		})
	}
}

func TestTenantDeletionTakesOptionsDuringSweep(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	e.Clock.Advance(2 * time.Minute)
	e.Facebook.During(enginetest.RevokeDown,
		func() { e.Sweep(t.Context()) },
		func() {
			e.Facebook.Fail(enginetest.RevokeDown)
			e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"revoke": false})
		})
	e.After(2 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, enginetest.Acme, nil)
}

func TestForcedTenantDeletionPurgesKeysAtOnce(t *testing.T) {
	e := enginetest.Populated(t)
	other := e.Node(enginetest.Standby())
	other.Read("creds/" + enginetest.Uma)
	n := e.Facebook.Count("")
	resp, err := e.Do(logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true})
	if err != nil || len(resp.Warnings) != 1 || !strings.Contains(resp.Warnings[0], "can only be revoked by the people") {
		t.Fatalf("answered %v, %v", resp, err)
	}
	if left := e.Storage.Under("keyring/tenant/org_acme"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	other.InvalidateKey(t.Context(), "keyring/tenant/org_acme")
	e.Storage.Remove("tenant/org_acme") // so that nothing but the key keeps it from being served
	other.InvalidateKey(t.Context(), "tenant/org_acme")
	if resp, err := other.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err == nil {
		t.Errorf("another node answers %v", resp.Data["provider_user_id"])
	}
	e.InvalidateKey(t.Context(), "tenant/org_acme")
	if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err == nil {
		t.Errorf("this node answers %v", resp.Data["provider_user_id"])
	}
	if e.Facebook.Count("") != n {
		t.Error("the provider was asked")
	}
}

func TestForcedTenantDeletionRemovesAll(t *testing.T) {
	e := enginetest.Populated(t)
	n := e.Facebook.Count("")
	e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true})
	e.Log.Reset()
	e.After(2 * time.Minute)
	if e.Facebook.Count("") != n {
		t.Error("the provider was asked")
	}
	if log := e.Log.String(); !strings.Contains(log, "deleted without revoking the grant") || !strings.Contains(log, enginetest.Uma) {
		t.Errorf("the log does not say what was forgotten: %s", log)
	}
	if left := e.Storage.LeftOf("org_acme"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// Only the other tenant holds their account.
	token := e.Token(enginetest.Globex)
	if resp, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Globex, nil); err != nil || resp != nil && len(resp.Warnings) > 0 {
		t.Errorf("answered %v, %v", resp, err)
	}
	if e.Facebook.Valid(token) {
		t.Error("the grant was not revoked")
	}
}

func TestGrantSharedWithPurgedTenantIsRevoked(t *testing.T) {
	e := enginetest.Populated(t)
	token := e.Token(enginetest.Globex)
	e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true})
	if resp, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Globex, nil); err != nil || resp != nil && len(resp.Warnings) > 0 {
		t.Errorf("answered %v, %v", resp, err)
	}
	if e.Facebook.Valid(token) {
		t.Error("the grant was not revoked")
	}
}

func TestLastOfTwoTenantDeletionsRevokesAccount(t *testing.T) {
	e := enginetest.Populated(t)
	token := e.Token(enginetest.Globex)
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	e.Must(logical.DeleteOperation, "tenants/org_globex", nil)
	e.After(2 * time.Minute)
	if e.Facebook.Valid(token) {
		t.Error("each left the grant to the other")
	}
	if left := append(e.Storage.LeftOf("org_acme"), e.Storage.LeftOf("org_globex")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestTenantDeletionWithoutRevokeMakesNoCall(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token, n := e.Token(enginetest.Uma), e.Facebook.Count("")
	e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"revoke": false})
	e.After(2 * time.Minute)
	if !e.Facebook.Valid(token) || e.Facebook.Count("") != n {
		t.Error("it was")
	}
	e.Tenant.CheckDeleted("at the end")
}

func TestSessionOfDeletedTenantIsNotFound(t *testing.T) {
	for name, at := range map[string]struct{ deleted, again bool }{
		"while it is being deleted": {}, "when it is gone": {deleted: true}, "when it has begun anew": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			waiting, parked := e.Begin(enginetest.Udo, nil), e.Begin(enginetest.Udo, nil)
			back := e.Consent(waiting, authpipetest.Consent{User: "udo"})
			code := e.Callback(e.Consent(parked, authpipetest.Consent{User: "udo"})).ConnectCode(t)
			e.Must(logical.DeleteOperation, enginetest.Acme, nil)
			if at.deleted {
				e.After(2 * time.Minute)
			}
			if at.again {
				e.Install()
			}
			n := e.Facebook.Count(authpipetest.EndpointAccessToken)
			if got := e.Callback(back); got.Status != 400 {
				t.Errorf("the callback is answered %d", got.Status)
			}
			e.Refused("not_found", 404, logical.UpdateOperation, parked.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			e.Refused("not_found", 404, logical.ReadOperation, parked.Path, nil)
			e.Refused("not_found", 404, logical.DeleteOperation, parked.Path, nil)
			if e.Facebook.Count(authpipetest.EndpointAccessToken) != n {
				t.Error("a code was sent")
			}
			e.After(2 * time.Hour)
			if keys := e.Storage.Under("session/"); len(keys) > 0 {
				t.Errorf("left: %v", keys)
			}
		})
	}
}

func TestTenantDeletionReplacesRemovalAndRotation(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	repair := e.Facebook.Fail(enginetest.RevokeDown)
	e.Connect("org_acme/facebook/users/ada", "ada", authpipetest.Consent{User: "ada"}) // so that the installation's grant is not revoked
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	e.After(2 * time.Minute)
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	if got := e.Read(enginetest.Acme); len(got["removals"].(map[string]any)) > 0 || got["rotation"] != nil || got["key_version"] != 2 {
		t.Errorf("the tenant reads %v", got)
	}
	e.Must(logical.DeleteOperation, enginetest.Acme, nil) // once more
	if got := e.Read(enginetest.Acme); got["key_version"] != 2 {
		t.Errorf("deleted again, the tenant reads %v", got)
	}
	repair()
	e.After(7 * time.Hour)
	e.Tenant.CheckDeleted("at the end")
}

// TestTenantDeletionWinsOverScan has a tenant be deleted while its last record is
// being written by a reindex or a rotation.
func TestTenantDeletionWinsOverScan(t *testing.T) {
	for _, walk := range []string{"/rotate", "/reindex"} {
		t.Run(walk, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Tenant.LoseIndex("org_acme")
			e.After(25 * time.Hour)
			e.Must(logical.UpdateOperation, enginetest.Acme+walk, nil)
			e.Clock.Advance(2 * time.Minute)
			reached, release := e.Storage.Hold("put", "cred/"+enginetest.Uma)
			var both sync.WaitGroup
			both.Go(func() { e.Sweep(context.Background()) })
			<-reached
			both.Go(func() { e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true}) })
			e.Storage.AwaitQuiet()
			release()
			both.Wait()
			e.After(2 * time.Minute)
			e.After(2 * time.Minute)
			for _, key := range e.Storage.LeftOf("org_acme") {
				if !strings.HasPrefix(key, "account/") && !strings.Contains(key, ",credential,") {
					t.Errorf("left: %s", key)
				}
			}
		})
	}
}

func TestTenantDeletionContinuesWithoutItsEntry(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	e.Tenant.LoseIndex("org_acme")
	e.After(2 * time.Minute)
	deletion(e)
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	e.After(2 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, enginetest.Acme, nil)
}

// TestLargeTenantIsDeletedInSlices ends each slice after some records.
func TestLargeTenantIsDeletedInSlices(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for i := range 100 {
		user := fmt.Sprintf("u%02d", i)
		e.Facebook.AddUser(authpipetest.User{ID: user})
		e.Connect("org_acme/facebook/users/"+user, user, authpipetest.Consent{User: user})
	}
	e.Storage.Reset()
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	if n := len(e.Storage.Operations()); n > 10 {
		t.Errorf("the request makes %d storage calls", n)
	}
	slices := 0
	for len(e.Storage.LeftOf("tenant/org_acme")) > 0 && slices < 50 {
		slices++
		e.Clock.Advance(2 * time.Minute)
		e.SlowReads()
		e.MustSweep()
		e.Storage.Reset()
		if slices == 3 {
			e.Restart()
		}
	}
	if slices < 5 || slices == 50 {
		t.Errorf("it takes %d slices", slices)
	}
	e.Tenant.CheckDeleted("at the end")
}

func TestDeletionNeedsKnownTenant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Refused("not_found", 404, logical.DeleteOperation, "tenants/org_none", nil)
	e.Refused("not_found", 404, logical.DeleteOperation, "tenants/org_none", map[string]any{"force": true})
	e.Refused("invalid_request", 400, logical.DeleteOperation, enginetest.Acme, map[string]any{"suspended": true})
	e.Read("creds/" + enginetest.Uma)
}
