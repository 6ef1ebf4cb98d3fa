package backend_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// populated returns an engine whose tenant org_acme has an installation for a
// business, a page of it, a user who is active and one whose grant is revoked.
// Another tenant's installation holds the active user's account.
func populated(t *testing.T) *engine {
	t.Helper()
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	e.read("creds/" + page777)
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"installation_config_id": ""})
	e.connect(globex, "boss", authpipetest.Consent{User: "uma"})
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
	e.fb.RemoveApp(appID, "udo")
	e.refused("revoked", 409, logical.UpdateOperation, "connections/"+udo+"/check", nil)
	return e
}

func (e *engine) remove(keys ...string) {
	e.t.Helper()
	for _, key := range keys {
		if err := e.storage.Storage.Delete(e.t.Context(), key); err != nil {
			e.t.Fatal(err)
		}
	}
}

var dueTime = regexp.MustCompile(`^due/\d+/\d+,`)

// index returns the keys of the tenant's hints, those of the due index without
// their minutes.
func (e *engine) index(tenant string) (index []string) {
	e.t.Helper()
	for _, prefix := range []string{"account/", "status/", "due/"} {
		for _, key := range e.keys(prefix) {
			if strings.Contains(key, "/"+tenant+",") || strings.Contains(key, ",credential,"+tenant+",") || strings.Contains(key, ",removal,"+tenant+",") {
				index = append(index, dueTime.ReplaceAllString(key, "due/"))
			}
		}
	}
	slices.Sort(index)
	return index
}

// loseIndex deletes every hint of the tenant.
func (e *engine) loseIndex(tenant string) {
	e.t.Helper()
	for _, prefix := range []string{"account/", "status/", "due/"} {
		for _, key := range e.keys(prefix) {
			if strings.Contains(key, tenant) {
				e.remove(key)
			}
		}
	}
}

func (e *engine) reindex() map[string]any {
	e.t.Helper()
	return e.read("tenants/org_acme")["reindex"].(map[string]any)
}

func (e *engine) reindexed() {
	e.t.Helper()
	e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	for range 10 {
		e.after(2 * time.Minute)
		if e.reindex()["finished_at"] != nil {
			return
		}
	}
	e.t.Fatalf("the reindex does not end: %v", e.reindex())
}

// expiry is when the token that is served for ref expires, by the provider's
// own books.
func (e *engine) expiry(ref string) time.Time {
	e.t.Helper()
	token, _ := e.fb.Inspect(e.read("creds/" + ref)["access_token"].(string))
	if !token.Valid {
		e.t.Fatalf("%s is served with a dead token", ref)
	}
	return token.ExpiresAt
}

func TestATenantThatLostItsIndexesIsWholeAfterAReindex(t *testing.T) {
	for name, restart := range map[string]bool{"in the engine that saw them": false, "in a new engine": true} {
		t.Run(name, func(t *testing.T) {
			e := populated(t)
			whole, others := e.index("org_acme"), e.index("org_globex")
			e.loseIndex("org_acme")
			if left := e.index("org_acme"); len(left) > 0 {
				t.Fatalf("left: %v", left)
			}
			if restart {
				e.restart()
			}
			e.reindexed()
			if diff := cmp.Diff(whole, e.index("org_acme")); diff != "" {
				t.Errorf("the indexes were and are: %s", diff)
			}
			if diff := cmp.Diff(others, e.index("org_globex")); diff != "" {
				t.Errorf("those of another tenant were and are: %s", diff)
			}
			e.checkInvariants("reindexed")
			if got := e.reindex(); got["done"] != 4 || got["unreadable"] != 0 {
				t.Errorf("the tenant's reindex reads %v", got)
			}
			if diff := cmp.Diff([]string{udo}, e.must(logical.ListOperation, "health/revoked/", nil)["keys"]); diff != "" {
				t.Error(diff)
			}
			// The account index keeps the grant that uma's credential lives by.
			if resp, err := e.do(logical.DeleteOperation, "creds/"+globex, nil); err != nil || resp == nil || !strings.Contains(resp.Warnings[0], "holds the same account") {
				t.Errorf("the other holder is deleted with %v, %v", resp, err)
			}
			for range 50 {
				e.after(24 * time.Hour)
			}
			if left := e.expiry(uma).Sub(e.clock.Now()); left < 30*24*time.Hour {
				t.Errorf("after 50 days the token has %v left: nobody refreshed it", left)
			}
		})
	}
}

