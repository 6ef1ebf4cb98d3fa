package backend_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// naming returns what lies in storage in the clear and has text in its key or value.
func (e *engine) naming(text string) (found []string) {
	e.t.Helper()
	for _, key := range e.keys("") {
		if entry, err := e.storage.Storage.Get(context.Background(), key); err != nil || strings.Contains(key, text) || strings.Contains(string(entry.Value), text) {
			found = append(found, key)
		}
	}
	return found
}

// namedIn returns the types of the events that name text, and how many events there
// are.
func (e *engine) namedIn(text string) (types []string, all int) {
	e.t.Helper()
	for _, event := range e.read("events")["events"].([]map[string]any) {
		if all++; strings.Contains(fmt.Sprint(event["ref"], event["reason"]), text) {
			types = append(types, event["type"].(string))
		}
	}
	return types, all
}

// TestDeletedTenantIsNamedNowhere: the last that names it is the event that tells of
// its end, and that goes in a week.
func TestDeletedTenantIsNamedNowhere(t *testing.T) {
	for name, said := range map[string]map[string]any{"revoked": nil, "by force": {"force": true}} {
		t.Run(name, func(t *testing.T) {
			e := populated(t)
			e.connect(globexUma, "uma", authpipetest.Consent{User: "udo"})
			_, before := e.namedIn("")
			e.must(logical.DeleteOperation, acme, said)
			e.settled()
			if types, all := e.namedIn("org_acme"); strings.Join(types, " ") != strings.Repeat("connection.deleted ", len(types)-1)+"tenant.deleted" || all <= before {
				t.Errorf("of %d events, %v name it", all, types)
			}
			if types, _ := e.namedIn(globexUma); len(types) == 0 {
				t.Error("the events of another tenant are forgotten")
			}
			e.after(30 * time.Minute) // its sessions, completed long ago, are reaped
			for _, key := range e.naming("org_acme") {
				if !strings.HasPrefix(key, "event/") && !strings.Contains(key, ",forgetting,") {
					t.Errorf("it is named by %s", key)
				}
			}
			e.clock.Advance(7*day + 2*time.Minute)
			e.sweep()
			e.settled() // what is noted now is written
			if left := e.naming("org_acme"); len(left) > 0 {
				t.Errorf("a week later it is named by %v", left)
			}
			e.connect(newcomer, "boss", authpipetest.Consent{User: "ada"})
			if types, _ := e.namedIn(newcomer); len(types) == 0 {
				t.Error("no event is told any more")
			}
		})
	}
}

// TestTenantThatBeginsAnewKeepsItsEvents within the week in which those of before are
// forgotten.
func TestTenantThatBeginsAnewKeepsItsEvents(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, acme, nil)
	e.settled()
	e.install()
	e.clock.Advance(8 * day)
	e.sweep()
	types, _ := e.namedIn("org_acme")
	if strings.Contains(fmt.Sprint(types), "deleted") || !strings.Contains(fmt.Sprint(types), "connection.created") {
		t.Errorf("it is named by %v", types)
	}
}

// TestEventsOfAProviderStay where a deleted tenant has the provider's name.
func TestEventsOfAProviderStay(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.connect("facebook/facebook/installation", "boss", authpipetest.Consent{User: "ada"})
	e.limitOf(4)
	e.refused("throttled", 429, logical.UpdateOperation, "connections/facebook/facebook/installation/refresh", nil)
	e.after(10 * time.Minute)
	e.must(logical.DeleteOperation, "tenants/facebook", nil)
	e.settled()
	e.clock.Advance(8 * day)
	e.sweep()
	if types, _ := e.namedIn("facebook"); strings.Join(types, " ") != "provider.throttled provider.recovered" {
		t.Errorf("it is named by %v", types)
	}
}

