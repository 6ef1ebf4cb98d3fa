package removal_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestDeletionCompletesBesideOtherRequests has all that may be done at a
// tenant be done at once, twice each.
func TestDeletionCompletesBesideOtherRequests(t *testing.T) {
	for i := range 6 {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "udo"})
		e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey)
		s := e.Begin(enginetest.Udo, nil)
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
		again := e.Begin(enginetest.Uma, nil)
		codeAgain := e.Callback(e.Consent(again, authpipetest.Consent{User: "uma"})).ConnectCode(t)
		e.Clock.Advance(2 * time.Minute)
		ctx := context.Background()
		acts := []func(){
			func() { e.Do(logical.UpdateOperation, enginetest.Acme+"/rotate", nil) },
			func() { e.Do(logical.UpdateOperation, enginetest.Acme+"/reindex", nil) },
			func() { e.Do(logical.UpdateOperation, enginetest.Acme, map[string]any{"suspended": true}) },
			func() { e.Do(logical.UpdateOperation, enginetest.Acme, map[string]any{"suspended": false}) },
			func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil) },
			func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil) },
			func() { e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil) },
			func() { e.Do(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) },
			func() { e.Do(logical.DeleteOperation, "creds/"+enginetest.Installation, nil) },
			func() {
				e.Do(logical.UpdateOperation, "creds/"+enginetest.StaticHook, map[string]any{"credential": "x", "credential_type": "api_key"})
			},
			func() {
				e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			},
			func() {
				e.Do(logical.UpdateOperation, again.Path+"/complete", map[string]any{"actor": "uma", "connect_code": codeAgain})
			},
			func() { e.Sweep(ctx) },
			func() { e.Sweep(ctx) },
		}
		var all sync.WaitGroup
		for _, act := range acts {
			all.Go(act)
			all.Go(act)
		}
		said := map[string]any{"force": i%3 == 1, "revoke": i%3 != 2}
		all.Go(func() { e.Must(logical.DeleteOperation, enginetest.Acme, said) })
		all.Wait()
		for range 6 {
			e.Clock.Advance(10 * time.Minute)
			e.Sweep(ctx)
		}
		if left := append(e.Storage.Under("cred/org_acme/"), append(e.Storage.Under("tenant/org_acme"), e.Storage.Under("keyring/tenant/org_acme")...)...); len(left) > 0 {
			r, err := e.Do(logical.ReadOperation, enginetest.Acme, nil)
			t.Fatalf("round %d, %v: left %v; %v %v", i, said, left, r, err)
		}
		e.Read("creds/" + enginetest.Globex)
	}
}

// TestTenantOperationSurvivesStorageOutage has storage be gone
// from each operation on for the rest of the request, and come back to the same
// process.
func TestTenantOperationSurvivesStorageOutage(t *testing.T) {
	type row struct {
		op   logical.Operation
		path string
		data map[string]any
		end  func(*enginetest.Engine, string)
	}
	for name, r := range map[string]row{
		"suspend": {logical.UpdateOperation, enginetest.Acme, map[string]any{"suspended": true}, func(e *enginetest.Engine, when string) {
			e.Refused("suspended", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
		}},
		"rotate": {logical.UpdateOperation, enginetest.Acme + "/rotate", nil, func(e *enginetest.Engine, when string) {
			e.Tenant.FinishRotation(when)
			e.Read("creds/" + enginetest.Uma)
		}},
		"delete": {logical.DeleteOperation, enginetest.Acme, nil, func(e *enginetest.Engine, when string) {
			e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
			e.After(2 * time.Minute)
			e.After(2 * time.Minute)
			e.Tenant.CheckDeleted(when)
		}},
		"force": {logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true}, func(e *enginetest.Engine, when string) {
			e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
			if left := e.Storage.Under("keyring/tenant/org_acme"); len(left) > 0 {
				e.T.Errorf("%s: the keys are there", when)
			}
			e.After(2 * time.Minute)
			e.After(2 * time.Minute)
			e.Refused("not_found", 404, logical.ReadOperation, enginetest.Acme, nil)
		}},
		"uninstall": {logical.DeleteOperation, "creds/" + enginetest.Installation, nil, func(e *enginetest.Engine, when string) {
			e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
			e.After(2 * time.Minute)
			e.After(2 * time.Minute)
			e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			setup := func() *enginetest.Engine { return enginetest.Connected(t, authpipetest.Options{}) }
			act := func(e *enginetest.Engine) error { return e.Try(r.op, r.path, r.data) }
			enginetest.EachOutage(setup, act, func(e *enginetest.Engine, f enginetest.Failure) {
				e.CheckMemory()
				if f.Err != nil {
					if err := act(e); err != nil {
						t.Logf("%s: again: %v", f, err)
					}
				}
				r.end(e, f.String())
			})
		})
	}
}