func TestAReindexOfAWholeTenantWritesOnlyItsOwnProgress(t *testing.T) {
	e := populated(t)
	e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	e.clock.Advance(2 * time.Minute)
	e.storage.Reset()
	e.sweep()
	for _, op := range e.storage.Writes() {
		if op.Key != "tenant/org_acme" && !strings.Contains(op.Key, ",reindex,org_acme") {
			t.Errorf("it makes %v", op)
		}
	}
	if e.reindex()["finished_at"] == nil {
		t.Error("it has not ended")
	}
}

func TestAReindexDropsWhatTheStatusIndexSaysWrongly(t *testing.T) {
	e := populated(t)
	const gone = "org_acme,facebook,users,gone"
	e.put("status/failed/org_acme,facebook,users,uma")
	e.put("status/needs_reauth/org_acme,facebook,users,udo")
	e.put("status/revoked/" + gone)
	e.put("status/failed/" + gone)
	e.put("status/failed/org_globex,facebook,installation") // another tenant's
	e.reindexed()
	want := []string{"status/failed/org_globex,facebook,installation", "status/revoked/org_acme,facebook,users,udo"}
	if diff := cmp.Diff(want, e.keys("status/")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"needs_reauth": 0, "revoked": 1, "failed": 0}, e.read("tenants/org_acme")["counts"]); diff != "" {
		t.Error(diff)
	}
}

// TestADueEntryInAMinuteThatWasPassedIsLost has an entry lie where no sweep
// will come to again.
func TestADueEntryInAMinuteThatWasPassedIsLost(t *testing.T) {
	e := both(t, authpipetest.Options{})
	due := e.dueOf(uma)
	e.remove(due)
	e.after(25 * time.Hour) // past the check that was due
	checked := e.read("connections/" + uma)["checked_at"]
	e.put(due)
	e.after(2 * time.Minute)
	if e.read("connections/" + uma)["checked_at"] != checked {
		t.Fatal("it was found without a reindex")
	}
	e.reindexed()
	e.after(2 * time.Minute)
	if e.read("connections/" + uma)["checked_at"] == checked {
		t.Error("the check that was due is not made up for")
	}
	for _, key := range e.keys("due/") {
		if key == due {
			t.Error("the lost entry is still there")
		}
	}
}

// dueOf returns the key of ref's entry in the due index.
func (e *engine) dueOf(ref string) string {
	e.t.Helper()
	for _, key := range e.keys("due/") {
		if strings.HasSuffix(key, ",credential,"+strings.ReplaceAll(ref, "/", ",")) {
			return key
		}
	}
	e.t.Fatalf("%s has no entry", ref)
	return ""
}

// slowly has time pass with each record that is read: every slice is over
// after one. The reads are counted.
func (e *engine) slowly() (reads func(key string) int) {
	var mu sync.Mutex
	count := map[string]int{}
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "get" && strings.HasPrefix(op.Key, "cred/org_acme/") {
			mu.Lock()
			count[op.Key]++
			mu.Unlock()
			e.clock.Advance(30 * time.Second)
		}
		return nil
	})
	return func(key string) int {
		mu.Lock()
		defer mu.Unlock()
		return count[key]
	}
}

