package removal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestTenantDeletionSurvivesCrash stops the world at each operation of
// the request and of the sweep that carries it out, by force and without, amid
// a rotation and a refresh.
func TestTenantDeletionSurvivesCrash(t *testing.T) {
	for name, said := range map[string]map[string]any{"revoking": nil, "by force": {"force": true}} {
		request := func(e *enginetest.Engine) error { return e.Try(logical.DeleteOperation, enginetest.Acme, said) }
		begun := func(e *enginetest.Engine) {
			request(e)
			e.Clock.Advance(2 * time.Minute)
		}
		sweep := (*enginetest.Engine).TrySweep
		steps := map[string]struct {
			before func(*enginetest.Engine)
			act    func(*enginetest.Engine) error
		}{
			"request":                 {func(*enginetest.Engine) {}, request},
			"request amid a rotation": {func(e *enginetest.Engine) { e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil) }, request},
			"sweep":                   {begun, sweep},
			"sweep amid a refresh": {func(e *enginetest.Engine) {
				due, err := time.Parse(time.RFC3339, e.Read("connections/" + enginetest.Uma)["next_due_at"].(string))
				if err != nil {
					e.T.Fatal(err)
				}
				e.Clock.Set(due.Add(-2 * time.Minute))
				e.MustSweep() // pass the idle hours
				request(e)
				e.Clock.Set(due.Add(2 * time.Minute))
			}, sweep},
		}
		for stepName, step := range steps {
			t.Run(stepName+" "+name, func(t *testing.T) {
				t.Parallel()
				var token string
				setup := func() *enginetest.Engine {
					e := enginetest.Connected(t, authpipetest.Options{})
					e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "udo"})
					e.Read("creds/" + enginetest.Page777)
					token = e.Token(enginetest.Uma)
					step.before(e)
					return e
				}
				enginetest.EachCrash(setup, step.act, func(e *enginetest.Engine, f enginetest.Failure) {
					when := f.String()
					checkDeletion(e, when)
					if known, err := e.Do(logical.ReadOperation, enginetest.Acme, nil); err == nil && known.Data["deletion"] == nil {
						e.Do(logical.DeleteOperation, enginetest.Acme, said)
					}
					calls := e.Facebook.Count(authpipetest.EndpointRevoke)
					for range 4 {
						e.After(2 * time.Minute)
					}
					e.Refused("not_found", 404, logical.ReadOperation, enginetest.Acme, nil)
					if left := e.Storage.LeftOf("org_acme"); len(left) > 0 {
						t.Errorf("%s, left: %s", when, left)
					}
					if said == nil && e.Facebook.Valid(token) {
						t.Errorf("%s, uma's grant lives", when)
					}
					if said != nil && e.Facebook.Count(authpipetest.EndpointRevoke) != calls {
						t.Errorf("%s, a record was opened that should not", when)
					}
					e.Read("creds/" + enginetest.Globex)
				})
			})
		}
	}
}

// checkDeletion checks that a deletion that has begun serves nothing and will
// be carried on.
func checkDeletion(e *enginetest.Engine, when string) {
	e.T.Helper()
	known, err := e.Do(logical.ReadOperation, enginetest.Acme, nil)
	if err != nil {
		if left := append(e.Storage.Under("cred/org_acme/"), e.Storage.Under("keyring/tenant/org_acme")...); len(left) > 0 {
			e.T.Errorf("%s: the tenant is gone, and left: %v", when, left)
		}
		return
	}
	if known.Data["deletion"] == nil {
		e.Read("creds/" + enginetest.Uma) // whole as yet
		return
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	if !strings.Contains(strings.Join(e.Storage.Under("due/"), "\n")+"\n", ",deletion,org_acme\n") {
		e.T.Errorf("%s: nothing will go on with %v", when, known.Data["deletion"])
	}
}
