package upkeep_test

import (
	"bytes"
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

func TestRotationResealsRecordsAndDestroysFormerKey(t *testing.T) {
	e := enginetest.Populated(t)
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey)
	former, others := e.Tenant.PrimaryKey("org_acme"), e.Storage.Raw("keyring/tenant/org_globex")
	globexRecord := e.Storage.Raw("cred/" + enginetest.Globex)
	before := map[string]map[string]any{}
	for _, ref := range []string{enginetest.Installation, enginetest.Page777, enginetest.Uma, enginetest.Udo, enginetest.StaticHook} {
		before[ref] = e.Read("connections/" + ref)
		delete(before[ref], "ttl")
	}
	answer := e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	if answer["key_version"] != 2 || answer["rewritten"] != 0 {
		t.Errorf("answered %v", answer)
	}
	if got := e.Tenant.PrimaryKey("org_acme"); got == former {
		t.Error("the former key still seals")
	}
	e.Read("creds/" + enginetest.Uma)
	e.After(2 * time.Minute)
	if got := e.Tenant.Rotation(); got["rewritten"] != 5 || got["finished_at"] != nil || got["former_key_until"] == nil {
		t.Errorf("after a walk it reads %v", got)
	}
	if with := e.Tenant.SealedWith("org_acme"); with[former] > 0 {
		t.Errorf("the records are sealed with %v, the former key is %d", with, former)
	}
	for ref, want := range before {
		got := e.Read("connections/" + ref)
		delete(got, "ttl")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s has changed: %s", ref, diff)
		}
	}
	e.Tenant.FinishRotation("at the end")
	if got := e.Read(enginetest.Acme); got["key_version"] != 2 {
		t.Errorf("the tenant reads %v", got)
	}
	if !bytes.Equal(others, e.Storage.Raw("keyring/tenant/org_globex")) || e.Tenant.SealedWith("org_globex")[e.Tenant.PrimaryKey("org_globex")] != 1 {
		t.Error("another tenant's key was touched")
	}
	if open, err := e.Tenant.Keyring("org_acme").Open(globexRecord[1:], append([]byte{1}, "cred/"+enginetest.Globex...)); err == nil {
		t.Errorf("another tenant's record opens: %s", open)
	}
	e.Restart()
	e.Read("creds/" + enginetest.Uma)
	if got := e.Read("creds/" + enginetest.StaticHook)["credential"]; got != enginetest.APIKey {
		t.Errorf("the static credential is %v", got)
	}

	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	e.Tenant.FinishRotation("the second time")
	if got := e.Tenant.Rotation(); got["key_version"] != 3 {
		t.Errorf("the second reads %v", got)
	}
	found, _ := e.Events(0)
	if n := strings.Count(strings.Join(found, "\n"), "tenant.key_rotated org_acme"); n != 2 {
		t.Errorf("%d rotations in the events %v", n, found)
	}
}

// TestSessionSurvivesRotation has a session begin before a rotation and end as
// late as one can.
func TestSessionSurvivesRotation(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "1h"})
	s, last := e.Begin(enginetest.Udo, nil), e.Begin("org_acme/facebook/users/ute", nil)
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	for range 58 {
		e.After(time.Minute)
	}
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	for range 15 {
		e.After(time.Minute)
	}
	if got := e.Read(last.Path)["status"]; got != "expired" {
		t.Errorf("the other one reads %v", got)
	}
	if e.Tenant.Keyring("org_acme").Keys() != 2 {
		t.Error("the former key is gone")
	}
	e.Tenant.FinishRotation("at the end")
	e.Read("creds/" + enginetest.Udo)
}

