package paths_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestSuspendedTenantIsNotServedOrConnected(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "udo"})
	e.Read("creds/" + enginetest.Page777)
	s := e.Begin(enginetest.Udo, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	token := e.Read("creds/" + enginetest.Uma)["access_token"]
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey)

	e.Tenant.Suspend(true)
	calls := e.Facebook.Count("")
	for _, ref := range []string{enginetest.Installation, enginetest.Uma, enginetest.Page777, enginetest.StaticHook} {
		e.Refused("suspended", 409, logical.ReadOperation, "creds/"+ref, nil)
	}
	e.Refused("suspended", 409, logical.UpdateOperation, "connect/"+enginetest.Udo, nil)
	e.Refused("suspended", 409, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin"})
	e.Refused("suspended", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	e.Refused("suspended", 409, logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": token})
	e.Refused("suspended", 409, logical.UpdateOperation, "creds/"+enginetest.StaticHook, map[string]any{"credential": "other", "credential_type": "api_key"})
	if n := e.Facebook.Count("") - calls; n > 0 {
		t.Errorf("the provider was asked %d times", n)
	}
	if got := e.Read("connections/" + enginetest.Uma)["status"]; got != "active" {
		t.Errorf("its connection reads %v", got)
	}
	if got := e.Read(enginetest.Acme); got["suspended"] != true || got["suspended_at"] == nil {
		t.Errorf("the tenant reads %v", got)
	}
	e.Read("creds/" + enginetest.Globex) // another tenant's

	e.Tenant.Suspend(false)
	if e.Read("creds/" + enginetest.Uma)["access_token"] != token {
		t.Error("the token is another when the suspension is lifted")
	}
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	e.Read("creds/" + enginetest.Udo)
}

func TestGrantsOfSuspendedTenantAreRefreshed(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Tenant.Suspend(true)
	e.Restart()
	for range 70 {
		e.After(24 * time.Hour)
	}
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Refused("suspended", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	e.Tenant.Suspend(false)
	if left := e.Expiry(enginetest.Uma).Sub(e.Clock.Now()); left < 10*24*time.Hour {
		t.Errorf("after 70 days the token has %v left", left)
	}
}

func TestSuspensionAppliesOnInvalidation(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	other := e.Node(enginetest.Standby())
	other.Read("creds/" + enginetest.Uma)
	e.Tenant.Suspend(true)
	other.InvalidateKey(t.Context(), "tenant/org_acme")
	if _, err := other.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err != logical.ErrReadOnly { // the active node says so
		t.Errorf("it answers %v", err)
	}
	e.Tenant.Suspend(false)
	e.Clock.Advance(31 * time.Second) // the word is lost
	other.Read("creds/" + enginetest.Uma)
}

func TestSuspensionWinsOverRedemption(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := e.Begin(enginetest.Udo, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	proof := map[string]any{"actor": "udo", "connect_code": code}
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken},
		func() {
			_, err := e.Do(logical.UpdateOperation, s.Path+"/complete", proof)
			enginetest.CheckCode(e.T, err, "suspended", 409)
		},
		func() { e.Tenant.Suspend(true) })
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Udo, nil)
	// The code is spent, and its token parked.
	e.Tenant.Suspend(false)
	n := e.Facebook.Count(authpipetest.EndpointAccessToken)
	e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
	if e.Facebook.Count(authpipetest.EndpointAccessToken) != n {
		t.Error("the code was sent again")
	}
	e.Read("creds/" + enginetest.Udo)
}

func TestSuspensionWinsOverReadThatWaitsForRefresh(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(50 * 24 * time.Hour)
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Times: 1},
		func() {
			_, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "480h"})
			enginetest.CheckCode(t, err, "suspended", 409)
		},
		func() { e.Tenant.Suspend(true) })
}

func TestSuspensionWinsOverReadThatWaitsForPages(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Times: 1},
		func() {
			_, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil)
			enginetest.CheckCode(t, err, "suspended", 409)
		},
		func() { e.Tenant.Suspend(true) })
}

// TestConnectionIsNotStoredAfterSuspension has the suspension come
// while the connection is being put.
func TestConnectionIsNotStoredAfterSuspension(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := e.Begin(enginetest.Udo, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	reached, release := e.Storage.Hold("put", "cred/"+enginetest.Udo)
	var both sync.WaitGroup
	both.Go(func() {
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	})
	<-reached
	both.Go(func() { e.Tenant.Suspend(true) })
	e.Storage.AwaitQuiet()
	if slices.Contains(e.Storage.Writes(), storagetest.Operation{Verb: "put", Key: "tenant/org_acme"}) {
		t.Error("the tenant is suspended, and a connection still being stored")
	}
	release()
	both.Wait()
	e.Refused("suspended", 409, logical.ReadOperation, "creds/"+enginetest.Udo, nil)
}

func TestSuspensionRecordsEvents(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Tenant.Suspend(true)
	e.Tenant.Suspend(true) // says nothing new
	e.Tenant.Suspend(false)
	var got []string
	for _, event := range e.Read("events")["events"].([]map[string]any) {
		if event["ref"] == "org_acme" {
			got = append(got, event["type"].(string))
		}
	}
	if want := "tenant.suspended tenant.resumed"; strings.Join(got, " ") != want {
		t.Errorf("events are %v", got)
	}
}

func TestSuspensionNeedsKnownTenant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Refused("not_found", 404, logical.UpdateOperation, "tenants/org_none", map[string]any{"suspended": true})
	e.Refused("invalid_request", 400, logical.UpdateOperation, enginetest.Acme, nil)
	e.Refused("invalid_request", 400, logical.UpdateOperation, enginetest.Acme, map[string]any{"suspended": "perhaps"})
	if keys := e.Storage.Under("tenant/org_none"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

// TestPagesOfSuspendedTenantAreListedWithoutACall: the list would otherwise fetch
// them, for every reader.
func TestPagesOfSuspendedTenantAreListedWithoutACall(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	dir := "connections/org_acme/facebook/pages/"
	e.Must(logical.ListOperation, dir, nil)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada"}) // its pages are to be fetched anew
	e.Tenant.Suspend(true)
	if calls := e.Facebook.CallsDuring(func() { e.Do(logical.ListOperation, dir, nil) }); calls != 0 {
		t.Errorf("listing them makes %d calls", calls)
	}
	e.Tenant.Suspend(false)
	if calls := e.Facebook.CallsDuring(func() { e.Must(logical.ListOperation, dir, nil) }); calls == 0 {
		t.Error("they are not fetched afterwards")
	}
}