func TestAReindexGoesOnWhereItStopped(t *testing.T) {
	e := populated(t)
	whole := e.index("org_acme")
	e.loseIndex("org_acme")
	e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	started := e.reindex()["started_at"]
	if got := e.reindex(); got["done"] != 0 || got["finished_at"] != nil {
		t.Errorf("begun it reads %v", got)
	}
	for i, ref := range []string{installation, page777, udo, uma} {
		e.clock.Advance(2 * time.Minute)
		reads := e.slowly()
		e.sweep()
		if n := reads("cred/" + ref); n != 1 {
			t.Errorf("slice %d reads %s %d times", i+1, ref, n)
		}
		if got := e.reindex(); got["done"] != i+1 || got["started_at"] != started {
			t.Errorf("after slice %d it reads %v", i+1, got)
		}
		if i == 1 {
			// Writing again does not begin anew, even where the entry was lost.
			for _, key := range e.keys("due/") {
				if strings.HasSuffix(key, ",reindex,org_acme") {
					e.remove(key)
				}
			}
			e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
		}
		e.restart()
	}
	e.after(2 * time.Minute)
	if got := e.reindex(); got["done"] != 4 || got["finished_at"] == nil {
		t.Errorf("at the end it reads %v", got)
	}
	if diff := cmp.Diff(whole, e.index("org_acme")); diff != "" {
		t.Error(diff)
	}
	e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	if got := e.reindex(); got["done"] != 0 || got["finished_at"] != nil || got["started_at"] == started {
		t.Errorf("begun again it reads %v", got)
	}
}

// TestAReindexMayDieAtAnyStorageOperation stops the world at each operation of
// the request and of the sweep after it. Whatever had been true of a whole
// tenant stays true, and a later sweep makes a broken one whole.
func TestAReindexMayDieAtAnyStorageOperation(t *testing.T) {
	request := func(e *engine) { e.do(logical.UpdateOperation, "tenants/org_acme/reindex", nil) }
	sweep := func(e *engine) { e.Sweep(context.Background()) }
	for name, broken := range map[string]bool{"of a whole tenant": false, "of one that lost its indexes": true} {
		for step, act := range map[string]func(*engine){"request": request, "sweep": sweep} {
			t.Run(step+" "+name, func(t *testing.T) {
				t.Parallel()
				for c := range eachCrash() {
					e := populated(t)
					whole := e.index("org_acme")
					if broken {
						e.loseIndex("org_acme")
						e.after(25 * time.Hour) // so that records must name other entries
					}
					e.put("status/failed/org_acme,facebook,users,uma")
					if step == "sweep" {
						request(e)
						e.clock.Advance(2 * time.Minute)
					}
					e.storage.DieAt(c.operation, c.afterEffect)
					act(e)
					if c.misses(e) {
						continue
					}
					e.restart()
					when := c.String()
					if !broken {
						e.checkInvariants(when)
					}
					e.checkProgress(when)
					if step == "request" {
						e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
					}
					for range 3 {
						e.after(time.Minute)
					}
					e.checkInvariants(when + ", and swept")
					if diff := cmp.Diff(whole, e.index("org_acme")); diff != "" || e.reindex()["finished_at"] == nil {
						t.Errorf("%s, and swept: %v %s", when, e.reindex(), diff)
					}
				}
			})
		}
	}
}

// checkProgress checks that a reindex that is not finished will be gone on
// with.
func (e *engine) checkProgress(when string) {
	e.t.Helper()
	walk, ok := e.read("tenants/org_acme")["reindex"].(map[string]any)
	if ok && walk["finished_at"] == nil && !strings.Contains(strings.Join(e.keys("due/"), "\n")+"\n", ",reindex,org_acme\n") {
		e.t.Errorf("%s: nothing will go on with %v", when, walk)
	}
}

func TestARefreshThatIsUnderWayOutlivesAReindex(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.after(20 * 24 * time.Hour)
	before := e.read("connections/" + uma)["generation"].(uint64)
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken},
		func() { e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) },
		func() {
			e.loseIndex("org_acme")
			e.after(25 * time.Hour) // so that the record must name another entry
			e.reindexed()
		})
	if got := e.read("connections/" + uma)["generation"].(uint64); got != before+1 {
		t.Errorf("the fresh token was not stored: generation %d after %d", got, before)
	}
	e.checkInvariants("refreshed meanwhile")
}

