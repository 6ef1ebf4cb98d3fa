package upkeep_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestReindexRestoresLostIndexes(t *testing.T) {
	for name, restart := range map[string]bool{"in the engine that saw them": false, "in a new engine": true} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Populated(t)
			whole, others := e.Tenant.Index("org_acme"), e.Tenant.Index("org_globex")
			e.Tenant.LoseIndex("org_acme")
			if left := e.Tenant.Index("org_acme"); len(left) > 0 {
				t.Fatalf("left: %v", left)
			}
			if restart {
				e.Restart()
			}
			e.Tenant.RunReindex()
			if diff := cmp.Diff(whole, e.Tenant.Index("org_acme")); diff != "" {
				t.Errorf("the indexes were and are: %s", diff)
			}
			if diff := cmp.Diff(others, e.Tenant.Index("org_globex")); diff != "" {
				t.Errorf("those of another tenant were and are: %s", diff)
			}
			e.CheckInvariants("reindexed")
			if got := e.Tenant.Reindex(); got["done"] != 4 || got["unreadable"] != 0 {
				t.Errorf("the tenant's reindex reads %v", got)
			}
			if diff := cmp.Diff([]string{enginetest.Udo}, e.Must(logical.ListOperation, "health/revoked/", nil)["keys"]); diff != "" {
				t.Error(diff)
			}
			// The account index keeps the grant that uma's credential lives by.
			if resp, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Globex, nil); err != nil || resp == nil || !strings.Contains(resp.Warnings[0], "holds the same account") {
				t.Errorf("the other holder is deleted with %v, %v", resp, err)
			}
			for range 50 {
				e.After(24 * time.Hour)
			}
			if left := e.Expiry(enginetest.Uma).Sub(e.Clock.Now()); left < 30*24*time.Hour {
				t.Errorf("after 50 days the token has %v left: it was not refreshed", left)
			}
		})
	}
}

func TestReindexOfWholeTenantWritesOnlyProgress(t *testing.T) {
	e := enginetest.Populated(t)
	e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	e.Clock.Advance(2 * time.Minute)
	e.Storage.Reset()
	e.MustSweep()
	for _, op := range e.Storage.Writes() {
		if op.Key != "tenant/org_acme" && !strings.Contains(op.Key, ",reindex,org_acme") {
			t.Errorf("it makes %v", op)
		}
	}
	if e.Tenant.Reindex()["finished_at"] == nil {
		t.Error("it has not ended")
	}
}

func TestReindexDeletesStaleStatusEntries(t *testing.T) {
	e := enginetest.Populated(t)
	const gone = "org_acme,facebook,users,gone"
	e.Storage.PutEntry("status/failed/org_acme,facebook,users,uma")
	e.Storage.PutEntry("status/needs_reauth/org_acme,facebook,users,udo")
	e.Storage.PutEntry("status/revoked/" + gone)
	e.Storage.PutEntry("status/failed/" + gone)
	e.Storage.PutEntry("status/failed/org_globex,facebook,installation") // another tenant's
	e.Tenant.RunReindex()
	want := []string{"status/failed/org_globex,facebook,installation", "status/revoked/org_acme,facebook,users,udo"}
	if diff := cmp.Diff(want, e.Storage.Under("status/")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"needs_reauth": 0, "revoked": 1, "failed": 0}, e.Read("tenants/org_acme")["counts"]); diff != "" {
		t.Error(diff)
	}
}

// TestReindexRestoresDueEntryBehindWatermark has an entry lie where no sweep
// will come to again.
func TestReindexRestoresDueEntryBehindWatermark(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	due := dueOf(e, enginetest.Uma)
	e.Storage.Remove(due)
	e.After(25 * time.Hour) // past the check that was due
	checked := e.Read("connections/" + enginetest.Uma)["checked_at"]
	e.Storage.PutEntry(due)
	e.After(2 * time.Minute)
	if e.Read("connections/" + enginetest.Uma)["checked_at"] != checked {
		t.Fatal("it was found without a reindex")
	}
	e.Tenant.RunReindex()
	e.After(2 * time.Minute)
	if e.Read("connections/" + enginetest.Uma)["checked_at"] == checked {
		t.Error("the check that was due is not made up for")
	}
	for _, key := range e.Storage.Under("due/") {
		if key == due {
			t.Error("the lost entry is still there")
		}
	}
}

