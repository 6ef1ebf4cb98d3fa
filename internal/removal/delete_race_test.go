package removal_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestCallUnderWayStoresNothingForDeletedTenant has each way to store a
// credential hang at the provider while its tenant is deleted, is gone, and
// has begun anew.
func TestCallUnderWayStoresNothingForDeletedTenant(t *testing.T) {
	complete := func(e *enginetest.Engine) (string, func() error) {
		s := e.Begin(enginetest.Udo, nil)
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(e.T)
		return authpipetest.EndpointAccessToken, func() error {
			_, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			return err
		}
	}
	importing := func(e *enginetest.Engine) (string, func() error) {
		token := e.Token(enginetest.Uma)
		return authpipetest.EndpointDebugToken, func() error {
			_, err := e.Do(logical.UpdateOperation, "creds/"+enginetest.Udo, map[string]any{"access_token": token})
			return err
		}
	}
	refreshing := func(e *enginetest.Engine) (string, func() error) {
		e.Clock.Advance(20 * 24 * time.Hour)
		return authpipetest.EndpointExchangeToken, func() error {
			_, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			return err
		}
	}
	pages := func(e *enginetest.Engine) (string, func() error) {
		return authpipetest.EndpointAccounts, func() error {
			_, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil)
			return err
		}
	}
	for name, begin := range map[string]func(*enginetest.Engine) (string, func() error){
		"complete": complete, "import": importing, "refresh": refreshing, "pages": pages,
	} {
		for until, more := range map[string]func(*enginetest.Engine){
			"being deleted": func(*enginetest.Engine) {},
			"gone":          func(e *enginetest.Engine) { e.After(2 * time.Minute) },
			"begun anew": func(e *enginetest.Engine) {
				e.After(2 * time.Minute)
				e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "uma"})
			},
		} {
			t.Run(name+" while it is "+until, func(t *testing.T) {
				e := enginetest.Connected(t, authpipetest.Options{})
				endpoint, act := begin(e)
				e.Facebook.During(authpipetest.Fault{Endpoint: endpoint, Times: 1},
					func() { enginetest.CheckCode(t, act(), "not_found", 404) },
					func() {
						e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"revoke": false})
						more(e)
					})
				e.After(2 * time.Minute)
				left := e.Storage.LeftOf("org_acme")
				if until == "begun anew" {
					left = append(e.Storage.Under("cred/"+enginetest.Udo), e.Storage.Under("cred/"+enginetest.Uma)...)
				}
				if len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}

func TestTenantDeletionWinsOverFirstConnection(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	s := e.Begin("org_new/facebook/installation", map[string]any{"actor": "boss"})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	proof := map[string]any{"actor": "boss", "connect_code": code}
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Times: 1},
		func() {
			_, err := e.Do(logical.UpdateOperation, s.Path+"/complete", proof)
			enginetest.CheckCode(t, err, "not_found", 404)
		},
		func() { e.Refused("not_found", 404, logical.DeleteOperation, "tenants/org_new", nil) })
	if left := e.Storage.LeftOf("org_new"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestSessionUnderWayIsNotStoredForNewTenant has a completion be
// kept from its step while its tenant is deleted and begins anew.
func TestSessionUnderWayIsNotStoredForNewTenant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := e.Begin(enginetest.Udo, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	e.Restart() // does not know the configuration
	reached, release := e.Storage.Hold("get", "config/facebook")
	var completing sync.WaitGroup
	completing.Go(func() {
		_, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
		enginetest.CheckCode(t, err, "not_found", 404)
	})
	<-reached
	before := e.Storage.Raw("session/" + s.ID)
	e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"revoke": false})
	e.After(2 * time.Minute)
	e.Install()
	release()
	completing.Wait()
	if !bytes.Equal(before, e.Storage.Raw("session/"+s.ID)) {
		t.Error("the session was sealed with the new key")
	}
	e.After(2 * time.Hour)
	if keys := e.Storage.Under("session/"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestDeviceLoginDoesNotBeginForDeletedTenant(t *testing.T) {
	e, _, _ := enginetest.Device(t, enginetest.Installation, "admin")
	e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "udo"})
	e.Install()
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointDeviceLogin, Times: 1},
		func() {
			_, err := e.Do(logical.UpdateOperation, "connect/"+enginetest.Udo, map[string]any{"grant": "device"})
			enginetest.CheckCode(t, err, "not_found", 404)
		},
		func() { e.Must(logical.DeleteOperation, enginetest.Acme, nil) })
}