// TestDeletedPersonIsNamedNowhere: of a person whose deletion Facebook asks for, the
// event of the deletion is told for a week.
func TestDeletedPersonIsNamedNowhere(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
	e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	e.fb.RemoveApp(appID, "uma")
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	e.after(2 * time.Minute)
	if _, got := e.dataDeletion(code); got != `{"status":"completed"}` {
		t.Fatalf("its page says %s", got)
	}
	e.after(2 * time.Minute)
	if types, _ := e.namedIn(uma); strings.Join(types, " ") != "connection.deleted" {
		t.Errorf("%v name the person", types)
	}
	if types, _ := e.namedIn(udo); len(types) == 0 {
		t.Error("the events of another person are forgotten")
	}
	e.clock.Advance(8 * day)
	e.sweep()
	e.after(time.Minute)
	if left := e.naming("users/uma"); len(left) > 0 {
		t.Errorf("a week later %v name the person", left)
	}
	if left := e.naming("users,uma"); len(left) > 0 {
		t.Errorf("a week later %v name the person", left)
	}
}

// TestForgettingMayDieAtAnyStorageOperation of a tenant's end, of a person's and of
// what is done a week later.
func TestForgettingMayDieAtAnyStorageOperation(t *testing.T) {
	endOf := func(said map[string]any) func(*engine) {
		return func(e *engine) { e.must(logical.DeleteOperation, acme, said); e.clock.Advance(2 * time.Minute) }
	}
	for step, prepare := range map[string]func(*engine){
		"a tenant's end":          endOf(nil),
		"a tenant's end by force": endOf(map[string]any{"force": true}),
		"a person's end": func(e *engine) {
			for _, person := range []string{"ada", "uma"} {
				e.fb.RemoveApp(appID, person)
				e.erasing(signed(appSecret, e.request(person, e.clock.Now())))
			}
			e.clock.Advance(2 * time.Minute)
		},
		"a week later": func(e *engine) {
			e.must(logical.DeleteOperation, acme, nil)
			e.settled()
			e.clock.Advance(7*day - 8*time.Minute)
			e.sweep() // so that few minutes are left to look at
			e.clock.Advance(5 * time.Minute)
		},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			for c := range eachCrash() {
				e := both(t, authpipetest.Options{})
				prepare(e)
				e.storage.DieAt(c.operation, c.afterEffect)
				e.Sweep(context.Background())
				if c.misses(e) {
					continue
				}
				e.restart()
				e.settled()
				e.clock.Advance(8 * day)
				e.sweep()
				e.after(time.Minute)
				for _, key := range e.naming("/facebook/") {
					if strings.HasPrefix(key, "event/") {
						t.Errorf("%s: a ref is named by %s", c, key)
					}
				}
				for _, key := range append(e.keys("account/"), e.keys("due/")...) {
					if strings.Contains(key, "org_acme") {
						t.Errorf("%s: left %s", c, key)
					}
				}
			}
		})
	}
}

// TestDeletedPersonsPagesAreNamedNowhere: they were reached through the installation.
func TestDeletedPersonsPagesAreNamedNowhere(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.read("creds/" + page777)
	e.fb.RemoveApp(appID, "ada")
	e.erasing(signed(appSecret, e.request("ada", e.clock.Now())))
	e.after(2 * time.Minute)
	e.after(2 * time.Minute)
	if types, _ := e.namedIn("/pages/"); strings.Contains(fmt.Sprint(types), "created") || !strings.Contains(fmt.Sprint(types), "deleted") {
		t.Errorf("pages are named by %v", types)
	}
	e.clock.Advance(8 * day)
	e.sweep()
	e.after(time.Minute)
	if types, _ := e.namedIn("org_acme/facebook/installation"); len(types) > 0 {
		t.Errorf("a week later %v name the installation", types)
	}
	if types, _ := e.namedIn("/pages/"); len(types) > 0 {
		t.Errorf("a week later %v name pages", types)
	}
}