func TestSecondRotationWaitsForFirst(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	key := e.Tenant.PrimaryKey("org_acme")
	e.Refused("pending", 409, logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	e.After(10 * time.Minute)
	e.Refused("pending", 409, logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	if e.Tenant.PrimaryKey("org_acme") != key {
		t.Error("it made a key")
	}
	// A lost entry is mended by a reindex.
	for _, due := range e.Storage.Under("due/") {
		if strings.HasSuffix(due, ",rotation,org_acme") {
			e.Storage.Remove(due)
		}
	}
	e.Tenant.RunReindex()
	e.After(2 * time.Minute)
	if got := e.Tenant.Rotation(); got["finished_at"] != nil || e.Tenant.Keyring("org_acme").Keys() != 2 {
		t.Errorf("taken up again it is over before the sessions are: %v", got)
	}
	e.Tenant.FinishRotation("mended")
	e.Refused("not_found", 404, logical.UpdateOperation, "tenants/org_none/rotate", nil)
}

func TestRotationContinuesAtItsCursor(t *testing.T) {
	e := enginetest.Populated(t)
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	for i, ref := range []string{enginetest.Installation, enginetest.Page777, enginetest.Udo, enginetest.Uma} {
		e.Clock.Advance(2 * time.Minute)
		reads := e.SlowReads()
		e.MustSweep()
		if n := reads("cred/" + ref); n != 1 {
			t.Errorf("slice %d reads %s %d times", i+1, ref, n)
		}
		if got := e.Tenant.Rotation(); got["rewritten"] != i+1 || got["done"] != i+1 {
			t.Errorf("after slice %d it reads %v", i+1, got)
		}
		e.Restart()
	}
	e.Tenant.FinishRotation("at the end")
}

func TestRotationDestroysNoKeyInUse(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	old := e.Storage.Raw("cred/" + enginetest.Uma)
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	e.After(2 * time.Minute)
	e.Plant("cred/"+enginetest.Uma, old) // storage carries out late what was given up
	e.Clock.Advance(2 * time.Hour)
	e.MustSweep()
	if got := e.Tenant.Rotation(); got["rewritten"] != 3 || e.Tenant.Keyring("org_acme").Keys() != 2 {
		t.Errorf("after a walk that met a record of the former key it reads %v, with %d keys", got, e.Tenant.Keyring("org_acme").Keys())
	}
	e.Tenant.FinishRotation("at the end")
	e.Read("creds/" + enginetest.Uma)
}

// TestRotationSurvivesCrash stops the world at each operation of
// the request, of its first walk and of the one that ends it, with a refresh or
// a connect beside it.
func TestRotationSurvivesCrash(t *testing.T) {
	request := func(e *enginetest.Engine) error {
		return e.Try(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	}
	sweep := (*enginetest.Engine).TrySweep
	steps := map[string]struct {
		before func(*enginetest.Engine)
		act    func(*enginetest.Engine) error
	}{
		"request": {func(*enginetest.Engine) {}, request},
		"first walk": {func(e *enginetest.Engine) {
			request(e)
			e.Clock.Advance(2 * time.Minute)
		}, sweep},
		"last walk": {func(e *enginetest.Engine) {
			request(e)
			e.After(2 * time.Minute)
			for range 5 {
				e.After(17 * time.Minute)
			}
			e.Clock.Advance(20 * time.Minute)
		}, sweep},
		"refresh and connect": {func(e *enginetest.Engine) {
			e.After(20 * 24 * time.Hour)
			request(e)
			e.Clock.Advance(2 * time.Minute)
		}, func(e *enginetest.Engine) error {
			e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			e.Do(logical.UpdateOperation, "connect/"+enginetest.Udo, nil)
			return sweep(e)
		}},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var former uint32
			setup := func() *enginetest.Engine {
				e := enginetest.Connected(t, authpipetest.Options{})
				former = e.Tenant.PrimaryKey("org_acme")
				step.before(e)
				return e
			}
			enginetest.EachCrash(setup, step.act, func(e *enginetest.Engine, f enginetest.Failure) {
				when := f.String()
				e.CheckInvariants(when)
				e.Read("creds/" + enginetest.Uma)
				if e.Read(enginetest.Acme)["rotation"] == nil {
					if name != "request" {
						t.Fatalf("%s: the rotation is forgotten", when)
					}
					e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
				}
				e.Tenant.FinishRotation(when)
				e.CheckInvariants(when + ", and swept")
				if got := e.Read(enginetest.Acme)["key_version"]; got != 2 || e.Tenant.PrimaryKey("org_acme") == former {
					t.Errorf("%s: the key's version is %v", when, got)
				}
				e.Read("creds/" + enginetest.Uma)
			})
		})
	}
}

func TestRefreshSurvivesRotation(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.After(20 * 24 * time.Hour)
	before := e.Read("connections/" + enginetest.Uma)["generation"].(uint64)
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken},
		func() { e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil) },
		func() {
			e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
			e.After(2 * time.Minute)
		})
	if got := e.Read("connections/" + enginetest.Uma)["generation"].(uint64); got != before+1 {
		t.Errorf("the fresh token was not stored: generation %d after %d", got, before)
	}
	e.Tenant.FinishRotation("at the end")
}

func TestDeleteWinsOverRotation(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	e.Clock.Advance(2 * time.Minute)
	reached, release := e.Storage.Hold("put", "cred/"+enginetest.Uma)
	done := make(chan struct{}, 2)
	go func() { e.Sweep(context.Background()); done <- struct{}{} }()
	<-reached
	go func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil); done <- struct{}{} }()
	e.Storage.AwaitQuiet()
	release()
	<-done
	<-done
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Uma, nil)
	if keys := e.Storage.Under("cred/" + enginetest.Uma); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
	e.Tenant.FinishRotation("at the end")
}

func TestStandbyReloadsUnknownKey(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(20 * 24 * time.Hour)
	other := e.Node(enginetest.Standby())
	other.Read("creds/" + enginetest.Uma)
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	other.InvalidateKey(t.Context(), "cred/"+enginetest.Uma) // and not the keyring
	if got := other.Read("creds/" + enginetest.Uma); got["access_token"] != e.Read("creds/" + enginetest.Uma)["access_token"] {
		t.Error("it serves another token")
	}
}

// TestKeysDestroyedDuringRotationStayDestroyed has a tenant be deleted
// by force while its new key is being put, and while the former one is taken
// out.
func TestKeysDestroyedDuringRotationStayDestroyed(t *testing.T) {
	for name, at := range map[string]int64{"at its beginning": 1, "at its end": 2} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			reached, release := e.Storage.HoldNth(at, "put", "keyring/tenant/org_acme")
			var both sync.WaitGroup
			both.Go(func() {
				e.Do(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
				for {
					select {
					case <-reached:
						return
					default:
						e.Clock.Advance(15 * time.Minute)
						e.Sweep(context.Background())
					}
				}
			})
			<-reached
			both.Go(func() { e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true}) })
			e.Storage.AwaitQuiet()
			release()
			both.Wait()
			if left := e.Storage.Under("keyring/tenant/org_acme"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}
