package backend_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestWhatWasUnderWayIsNotStoredForATenantThatWasDeleted has each way to store a
// credential hang at the provider while its tenant is deleted, is gone, and
// has begun anew.
func TestWhatWasUnderWayIsNotStoredForATenantThatWasDeleted(t *testing.T) {
	complete := func(e *engine) (string, func() error) {
		s := e.begin(udo, nil)
		code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(e.t)
		return authpipetest.EndpointAccessToken, func() error {
			_, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			return err
		}
	}
	importing := func(e *engine) (string, func() error) {
		token := e.served(uma)
		return authpipetest.EndpointDebugToken, func() error {
			_, err := e.do(logical.UpdateOperation, "creds/"+udo, map[string]any{"access_token": token})
			return err
		}
	}
	refreshing := func(e *engine) (string, func() error) {
		e.clock.Advance(20 * 24 * time.Hour)
		return authpipetest.EndpointExchangeToken, func() error {
			_, err := e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
			return err
		}
	}
	pages := func(e *engine) (string, func() error) {
		return authpipetest.EndpointAccounts, func() error {
			_, err := e.do(logical.ReadOperation, "creds/"+page777, nil)
			return err
		}
	}
	for name, begin := range map[string]func(*engine) (string, func() error){
		"complete": complete, "import": importing, "refresh": refreshing, "pages": pages,
	} {
		for until, more := range map[string]func(*engine){
			"being deleted": func(*engine) {},
			"gone":          func(e *engine) { e.after(2 * time.Minute) },
			"begun anew": func(e *engine) {
				e.after(2 * time.Minute)
				e.connect(installation, "admin", authpipetest.Consent{User: "uma"})
			},
		} {
			t.Run(name+" while it is "+until, func(t *testing.T) {
				e := both(t, authpipetest.Options{})
				endpoint, act := begin(e)
				e.during(authpipetest.Fault{Endpoint: endpoint, Times: 1},
					func() { checkCode(t, act(), "not_found", 404) },
					func() {
						e.must(logical.DeleteOperation, acme, map[string]any{"revoke": false})
						more(e)
					})
				e.after(2 * time.Minute)
				left := e.left("org_acme")
				if until == "begun anew" {
					left = append(e.keys("cred/"+udo), e.keys("cred/"+uma)...)
				}
				if len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}

func TestATenantThatIsDeletedWhileItsFirstConnectionIsMadeDoesNotBegin(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	s := e.begin("org_new/facebook/installation", map[string]any{"actor": "boss"})
	code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
	proof := map[string]any{"actor": "boss", "connect_code": code}
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Times: 1},
		func() {
			_, err := e.do(logical.UpdateOperation, s.path+"/complete", proof)
			checkCode(t, err, "not_found", 404)
		},
		func() { e.refused("not_found", 404, logical.DeleteOperation, "tenants/org_new", nil) })
	if left := e.left("org_new"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestASessionThatIsBeingTakenIsNotStoredForTheNextLife has a completion be
// kept from its step while its tenant is deleted and begins anew.
func TestASessionThatIsBeingTakenIsNotStoredForTheNextLife(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := e.begin(udo, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	e.restart() // does not know the configuration
	reached, release := e.hold("get", "config/facebook")
	var completing sync.WaitGroup
	completing.Go(func() {
		_, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
		checkCode(t, err, "not_found", 404)
	})
	<-reached
	before := e.raw("session/" + s.id)
	e.must(logical.DeleteOperation, acme, map[string]any{"revoke": false})
	e.after(2 * time.Minute)
	e.install()
	release()
	completing.Wait()
	if !bytes.Equal(before, e.raw("session/"+s.id)) {
		t.Error("the session was sealed with the new key")
	}
	e.after(2 * time.Hour)
	if keys := e.keys("session/"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestALoginOnADeviceDoesNotBeginForATenantThatWasDeletedMeanwhile(t *testing.T) {
	e, _, _ := device(t, installation, "admin")
	e.connect(globex, "boss", authpipetest.Consent{User: "udo"})
	e.install()
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointDeviceLogin, Times: 1},
		func() {
			_, err := e.do(logical.UpdateOperation, "connect/"+udo, map[string]any{"grant": "device"})
			checkCode(t, err, "not_found", 404)
		},
		func() { e.must(logical.DeleteOperation, acme, nil) })
}