// dueOf returns the key of ref's entry in the due index.
func dueOf(e *enginetest.Engine, ref string) string {
	e.T.Helper()
	for _, key := range e.Storage.Under("due/") {
		if strings.HasSuffix(key, ",credential,"+strings.ReplaceAll(ref, "/", ",")) {
			return key
		}
	}
	e.T.Fatalf("%s has no entry", ref)
	return ""
}

func TestReindexContinuesAtItsCursor(t *testing.T) {
	e := enginetest.Populated(t)
	whole := e.Tenant.Index("org_acme")
	e.Tenant.LoseIndex("org_acme")
	e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	started := e.Tenant.Reindex()["started_at"]
	if got := e.Tenant.Reindex(); got["done"] != 0 || got["finished_at"] != nil {
		t.Errorf("begun it reads %v", got)
	}
	for i, ref := range []string{enginetest.Installation, enginetest.Page777, enginetest.Udo, enginetest.Uma} {
		e.Clock.Advance(2 * time.Minute)
		reads := e.SlowReads()
		e.MustSweep()
		if n := reads("cred/" + ref); n != 1 {
			t.Errorf("slice %d reads %s %d times", i+1, ref, n)
		}
		if got := e.Tenant.Reindex(); got["done"] != i+1 || got["started_at"] != started {
			t.Errorf("after slice %d it reads %v", i+1, got)
		}
		if i == 1 {
			// Writing again does not begin anew, even where the entry was lost.
			for _, key := range e.Storage.Under("due/") {
				if strings.HasSuffix(key, ",reindex,org_acme") {
					e.Storage.Remove(key)
				}
			}
			e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
		}
		e.Restart()
	}
	e.After(2 * time.Minute)
	if got := e.Tenant.Reindex(); got["done"] != 4 || got["finished_at"] == nil {
		t.Errorf("at the end it reads %v", got)
	}
	if diff := cmp.Diff(whole, e.Tenant.Index("org_acme")); diff != "" {
		t.Error(diff)
	}
	e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	if got := e.Tenant.Reindex(); got["done"] != 0 || got["finished_at"] != nil || got["started_at"] == started {
		t.Errorf("begun again it reads %v", got)
	}
}

// TestReindexSurvivesCrash stops the world at each operation of
// the request and of the sweep after it. Whatever had been true of a whole
// tenant stays true, and a later sweep makes a broken one whole.
func TestReindexSurvivesCrash(t *testing.T) {
	request := func(e *enginetest.Engine) error {
		return e.Try(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	}
	for name, broken := range map[string]bool{"of a whole tenant": false, "of one that lost its indexes": true} {
		for step, act := range map[string]func(*enginetest.Engine) error{"request": request, "sweep": (*enginetest.Engine).TrySweep} {
			t.Run(step+" "+name, func(t *testing.T) {
				t.Parallel()
				var whole []string
				setup := func() *enginetest.Engine {
					e := enginetest.Populated(t)
					whole = e.Tenant.Index("org_acme")
					if broken {
						e.Tenant.LoseIndex("org_acme")
						e.After(25 * time.Hour) // so that records must name other entries
					}
					e.Storage.PutEntry("status/failed/org_acme,facebook,users,uma")
					if step == "sweep" {
						request(e)
						e.Clock.Advance(2 * time.Minute)
					}
					return e
				}
				enginetest.EachCrash(setup, act, func(e *enginetest.Engine, f enginetest.Failure) {
					when := f.String()
					if !broken {
						e.CheckInvariants(when)
					}
					checkProgress(e, when)
					if step == "request" {
						e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
					}
					for range 3 {
						e.After(time.Minute)
					}
					e.CheckInvariants(when + ", and swept")
					if diff := cmp.Diff(whole, e.Tenant.Index("org_acme")); diff != "" || e.Tenant.Reindex()["finished_at"] == nil {
						t.Errorf("%s, and swept: %v %s", when, e.Tenant.Reindex(), diff)
					}
				})
			})
		}
	}
}

// checkProgress checks that a reindex that is not finished will be gone on
// with.
func checkProgress(e *enginetest.Engine, when string) {
	e.T.Helper()
	walk, ok := e.Read("tenants/org_acme")["reindex"].(map[string]any)
	if ok && walk["finished_at"] == nil && !strings.Contains(strings.Join(e.Storage.Under("due/"), "\n")+"\n", ",reindex,org_acme\n") {
		e.T.Errorf("%s: nothing will go on with %v", when, walk)
	}
}

func TestRefreshSurvivesReindex(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.After(20 * 24 * time.Hour)
	before := e.Read("connections/" + enginetest.Uma)["generation"].(uint64)
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken},
		func() { e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil) },
		func() {
			e.Tenant.LoseIndex("org_acme")
			e.After(25 * time.Hour) // so that the record must name another entry
			e.Tenant.RunReindex()
		})
	if got := e.Read("connections/" + enginetest.Uma)["generation"].(uint64); got != before+1 {
		t.Errorf("the fresh token was not stored: generation %d after %d", got, before)
	}
	e.CheckInvariants("refreshed meanwhile")
}

