package backend_test

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const newcomer = "org_new/facebook/installation"

func TestUnfinishedConnectLeavesNothingOfATenant(t *testing.T) {
	for name, end := range map[string]func(e *engine, s session){
		"the person never comes back": func(*engine, session) {},
		"the person declines": func(e *engine, s session) {
			e.callback(e.consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
		},
		"the session is cancelled": func(e *engine, s session) { e.must(logical.DeleteOperation, s.path, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			end(e, e.begin(newcomer, map[string]any{"actor": "admin"}))
			e.clock.Advance(26 * time.Minute)
			e.sweep()
			if left := append(e.left("org_new"), e.keys("open/")...); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestLaterSessionKeepsTheKeyring: it was sealed with the keyring that the first
// session brought.
func TestLaterSessionKeepsTheKeyring(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.begin(newcomer, map[string]any{"actor": "admin"})
	e.clock.Advance(20 * time.Minute)
	later := e.begin(newcomer, map[string]any{"actor": "another"})
	e.clock.Advance(6 * time.Minute)
	e.sweep()
	code := e.callback(e.consent(later, authpipetest.Consent{User: "ada"})).code(t)
	e.must(logical.UpdateOperation, later.path+"/complete", map[string]any{"actor": "another", "connect_code": code})
	e.after(time.Hour)
	e.read("creds/" + newcomer)
}

func TestReapingASessionKeepsTheKeyringOfATenantThatHasBegun(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.begin(newcomer, map[string]any{"actor": "admin"})
	e.connect(newcomer, "boss", authpipetest.Consent{User: "ada"})
	e.must(logical.DeleteOperation, "creds/"+newcomer, nil)
	e.clock.Advance(26 * time.Minute)
	e.sweep()
	if len(e.keys("keyring/tenant/org_new")) == 0 {
		t.Error("it is gone, and the tenant is not")
	}
	if left := e.keys("new-tenant/"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	e.connect(newcomer, "boss", authpipetest.Consent{User: "ada"})
}

// TestUnfinishedConnectMayDieAtAnyStorageOperation, and so may its reaping.
func TestUnfinishedConnectMayDieAtAnyStorageOperation(t *testing.T) {
	for step, acts := range map[string][2]func(e *engine){
		"begin": {func(*engine) {}, func(e *engine) {
			e.do(logical.UpdateOperation, "connect/"+newcomer, map[string]any{"actor": "admin"})
		}},
		"reap": {func(e *engine) {
			e.begin(newcomer, map[string]any{"actor": "admin"})
			e.clock.Advance(26 * time.Minute)
		}, func(e *engine) { e.Sweep(context.Background()) }},
	} {
		t.Run(step, func(t *testing.T) {
			for c := range eachCrash() {
				e := newEngine(t, authpipetest.Options{})
				acts[0](e)
				e.storage.DieAt(c.operation, c.afterEffect)
				acts[1](e)
				if c.misses(e) {
					continue
				}
				e.restart()
				e.clock.Advance(time.Hour)
				e.sweep()
				e.after(time.Hour)
				if left := e.left("org_new"); len(left) > 0 {
					t.Errorf("%s, left: %v", c, left)
				}
			}
		})
	}
}
