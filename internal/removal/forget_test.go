package removal_test

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
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// naming returns what lies in storage in the clear and has text in its key or value.
func naming(e *enginetest.Engine, text string) (found []string) {
	e.T.Helper()
	for _, key := range e.Storage.Under("") {
		if entry, err := e.Storage.Storage.Get(context.Background(), key); err != nil || strings.Contains(key, text) || strings.Contains(string(entry.Value), text) {
			found = append(found, key)
		}
	}
	return found
}

// namedIn returns the types of the events that name text, and how many events there
// are.
func namedIn(e *enginetest.Engine, text string) (types []string, all int) {
	e.T.Helper()
	for _, event := range e.Read("events")["events"].([]map[string]any) {
		if all++; strings.Contains(fmt.Sprint(event["ref"], event["reason"]), text) {
			types = append(types, event["type"].(string))
		}
	}
	return types, all
}

// TestDeletedTenantIsNamedNowhere: the last that names it is the event of
// its deletion, and that goes in a week.
func TestDeletedTenantIsNamedNowhere(t *testing.T) {
	for name, said := range map[string]map[string]any{"revoked": nil, "by force": {"force": true}} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Populated(t)
			e.Connect(globexUma, "uma", authpipetest.Consent{User: "udo"})
			_, before := namedIn(e, "")
			e.Must(logical.DeleteOperation, enginetest.Acme, said)
			e.FinishRemoval()
			if types, all := namedIn(e, "org_acme"); strings.Join(types, " ") != strings.Repeat("connection.deleted ", len(types)-1)+"tenant.deleted" || all <= before {
				t.Errorf("of %d events, %v name it", all, types)
			}
			if types, _ := namedIn(e, globexUma); len(types) == 0 {
				t.Error("the events of another tenant are forgotten")
			}
			e.After(30 * time.Minute) // its sessions, completed long ago, are reaped
			for _, key := range naming(e, "org_acme") {
				if !strings.HasPrefix(key, "event/") && !strings.Contains(key, ",forgetting,") {
					t.Errorf("it is named by %s", key)
				}
			}
			e.Clock.Advance(7*enginetest.Day + 2*time.Minute)
			e.MustSweep()
			e.FinishRemoval() // what is noted now is written
			if left := naming(e, "org_acme"); len(left) > 0 {
				t.Errorf("a week later it is named by %v", left)
			}
			e.Connect(enginetest.Newcomer, "boss", authpipetest.Consent{User: "ada"})
			if types, _ := namedIn(e, enginetest.Newcomer); len(types) == 0 {
				t.Error("no event is left")
			}
		})
	}
}

// TestNewTenantOfSameNameKeepsItsEvents within the week in which those of before are
// forgotten.
func TestNewTenantOfSameNameKeepsItsEvents(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	e.FinishRemoval()
	e.Install()
	e.Clock.Advance(8 * enginetest.Day)
	e.MustSweep()
	types, _ := namedIn(e, "org_acme")
	if strings.Contains(fmt.Sprint(types), "deleted") || !strings.Contains(fmt.Sprint(types), "connection.created") {
		t.Errorf("it is named by %v", types)
	}
}

// TestEventsOfProviderStay where a deleted tenant has the provider's name.
func TestEventsOfProviderStay(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Connect("facebook/facebook/installation", "boss", authpipetest.Consent{User: "ada"})
	e.Facebook.LimitOnce(4)
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/facebook/facebook/installation/refresh", nil)
	e.After(10 * time.Minute)
	e.Must(logical.DeleteOperation, "tenants/facebook", nil)
	e.FinishRemoval()
	e.Clock.Advance(8 * enginetest.Day)
	e.MustSweep()
	if types, _ := namedIn(e, "facebook"); strings.Join(types, " ") != "provider.throttled provider.recovered" {
		t.Errorf("it is named by %v", types)
	}
}

