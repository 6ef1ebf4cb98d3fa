package backend_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// keyring is the tenant's, as it lies in storage.
func (e *engine) keyring(id string) *tenant.Keyring {
	e.t.Helper()
	k, err := tenant.ParseKeyring(e.raw("keyring/tenant/" + id))
	if err != nil {
		e.t.Fatal(err)
	}
	return k
}

func (e *engine) raw(key string) []byte {
	e.t.Helper()
	entry, err := e.storage.Storage.Get(context.Background(), key)
	if err != nil || entry == nil {
		e.t.Fatalf("%s: %v, %v", key, entry, err)
	}
	return entry.Value
}

// sealedWith returns the ids of the keys that the tenant's records are sealed
// with, and of how many each.
func (e *engine) sealedWith(id string) map[uint32]int {
	e.t.Helper()
	count := map[uint32]int{}
	for _, key := range e.keys("cred/" + id + "/") {
		count[binary.BigEndian.Uint32(e.raw(key)[2:])]++
	}
	return count
}

func (e *engine) primary(id string) uint32 {
	e.t.Helper()
	k, err := e.keyring(id).Primary()
	if err != nil {
		e.t.Fatal(err)
	}
	return k
}

func (e *engine) rotation() map[string]any {
	e.t.Helper()
	rotation, ok := e.read(acme)["rotation"].(map[string]any)
	if !ok {
		e.t.Fatalf("no rotation: %v", e.read(acme))
	}
	return rotation
}

// rotated has a rotation that was begun come to its end, which takes its time.
func (e *engine) rotated(when string) {
	e.t.Helper()
	for range 12 {
		e.after(15 * time.Minute)
	}
	rotation := e.rotation()
	if rotation["finished_at"] == nil {
		e.t.Fatalf("%s: the rotation does not end: %v", when, rotation)
	}
	if n := e.keyring("org_acme").Keys(); n != 1 {
		e.t.Errorf("%s: %d keys are left", when, n)
	}
	if with := e.sealedWith("org_acme"); len(with) != 1 || with[e.primary("org_acme")] == 0 {
		e.t.Errorf("%s: the records are sealed with %v, the key is %d", when, with, e.primary("org_acme"))
	}
}

func TestARotationSealsEveryRecordAnewAndDestroysTheFormerKey(t *testing.T) {
	e := populated(t)
	e.deposit(hook, "webhook_secret", apiKey)
	former, others := e.primary("org_acme"), e.raw("keyring/tenant/org_globex")
	globexRecord := e.raw("cred/" + globex)
	before := map[string]map[string]any{}
	for _, ref := range []string{installation, page777, uma, udo, hook} {
		before[ref] = e.read("connections/" + ref)
		delete(before[ref], "ttl")
	}
	answer := e.must(logical.UpdateOperation, acme+"/rotate", nil)
	if answer["key_version"] != 2 || answer["rewritten"] != 0 {
		t.Errorf("answered %v", answer)
	}
	if got := e.primary("org_acme"); got == former {
		t.Error("the former key still seals")
	}
	e.read("creds/" + uma)
	e.after(2 * time.Minute)
	if got := e.rotation(); got["rewritten"] != 5 || got["finished_at"] != nil || got["former_key_until"] == nil {
		t.Errorf("after a walk it reads %v", got)
	}
	if with := e.sealedWith("org_acme"); with[former] > 0 {
		t.Errorf("the records are sealed with %v, the former key is %d", with, former)
	}
	for ref, want := range before {
		got := e.read("connections/" + ref)
		delete(got, "ttl")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s has changed: %s", ref, diff)
		}
	}
	e.rotated("at the end")
	if got := e.read(acme); got["key_version"] != 2 {
		t.Errorf("the tenant reads %v", got)
	}
	if !bytes.Equal(others, e.raw("keyring/tenant/org_globex")) || e.sealedWith("org_globex")[e.primary("org_globex")] != 1 {
		t.Error("another tenant's key was touched")
	}
	if open, err := e.keyring("org_acme").Open(globexRecord[1:], append([]byte{1}, "cred/"+globex...)); err == nil {
		t.Errorf("another tenant's record opens: %s", open)
	}
	e.restart()
	e.read("creds/" + uma)
	if got := e.read("creds/" + hook)["credential"]; got != apiKey {
		t.Errorf("the static credential is %v", got)
	}

	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	e.rotated("the second time")
	if got := e.rotation(); got["key_version"] != 3 {
		t.Errorf("the second reads %v", got)
	}
	found, _ := e.events(0)
	if n := strings.Count(strings.Join(found, "\n"), "tenant.key_rotated org_acme"); n != 2 {
		t.Errorf("%d rotations in the events %v", n, found)
	}
}