func TestADeleteDuringAReindexWins(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.loseIndex("org_acme")
	e.after(25 * time.Hour) // so that the record must name another entry
	e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	e.clock.Advance(2 * time.Minute)
	reached, release := e.hold("put", "cred/"+uma)
	var sweeping sync.WaitGroup
	sweeping.Go(func() { e.Sweep(context.Background()) })
	<-reached
	n := e.fb.Count(authpipetest.EndpointRevoke)
	var deleting sync.WaitGroup
	deleting.Go(func() { e.must(logical.DeleteOperation, "creds/"+uma, nil) })
	e.awaitCalls(authpipetest.EndpointRevoke, n+1)
	e.settle()
	release()
	sweeping.Wait()
	deleting.Wait()
	for _, key := range e.keys("") {
		if strings.Contains(key, "users,uma") || strings.Contains(key, "users/uma") {
			t.Errorf("left: %s", key)
		}
	}
}

func TestAReindexTakesUpARemovalThatLostItsEntry(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.loseIndex("org_acme")
	e.after(2 * time.Minute)
	e.removal()
	if _, ok := e.read("tenants/org_acme")["removals"].(map[string]any)["facebook"]; !ok {
		t.Error("the tenant does not show the removal")
	}
	e.reindexed()
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
	if got := e.read("tenants/org_acme")["removals"].(map[string]any); len(got) != 0 {
		t.Errorf("the tenant still shows %v", got)
	}
	if left := e.index("org_acme"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAReindexEndsQuietlyWhereItsTenantIsGone(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
	e.remove(e.keys("cred/")...)
	e.remove("tenant/org_acme", "keyring/tenant/org_acme")
	e.restart()
	e.after(2 * time.Minute)
	for _, key := range e.keys("") {
		if strings.Contains(key, "reindex") || key == "tenant/org_acme" || key == "keyring/tenant/org_acme" {
			t.Errorf("left, or made anew: %s", key)
		}
	}
}

func TestAReindexPassesOverARecordThatDoesNotOpen(t *testing.T) {
	e := populated(t)
	entry, err := e.storage.Storage.Get(t.Context(), "cred/"+installation)
	if err != nil {
		t.Fatal(err)
	}
	entry.Key = "cred/" + udo
	e.storage.Storage.Put(t.Context(), entry)
	e.restart()
	e.reindexed()
	if got := e.reindex(); got["done"] != 4 || got["unreadable"] != 1 {
		t.Errorf("it reads %v", got)
	}
	if diff := cmp.Diff(map[string]any{udo: map[string]any{"status": "unreadable"}}, e.must(logical.ListOperation, "health/revoked/", nil)["key_info"]); diff != "" {
		t.Error(diff)
	}
}

func TestTenantsAreListedAndRead(t *testing.T) {
	e := populated(t)
	e.connect("org/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
	e.connect("org-2/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
	if diff := cmp.Diff([]string{"org", "org-2", "org_acme", "org_globex"}, e.must(logical.ListOperation, "tenants/", nil)["keys"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"org-2", "org_acme"}, e.must(logical.ListOperation, "tenants/", map[string]any{"after": "org", "limit": 2})["keys"]); diff != "" {
		t.Error(diff)
	}
	want := map[string]any{
		"tenant_id": "org_acme", "created_at": "2026-11-23T12:00:00Z", "removals": map[string]any{},
		"suspended": false, "key_version": 1,
		"counts": map[string]any{"needs_reauth": 0, "revoked": 1, "failed": 0},
	}
	if diff := cmp.Diff(want, e.read("tenants/org_acme")); diff != "" {
		t.Error(diff)
	}
	e.refused("not_found", 404, logical.ReadOperation, "tenants/org_none", nil)
	e.refused("not_found", 404, logical.UpdateOperation, "tenants/org_none/reindex", nil)
	e.refused("invalid_request", 400, logical.ReadOperation, "tenants/-", nil)
	e.refused("invalid_request", 400, logical.UpdateOperation, "tenants/org_acme/reindex", map[string]any{"all": true})
}
