package backend_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestADeletionMayDieAtAnyStorageOperation stops the world at each operation of
// the request and of the sweep that carries it out, by force and without, amid
// a rotation and a refresh.
func TestADeletionMayDieAtAnyStorageOperation(t *testing.T) {
	for name, said := range map[string]map[string]any{"revoking": nil, "by force": {"force": true}} {
		request := func(e *engine) { e.do(logical.DeleteOperation, acme, said) }
		begun := func(e *engine) {
			request(e)
			e.clock.Advance(2 * time.Minute)
		}
		sweep := func(e *engine) { e.Sweep(context.Background()) }
		steps := map[string][2]func(*engine){
			"request":                 {func(*engine) {}, request},
			"request amid a rotation": {func(e *engine) { e.must(logical.UpdateOperation, acme+"/rotate", nil) }, request},
			"sweep":                   {begun, sweep},
			"sweep amid a refresh": {func(e *engine) {
				due, err := time.Parse(time.RFC3339, e.read("connections/" + uma)["next_due_at"].(string))
				if err != nil {
					e.t.Fatal(err)
				}
				e.clock.Set(due.Add(-2 * time.Minute))
				e.sweep() // pass the idle hours
				request(e)
				e.clock.Set(due.Add(2 * time.Minute))
			}, sweep},
		}
		for step, act := range steps {
			t.Run(step+" "+name, func(t *testing.T) {
				t.Parallel()
				for c := range eachCrash() {
					e := both(t, authpipetest.Options{})
					e.connect(globex, "boss", authpipetest.Consent{User: "udo"})
					e.read("creds/" + page777)
					token := e.served(uma)
					act[0](e)
					e.storage.DieAt(c.operation, c.afterEffect)
					act[1](e)
					if c.misses(e) {
						continue
					}
					e.restart()
					when := c.String()
					e.checkDeletion(when)
					if known, err := e.do(logical.ReadOperation, acme, nil); err == nil && known.Data["deletion"] == nil {
						e.do(logical.DeleteOperation, acme, said)
					}
					calls := e.fb.Count(authpipetest.EndpointRevoke)
					for range 4 {
						e.after(2 * time.Minute)
					}
					e.refused("not_found", 404, logical.ReadOperation, acme, nil)
					if left := e.left("org_acme"); len(left) > 0 {
						t.Errorf("%s, left: %s", when, left)
					}
					if said == nil && e.valid(token) {
						t.Errorf("%s, uma's grant lives", when)
					}
					if said != nil && e.fb.Count(authpipetest.EndpointRevoke) != calls {
						t.Errorf("%s, a record was opened that should not", when)
					}
					e.read("creds/" + globex)
				}
			})
		}
	}
}

// checkDeletion checks that a deletion that has begun serves nothing and will
// be carried on.
func (e *engine) checkDeletion(when string) {
	e.t.Helper()
	known, err := e.do(logical.ReadOperation, acme, nil)
	if err != nil {
		if left := append(e.keys("cred/org_acme/"), e.keys("keyring/tenant/org_acme")...); len(left) > 0 {
			e.t.Errorf("%s: the tenant is gone, and left: %v", when, left)
		}
		return
	}
	if known.Data["deletion"] == nil {
		e.read("creds/" + uma) // whole as yet
		return
	}
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
	if !strings.Contains(strings.Join(e.keys("due/"), "\n")+"\n", ",deletion,org_acme\n") {
		e.t.Errorf("%s: nothing will go on with %v", when, known.Data["deletion"])
	}
}