// TestASessionOutlivesARotation has a session begin before a rotation and end as
// late as one can.
func TestASessionOutlivesARotation(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "1h"})
	s, last := e.begin(udo, nil), e.begin("org_acme/facebook/users/ute", nil)
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	for range 58 {
		e.after(time.Minute)
	}
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	for range 15 {
		e.after(time.Minute)
	}
	if got := e.read(last.path)["status"]; got != "expired" {
		t.Errorf("the other one reads %v", got)
	}
	if e.keyring("org_acme").Keys() != 2 {
		t.Error("the former key is gone")
	}
	e.rotated("at the end")
	e.read("creds/" + udo)
}

func TestASecondRotationWaitsForTheFirst(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	key := e.primary("org_acme")
	e.refused("pending", 409, logical.UpdateOperation, acme+"/rotate", nil)
	e.after(10 * time.Minute)
	e.refused("pending", 409, logical.UpdateOperation, acme+"/rotate", nil)
	if e.primary("org_acme") != key {
		t.Error("it made a key")
	}
	// A lost entry is mended by a reindex.
	for _, due := range e.keys("due/") {
		if strings.HasSuffix(due, ",rotation,org_acme") {
			e.remove(due)
		}
	}
	e.reindexed()
	e.after(2 * time.Minute)
	if got := e.rotation(); got["finished_at"] != nil || e.keyring("org_acme").Keys() != 2 {
		t.Errorf("taken up again it is over before the sessions are: %v", got)
	}
	e.rotated("mended")
	e.refused("not_found", 404, logical.UpdateOperation, "tenants/org_none/rotate", nil)
}

func TestARotationGoesOnWhereItStopped(t *testing.T) {
	e := populated(t)
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	for i, ref := range []string{installation, page777, udo, uma} {
		e.clock.Advance(2 * time.Minute)
		reads := e.slowly()
		e.sweep()
		if n := reads("cred/" + ref); n != 1 {
			t.Errorf("slice %d reads %s %d times", i+1, ref, n)
		}
		if got := e.rotation(); got["rewritten"] != i+1 || got["done"] != i+1 {
			t.Errorf("after slice %d it reads %v", i+1, got)
		}
		e.restart()
	}
	e.rotated("at the end")
}

func TestARotationDestroysNoKeyThatARecordNeeds(t *testing.T) {
	e := both(t, authpipetest.Options{})
	old := e.raw("cred/" + uma)
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	e.after(2 * time.Minute)
	e.plant("cred/"+uma, old) // storage carries out late what was given up
	e.clock.Advance(2 * time.Hour)
	e.sweep()
	if got := e.rotation(); got["rewritten"] != 3 || e.keyring("org_acme").Keys() != 2 {
		t.Errorf("after a walk that met a record of the former key it reads %v, with %d keys", got, e.keyring("org_acme").Keys())
	}
	e.rotated("at the end")
	e.read("creds/" + uma)
}

