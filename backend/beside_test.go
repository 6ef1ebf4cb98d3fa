package backend_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestWhateverRunsBesideItATenantEndsDeleted has all that may be done at a
// tenant be done at once, twice each.
func TestWhateverRunsBesideItATenantEndsDeleted(t *testing.T) {
	for i := range 6 {
		e := both(t, authpipetest.Options{})
		e.connect(globex, "boss", authpipetest.Consent{User: "udo"})
		e.deposit(hook, "webhook_secret", apiKey)
		s := e.begin(udo, nil)
		code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
		again := e.begin(uma, nil)
		codeAgain := e.callback(e.consent(again, authpipetest.Consent{User: "uma"})).code(t)
		e.clock.Advance(2 * time.Minute)
		ctx := context.Background()
		acts := []func(){
			func() { e.do(logical.UpdateOperation, acme+"/rotate", nil) },
			func() { e.do(logical.UpdateOperation, acme+"/reindex", nil) },
			func() { e.do(logical.UpdateOperation, acme, map[string]any{"suspended": true}) },
			func() { e.do(logical.UpdateOperation, acme, map[string]any{"suspended": false}) },
			func() { e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) },
			func() { e.do(logical.UpdateOperation, "connections/"+installation+"/check", nil) },
			func() { e.do(logical.ReadOperation, "creds/"+page777, nil) },
			func() { e.do(logical.DeleteOperation, "creds/"+uma, nil) },
			func() { e.do(logical.DeleteOperation, "creds/"+installation, nil) },
			func() {
				e.do(logical.UpdateOperation, "creds/"+hook, map[string]any{"credential": "x", "credential_type": "api_key"})
			},
			func() {
				e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			},
			func() {
				e.do(logical.UpdateOperation, again.path+"/complete", map[string]any{"actor": "uma", "connect_code": codeAgain})
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
		all.Go(func() { e.must(logical.DeleteOperation, acme, said) })
		all.Wait()
		for range 6 {
			e.clock.Advance(10 * time.Minute)
			e.Sweep(ctx)
		}
		if left := append(e.keys("cred/org_acme/"), append(e.keys("tenant/org_acme"), e.keys("keyring/tenant/org_acme")...)...); len(left) > 0 {
			r, err := e.do(logical.ReadOperation, acme, nil)
			t.Fatalf("round %d, %v: left %v; %v %v", i, said, left, r, err)
		}
		e.read("creds/" + globex)
	}
}

// TestWhatIsDoneAtATenantIsDoneOrNotWhereStorageGoesAway has storage be gone
// from each operation on for the rest of the request, and come back to the same
// process.
func TestWhatIsDoneAtATenantIsDoneOrNotWhereStorageGoesAway(t *testing.T) {
	type row struct {
		op   logical.Operation
		path string
		data map[string]any
		end  func(*engine, string)
	}
	for name, r := range map[string]row{
		"suspend": {logical.UpdateOperation, acme, map[string]any{"suspended": true}, func(e *engine, when string) {
			e.refused("suspended", 409, logical.ReadOperation, "creds/"+uma, nil)
		}},
		"rotate": {logical.UpdateOperation, acme + "/rotate", nil, func(e *engine, when string) { e.rotated(when); e.read("creds/" + uma) }},
		"delete": {logical.DeleteOperation, acme, nil, func(e *engine, when string) {
			e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
			e.after(2 * time.Minute)
			e.after(2 * time.Minute)
			e.deleted(when)
		}},
		"force": {logical.DeleteOperation, acme, map[string]any{"force": true}, func(e *engine, when string) {
			e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
			if left := e.keys("keyring/tenant/org_acme"); len(left) > 0 {
				e.t.Errorf("%s: the keys are there", when)
			}
			e.after(2 * time.Minute)
			e.after(2 * time.Minute)
			e.refused("not_found", 404, logical.ReadOperation, acme, nil)
		}},
		"uninstall": {logical.DeleteOperation, "creds/" + installation, nil, func(e *engine, when string) {
			e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
			e.after(2 * time.Minute)
			e.after(2 * time.Minute)
			e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for c := range eachCrash() {
				e := both(t, authpipetest.Options{})
				when := fmt.Sprintf("storage goes away at operation %d, after effect %v", c.operation, c.afterEffect)
				e.storage.DieAt(c.operation, c.afterEffect)
				_, err := e.do(r.op, r.path, r.data)
				missed := c.misses(e)
				e.storage.Reset()
				if missed {
					continue
				}
				e.checkMemory()
				if err != nil {
					if _, err := e.do(r.op, r.path, r.data); err != nil {
						t.Logf("%s: again: %v", when, err)
					}
				}
				r.end(e, when)
			}
		})
	}
}