// TestDeletedPersonIsNamedNowhere: of a person whose deletion Facebook asks for, the
// event of the deletion stays for a week.
func TestDeletedPersonIsNamedNowhere(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.After(2 * time.Minute)
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"completed"}` {
		t.Fatalf("its page says %s", got)
	}
	e.After(2 * time.Minute)
	if types, _ := namedIn(e, enginetest.Uma); strings.Join(types, " ") != "connection.deleted" {
		t.Errorf("%v name the person", types)
	}
	if types, _ := namedIn(e, enginetest.Udo); len(types) == 0 {
		t.Error("the events of another person are forgotten")
	}
	e.Clock.Advance(8 * enginetest.Day)
	e.MustSweep()
	e.After(time.Minute)
	if left := naming(e, "users/uma"); len(left) > 0 {
		t.Errorf("a week later %v name the person", left)
	}
	if left := naming(e, "users,uma"); len(left) > 0 {
		t.Errorf("a week later %v name the person", left)
	}
}

// TestForgettingSurvivesCrash kills the engine as it deletes a tenant or a person, and
// a week later.
func TestForgettingSurvivesCrash(t *testing.T) {
	endOf := func(said map[string]any) func(*enginetest.Engine) {
		return func(e *enginetest.Engine) {
			e.Must(logical.DeleteOperation, enginetest.Acme, said)
			e.Clock.Advance(2 * time.Minute)
		}
	}
	for step, prepare := range map[string]func(*enginetest.Engine){
		"a tenant's end":          endOf(nil),
		"a tenant's end by force": endOf(map[string]any{"force": true}),
		"a person's end": func(e *enginetest.Engine) {
			for _, person := range []string{"ada", "uma"} {
				e.Facebook.RemoveApp(enginetest.AppID, person)
				e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request(person, e.Clock.Now())))
			}
			e.Clock.Advance(2 * time.Minute)
		},
		"a week later": func(e *enginetest.Engine) {
			e.Must(logical.DeleteOperation, enginetest.Acme, nil)
			e.FinishRemoval()
			e.Clock.Advance(7*enginetest.Day - 8*time.Minute)
			e.MustSweep() // so that few minutes are left to look at
			e.Clock.Advance(5 * time.Minute)
		},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			setup := func() *enginetest.Engine {
				e := enginetest.Connected(t, authpipetest.Options{})
				prepare(e)
				return e
			}
			enginetest.EachCrash(setup, (*enginetest.Engine).TrySweep, func(e *enginetest.Engine, f enginetest.Failure) {
				e.FinishRemoval()
				e.Clock.Advance(8 * enginetest.Day)
				e.MustSweep()
				e.After(time.Minute)
				for _, key := range naming(e, "/facebook/") {
					if strings.HasPrefix(key, "event/") {
						t.Errorf("%s: a ref is named by %s", f, key)
					}
				}
				for _, key := range append(e.Storage.Under("account/"), e.Storage.Under("due/")...) {
					if strings.Contains(key, "org_acme") {
						t.Errorf("%s: left %s", f, key)
					}
				}
			})
		})
	}
}

// TestDeletedPersonsPagesAreNamedNowhere: they were reached through the installation.
func TestDeletedPersonsPagesAreNamedNowhere(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Read("creds/" + enginetest.Page777)
	e.Facebook.RemoveApp(enginetest.AppID, "ada")
	e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("ada", e.Clock.Now())))
	e.After(2 * time.Minute)
	e.After(2 * time.Minute)
	if types, _ := namedIn(e, "/pages/"); strings.Contains(fmt.Sprint(types), "created") || !strings.Contains(fmt.Sprint(types), "deleted") {
		t.Errorf("pages are named by %v", types)
	}
	e.Clock.Advance(8 * enginetest.Day)
	e.MustSweep()
	e.After(time.Minute)
	if types, _ := namedIn(e, "org_acme/facebook/installation"); len(types) > 0 {
		t.Errorf("a week later %v name the installation", types)
	}
	if types, _ := namedIn(e, "/pages/"); len(types) > 0 {
		t.Errorf("a week later %v name pages", types)
	}
}

// TestReconnectDuringDeletionKeepsItsEvents: the person is connected again before their
// deletion is carried out, or just after.
func TestReconnectDuringDeletionKeepsItsEvents(t *testing.T) {
	for name, want := range map[string]string{"before": "connection.created connection.revoked connection.reconnected", "after": "connection.created"} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
			s := e.Begin(enginetest.Uma, nil)
			code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)
			e.Clock.Advance(2 * time.Minute)
			lists := int64(2) // of the pages, before the record is deleted and after
			if name == "before" {
				lists = 1
			}
			reached, release := e.Storage.HoldNth(lists, "list", "cred/"+enginetest.Uma+"/pages/")
			var all sync.WaitGroup
			all.Go(func() { e.Sweep(context.Background()) })
			<-reached
			e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
			release()
			all.Wait()
			for range 2 {
				e.FinishRemoval()
				e.Clock.Advance(8 * enginetest.Day)
				e.MustSweep()
			}
			e.Read("creds/" + enginetest.Uma)
			if types, _ := namedIn(e, enginetest.Uma); strings.Join(types, " ") != want {
				t.Errorf("it is named by %v, want %s", types, want)
			}
		})
	}
}

// TestIndexEntriesThatCannotBeDeletedAreDeletedLater: nothing else would meet them before
// their tenant is deleted.
func TestIndexEntriesThatCannotBeDeletedAreDeletedLater(t *testing.T) {
	for name, act := range map[string]func(e *enginetest.Engine, fail func()){
		"another account": func(e *enginetest.Engine, fail func()) {
			s := e.Begin(enginetest.Uma, map[string]any{"allow_account_change": true})
			code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
			fail()
			e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
		},
		"a credential is deleted": func(e *enginetest.Engine, fail func()) {
			fail()
			e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			before := len(e.Storage.Under("account/"))
			act(e, func() {
				e.Storage.Fail(func(_ int, op storagetest.Operation) error {
					if op.Verb == "delete" && strings.HasPrefix(op.Key, "account/") {
						return storagetest.ErrStorage
					}
					return nil
				})
			})
			e.Storage.Fail(nil)
			e.After(2 * time.Minute)
			if n := len(e.Storage.Under("account/")); n > before || name != "another account" && n >= before {
				t.Errorf("%d entries became %d", before, n)
			}
			e.Must(logical.DeleteOperation, enginetest.Acme, nil)
			e.FinishRemoval()
			e.Tenant.CheckDeleted(name)
		})
	}
}

// TestReconnectedRefKeepsItsEvents, also those of deletions in it.
func TestReconnectedRefKeepsItsEvents(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	e.FinishRemoval()
	e.Install()
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Udo, nil)
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	e.Clock.Advance(8 * enginetest.Day)
	e.MustSweep()
	e.FinishRemoval()
	if types, _ := namedIn(e, enginetest.Udo); strings.Join(types, " ") != "connection.created connection.deleted connection.created" {
		t.Errorf("it is named by %v", types)
	}
}

// TestAccountWhoseRemovalTakesLongIsForgottenAfterIt: uma stands under an installation whose
// removal waits for her revocation, or ada's installation does itself.
func TestAccountWhoseRemovalTakesLongIsForgottenAfterIt(t *testing.T) {
	for name, person := range map[string]string{"under it": "uma", "itself": "ada"} {
		for _, days := range []int{3, 10} {
			t.Run(fmt.Sprintf("%s, %d days", name, days), func(t *testing.T) {
				e := enginetest.Connected(t, authpipetest.Options{})
				if person == "uma" {
					e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
				}
				repair := func() {}
				down := func() {
					repair = e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Status: 500, Body: "<html>down</html>"})
				}
				if person == "uma" {
					down()
				}
				e.Must(logical.DeleteOperation, "accounts/facebook/"+e.Facebook.ScopedID(enginetest.AppID, person), nil)
				if person == "ada" {
					down()
				}
				e.SweepUntil(e.Clock.Now().Add(time.Duration(days) * enginetest.Day))
				repair()
				e.SweepUntil(e.Clock.Now().Add(2 * enginetest.Day))
				ref := map[string]string{"uma": enginetest.Uma, "ada": enginetest.Installation}[person]
				e.Refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
				for range 3 {
					e.Clock.Advance(8 * enginetest.Day)
					e.MustSweep()
				}
				e.FinishRemoval()
				if types, _ := namedIn(e, ref); len(types) > 0 {
					t.Errorf("it is named by %v", types)
				}
				if left := naming(e, "forgetting"); len(left) > 0 || strings.Contains(fmt.Sprint(e.Storage.Under("due/")), "forgetting") {
					t.Errorf("the work goes on: %v", e.Storage.Under("due/"))
				}
			})
		}
	}
}