// TestReconnectBesideADeletionKeepsItsEvents: the person is connected again before their
// deletion is carried out, or just after.
func TestReconnectBesideADeletionKeepsItsEvents(t *testing.T) {
	for name, want := range map[string]string{"before": "connection.created connection.revoked connection.reconnected", "after": "connection.created"} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.fb.RemoveApp(appID, "uma")
			e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
			s := e.begin(uma, nil)
			code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(t)
			e.clock.Advance(2 * time.Minute)
			lists := int64(2) // of the pages, before the record is deleted and after
			if name == "before" {
				lists = 1
			}
			reached, release := e.holdNth(lists, "list", "cred/"+uma+"/pages/")
			var all sync.WaitGroup
			all.Go(func() { e.Sweep(context.Background()) })
			<-reached
			e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
			release()
			all.Wait()
			for range 2 {
				e.settled()
				e.clock.Advance(8 * day)
				e.sweep()
			}
			e.read("creds/" + uma)
			if types, _ := e.namedIn(uma); strings.Join(types, " ") != want {
				t.Errorf("it is named by %v, want %s", types, want)
			}
		})
	}
}

// TestIndexEntriesThatCannotBeDeletedAreDeletedLater: nothing else would meet them before
// their tenant is deleted.
func TestIndexEntriesThatCannotBeDeletedAreDeletedLater(t *testing.T) {
	for name, act := range map[string]func(e *engine, fail func()){
		"another account": func(e *engine, fail func()) {
			s := e.begin(uma, map[string]any{"allow_account_change": true})
			code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
			fail()
			e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
		},
		"a credential is deleted": func(e *engine, fail func()) { fail(); e.must(logical.DeleteOperation, "creds/"+uma, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			before := len(e.keys("account/"))
			act(e, func() {
				e.storage.Fail(func(_ int, op storagetest.Operation) error {
					if op.Verb == "delete" && strings.HasPrefix(op.Key, "account/") {
						return storagetest.ErrStorage
					}
					return nil
				})
			})
			e.storage.Fail(nil)
			e.after(2 * time.Minute)
			if n := len(e.keys("account/")); n > before || name != "another account" && n >= before {
				t.Errorf("%d entries became %d", before, n)
			}
			e.must(logical.DeleteOperation, acme, nil)
			e.settled()
			e.deleted(name)
		})
	}
}

// TestNewLifeKeepsItsEvents, those too that tell of deletions in it.
func TestNewLifeKeepsItsEvents(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, acme, nil)
	e.settled()
	e.install()
	e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
	e.must(logical.DeleteOperation, "creds/"+udo, nil)
	e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
	e.clock.Advance(8 * day)
	e.sweep()
	e.settled()
	if types, _ := e.namedIn(udo); strings.Join(types, " ") != "connection.created connection.deleted connection.created" {
		t.Errorf("it is named by %v", types)
	}
}

// TestAccountWhoseRemovalTakesLongIsForgottenAfterIt: uma stands under an installation whose
// removal waits for her revocation, or ada's installation does itself.
func TestAccountWhoseRemovalTakesLongIsForgottenAfterIt(t *testing.T) {
	for name, person := range map[string]string{"under it": "uma", "itself": "ada"} {
		for _, days := range []int{3, 10} {
			t.Run(fmt.Sprintf("%s, %d days", name, days), func(t *testing.T) {
				e := both(t, authpipetest.Options{})
				if person == "uma" {
					e.must(logical.DeleteOperation, "creds/"+installation, nil)
				}
				repair := func() {}
				down := func() {
					repair = e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Status: 500, Body: "<html>down</html>"})
				}
				if person == "uma" {
					down()
				}
				e.must(logical.DeleteOperation, "accounts/facebook/"+e.fb.ScopedID(appID, person), nil)
				if person == "ada" {
					down()
				}
				e.passes(e.clock.Now().Add(time.Duration(days) * day))
				repair()
				e.passes(e.clock.Now().Add(2 * day))
				ref := map[string]string{"uma": uma, "ada": installation}[person]
				e.refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
				for range 3 {
					e.clock.Advance(8 * day)
					e.sweep()
				}
				e.settled()
				if types, _ := e.namedIn(ref); len(types) > 0 {
					t.Errorf("it is named by %v", types)
				}
				if left := e.naming("forgetting"); len(left) > 0 || strings.Contains(fmt.Sprint(e.keys("due/")), "forgetting") {
					t.Errorf("the work goes on: %v", e.keys("due/"))
				}
			})
		}
	}
}