func TestDeleteWinsOverReindex(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Tenant.LoseIndex("org_acme")
	e.After(25 * time.Hour) // so that the record must name another entry
	e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	e.Clock.Advance(2 * time.Minute)
	reached, release := e.Storage.Hold("put", "cred/"+enginetest.Uma)
	var sweeping sync.WaitGroup
	sweeping.Go(func() { e.Sweep(context.Background()) })
	<-reached
	n := e.Facebook.Count(authpipetest.EndpointRevoke)
	var deleting sync.WaitGroup
	deleting.Go(func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) })
	e.Facebook.AwaitCalls(authpipetest.EndpointRevoke, n+1)
	e.Storage.AwaitQuiet()
	release()
	sweeping.Wait()
	deleting.Wait()
	for _, key := range e.Storage.Under("") {
		if strings.Contains(key, "users,uma") || strings.Contains(key, "users/uma") {
			t.Errorf("left: %s", key)
		}
	}
}

func TestReindexResumesRemoval(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Tenant.LoseIndex("org_acme")
	e.After(2 * time.Minute)
	e.Tenant.Removal()
	if _, ok := e.Read("tenants/org_acme")["removals"].(map[string]any)["facebook"]; !ok {
		t.Error("the tenant does not show the removal")
	}
	e.Tenant.RunReindex()
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
	if got := e.Read("tenants/org_acme")["removals"].(map[string]any); len(got) != 0 {
		t.Errorf("the tenant still shows %v", got)
	}
	if left := e.Tenant.Index("org_acme"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestReindexEndsWithDeletedTenant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	e.Storage.Remove(e.Storage.Under("cred/")...)
	e.Storage.Remove("tenant/org_acme", "keyring/tenant/org_acme")
	e.Restart()
	e.After(2 * time.Minute)
	for _, key := range e.Storage.Under("") {
		if strings.Contains(key, "reindex") || key == "tenant/org_acme" || key == "keyring/tenant/org_acme" {
			t.Errorf("left, or made anew: %s", key)
		}
	}
}

func TestReindexSkipsUnreadableRecord(t *testing.T) {
	e := enginetest.Populated(t)
	entry, err := e.Storage.Storage.Get(t.Context(), "cred/"+enginetest.Installation)
	if err != nil {
		t.Fatal(err)
	}
	entry.Key = "cred/" + enginetest.Udo
	e.Storage.Storage.Put(t.Context(), entry)
	e.Restart()
	e.Tenant.RunReindex()
	if got := e.Tenant.Reindex(); got["done"] != 4 || got["unreadable"] != 1 {
		t.Errorf("it reads %v", got)
	}
	if diff := cmp.Diff(map[string]any{enginetest.Udo: map[string]any{"status": "unreadable"}}, e.Must(logical.ListOperation, "health/revoked/", nil)["key_info"]); diff != "" {
		t.Error(diff)
	}
}

func TestTenantsAreListedAndRead(t *testing.T) {
	e := enginetest.Populated(t)
	e.Connect("org/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
	e.Connect("org-2/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
	if diff := cmp.Diff([]string{"org", "org-2", "org_acme", "org_globex"}, e.Must(logical.ListOperation, "tenants/", nil)["keys"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"org-2", "org_acme"}, e.Must(logical.ListOperation, "tenants/", map[string]any{"after": "org", "limit": 2})["keys"]); diff != "" {
		t.Error(diff)
	}
	want := map[string]any{
		"tenant_id": "org_acme", "created_at": "2026-11-23T12:00:00Z", "removals": map[string]any{},
		"suspended": false, "key_version": 1,
		"counts": map[string]any{"needs_reauth": 0, "revoked": 1, "failed": 0},
	}
	if diff := cmp.Diff(want, e.Read("tenants/org_acme")); diff != "" {
		t.Error(diff)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "tenants/org_none", nil)
	e.Refused("not_found", 404, logical.UpdateOperation, "tenants/org_none/reindex", nil)
	e.Refused("invalid_request", 400, logical.ReadOperation, "tenants/-", nil)
	e.Refused("invalid_request", 400, logical.UpdateOperation, "tenants/org_acme/reindex", map[string]any{"all": true})
}
