package backend_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// The tests of this file are about deletions whose request, connection and
// check come close together.

func TestADeletionTakesWhatWasStoredWhileItWasAskedFor(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := e.begin(udo, nil)
	back := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	var code string
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, AfterEffect: true, Times: 1}, // the last call of all
		func() {
			e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": back})
		},
		func() {
			e.fb.RemoveApp(appID, "udo")
			code = e.erasing(signed(appSecret, e.request("udo", e.clock.Now())))
			e.clock.Advance(2 * time.Second)
		})
	for range 3 {
		e.after(2 * time.Minute)
	}
	if _, got := e.dataDeletion(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+udo, nil)
}

func TestADeletionIsNotRejectedBeforeTheProviderCanKnow(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(time.Hour + 55*time.Second)
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	e.after(6 * time.Second) // the minute has begun, and the provider's servers do not agree yet
	e.fb.RemoveApp(appID, "uma")
	for range 3 {
		e.after(2 * time.Minute)
	}
	if _, got := e.dataDeletion(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+uma, nil)
}

func TestWhereAGrantStandsADeletionDeletesNothing(t *testing.T) {
	for _, dead := range []string{uma, "org_globex/facebook/installation"} {
		t.Run("but its token at "+dead+" is dead", func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
			e.clock.Advance(time.Hour)
			e.fb.ExpireToken(e.read("creds/" + dead)["access_token"].(string))
			code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
			e.after(2 * time.Minute)
			if _, got := e.dataDeletion(code); got != `{"status":"rejected"}` {
				t.Errorf("its page says %s", got)
			}
			e.read("connections/" + uma)
			e.read("connections/org_globex/facebook/installation")
		})
	}
}

func TestADeletionSparesWhatIsConnectedWhileItIsCarriedOut(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.RemoveApp(appID, "uma")
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	e.clock.Advance(2 * time.Minute)
	reached, release := e.hold("list", "cred/"+uma+"/pages/") // it is about to be deleted
	var sweeping sync.WaitGroup
	sweeping.Go(func() { e.Sweep(context.Background()) })
	<-reached
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	release()
	sweeping.Wait()
	for range 2 {
		e.after(2 * time.Minute)
	}
	e.read("creds/" + uma)
	if _, got := e.dataDeletion(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
}