// TestARotationMayDieAtAnyStorageOperation stops the world at each operation of
// the request, of its first walk and of the one that ends it, with a refresh or
// a connect beside it.
func TestARotationMayDieAtAnyStorageOperation(t *testing.T) {
	request := func(e *engine) { e.do(logical.UpdateOperation, acme+"/rotate", nil) }
	sweep := func(e *engine) { e.Sweep(context.Background()) }
	steps := map[string]struct {
		before func(*engine)
		act    func(*engine)
	}{
		"request": {func(*engine) {}, request},
		"first walk": {func(e *engine) {
			request(e)
			e.clock.Advance(2 * time.Minute)
		}, sweep},
		"last walk": {func(e *engine) {
			request(e)
			e.after(2 * time.Minute)
			for range 5 {
				e.after(17 * time.Minute)
			}
			e.clock.Advance(20 * time.Minute)
		}, sweep},
		"refresh and connect": {func(e *engine) {
			e.after(20 * 24 * time.Hour)
			request(e)
			e.clock.Advance(2 * time.Minute)
		}, func(e *engine) {
			e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
			e.do(logical.UpdateOperation, "connect/"+udo, nil)
			e.Sweep(context.Background())
		}},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for c := range eachCrash() {
				e := both(t, authpipetest.Options{})
				former := e.primary("org_acme")
				step.before(e)
				e.storage.DieAt(c.operation, c.afterEffect)
				step.act(e)
				if c.misses(e) {
					continue
				}
				e.restart()
				when := c.String()
				e.checkInvariants(when)
				e.read("creds/" + uma)
				if e.read(acme)["rotation"] == nil {
					if name != "request" {
						t.Fatalf("%s: the rotation is forgotten", when)
					}
					e.must(logical.UpdateOperation, acme+"/rotate", nil)
				}
				e.rotated(when)
				e.checkInvariants(when + ", and swept")
				if got := e.read(acme)["key_version"]; got != 2 || e.primary("org_acme") == former {
					t.Errorf("%s: the key's version is %v", when, got)
				}
				e.read("creds/" + uma)
			}
		})
	}
}

func TestARefreshThatIsUnderWayOutlivesARotation(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.after(20 * 24 * time.Hour)
	before := e.read("connections/" + uma)["generation"].(uint64)
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken},
		func() { e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) },
		func() {
			e.must(logical.UpdateOperation, acme+"/rotate", nil)
			e.after(2 * time.Minute)
		})
	if got := e.read("connections/" + uma)["generation"].(uint64); got != before+1 {
		t.Errorf("the fresh token was not stored: generation %d after %d", got, before)
	}
	e.rotated("at the end")
}

func TestADeleteDuringARotationWins(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	e.clock.Advance(2 * time.Minute)
	reached, release := e.hold("put", "cred/"+uma)
	done := make(chan struct{}, 2)
	go func() { e.Sweep(context.Background()); done <- struct{}{} }()
	<-reached
	go func() { e.must(logical.DeleteOperation, "creds/"+uma, nil); done <- struct{}{} }()
	e.settle()
	release()
	<-done
	<-done
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+uma, nil)
	if keys := e.keys("cred/" + uma); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
	e.rotated("at the end")
}

func TestAStandbyThatHasNotHeardOfAKeyLooksForIt(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(20 * 24 * time.Hour)
	other := e.node(standby{})
	other.read("creds/" + uma)
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	other.InvalidateKey(t.Context(), "cred/"+uma) // and not the keyring
	if got := other.read("creds/" + uma); got["access_token"] != e.read("creds/" + uma)["access_token"] {
		t.Error("it serves another token")
	}
}

// TestKeysThatAreDestroyedDuringARotationStayDestroyed has a tenant be deleted
// by force while its new key is being put, and while the former one is taken
// out.
func TestKeysThatAreDestroyedDuringARotationStayDestroyed(t *testing.T) {
	for name, at := range map[string]int64{"at its beginning": 1, "at its end": 2} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			reached, release := e.holdNth(at, "put", "keyring/tenant/org_acme")
			var both sync.WaitGroup
			both.Go(func() {
				e.do(logical.UpdateOperation, acme+"/rotate", nil)
				for {
					select {
					case <-reached:
						return
					default:
						e.clock.Advance(15 * time.Minute)
						e.Sweep(context.Background())
					}
				}
			})
			<-reached
			both.Go(func() { e.must(logical.DeleteOperation, acme, map[string]any{"force": true}) })
			e.settle()
			release()
			both.Wait()
			if left := e.keys("keyring/tenant/org_acme"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
