package backend_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

const acme = "tenants/org_acme"

func (e *engine) suspend(suspended bool) {
	e.t.Helper()
	e.must(logical.UpdateOperation, acme, map[string]any{"suspended": suspended})
}

func TestNothingOfASuspendedTenantIsServedOrConnected(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.connect(globex, "boss", authpipetest.Consent{User: "udo"})
	e.read("creds/" + page777)
	s := e.begin(udo, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	token := e.read("creds/" + uma)["access_token"]
	e.deposit(hook, "webhook_secret", apiKey)

	e.suspend(true)
	calls := e.fb.Count("")
	for _, ref := range []string{installation, uma, page777, hook} {
		e.refused("suspended", 409, logical.ReadOperation, "creds/"+ref, nil)
	}
	e.refused("suspended", 409, logical.UpdateOperation, "connect/"+udo, nil)
	e.refused("suspended", 409, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin"})
	e.refused("suspended", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	e.refused("suspended", 409, logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": token})
	e.refused("suspended", 409, logical.UpdateOperation, "creds/"+hook, map[string]any{"credential": "other", "credential_type": "api_key"})
	if n := e.fb.Count("") - calls; n > 0 {
		t.Errorf("the provider was asked %d times", n)
	}
	if got := e.read("connections/" + uma)["status"]; got != "active" {
		t.Errorf("its connection reads %v", got)
	}
	if got := e.read(acme); got["suspended"] != true || got["suspended_at"] == nil {
		t.Errorf("the tenant reads %v", got)
	}
	e.read("creds/" + globex) // another tenant's

	e.suspend(false)
	if e.read("creds/" + uma)["access_token"] != token {
		t.Error("the token is another when the suspension is lifted")
	}
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	e.read("creds/" + udo)
}

func TestTheGrantsOfASuspendedTenantAreKeptAlive(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.suspend(true)
	e.restart()
	for range 70 {
		e.after(24 * time.Hour)
	}
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.refused("suspended", 409, logical.ReadOperation, "creds/"+uma, nil)
	e.suspend(false)
	if left := e.expiry(uma).Sub(e.clock.Now()); left < 10*24*time.Hour {
		t.Errorf("after 70 days the token has %v left", left)
	}
}

func TestASuspensionIsRightOnAnotherNodeOnceThatIsTold(t *testing.T) {
	e := both(t, authpipetest.Options{})
	other := e.node(standby{})
	other.read("creds/" + uma)
	e.suspend(true)
	other.InvalidateKey(t.Context(), "tenant/org_acme")
	if _, err := other.do(logical.ReadOperation, "creds/"+uma, nil); err != logical.ErrReadOnly { // the active node says so
		t.Errorf("it answers %v", err)
	}
	e.suspend(false)
	e.clock.Advance(31 * time.Second) // the word is lost
	other.read("creds/" + uma)
}

func TestASuspensionThatComesWhileACodeIsRedeemedWins(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := e.begin(udo, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	proof := map[string]any{"actor": "udo", "connect_code": code}
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken},
		func() {
			_, err := e.do(logical.UpdateOperation, s.path+"/complete", proof)
			checkCode(e.t, err, "suspended", 409)
		},
		func() { e.suspend(true) })
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+udo, nil)
	// The code is spent, and its token parked.
	e.suspend(false)
	n := e.fb.Count(authpipetest.EndpointAccessToken)
	e.must(logical.UpdateOperation, s.path+"/complete", proof)
	if e.fb.Count(authpipetest.EndpointAccessToken) != n {
		t.Error("the code was sent again")
	}
	e.read("creds/" + udo)
}

func TestAReadThatWaitsForARefreshIsSuspendedToo(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(50 * 24 * time.Hour)
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Times: 1},
		func() {
			_, err := e.do(logical.ReadOperation, "creds/"+uma, map[string]any{"min_ttl": "480h"})
			checkCode(t, err, "suspended", 409)
		},
		func() { e.suspend(true) })
}

func TestAReadThatWaitsForPagesIsSuspendedToo(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Times: 1},
		func() {
			_, err := e.do(logical.ReadOperation, "creds/"+page777, nil)
			checkCode(t, err, "suspended", 409)
		},
		func() { e.suspend(true) })
}

// TestAConnectionIsStoredBeforeASuspensionOrNotAtAll has the suspension come
// while the connection is being put.
func TestAConnectionIsStoredBeforeASuspensionOrNotAtAll(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := e.begin(udo, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	reached, release := e.hold("put", "cred/"+udo)
	var both sync.WaitGroup
	both.Go(func() {
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	})
	<-reached
	both.Go(func() { e.suspend(true) })
	e.settle()
	if slices.Contains(e.storage.Writes(), storagetest.Operation{Verb: "put", Key: "tenant/org_acme"}) {
		t.Error("the tenant is suspended, and a connection still being stored")
	}
	release()
	both.Wait()
	e.refused("suspended", 409, logical.ReadOperation, "creds/"+udo, nil)
}

func TestASuspensionAndItsEndAreEvents(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.suspend(true)
	e.suspend(true) // says nothing new
	e.suspend(false)
	var got []string
	for _, event := range e.read("events")["events"].([]map[string]any) {
		if event["ref"] == "org_acme" {
			got = append(got, event["type"].(string))
		}
	}
	if want := "tenant.suspended tenant.resumed"; strings.Join(got, " ") != want {
		t.Errorf("events are %v", got)
	}
}

func TestASuspensionNamesATenant(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.refused("not_found", 404, logical.UpdateOperation, "tenants/org_none", map[string]any{"suspended": true})
	e.refused("invalid_request", 400, logical.UpdateOperation, acme, nil)
	e.refused("invalid_request", 400, logical.UpdateOperation, acme, map[string]any{"suspended": "perhaps"})
	if keys := e.keys("tenant/org_none"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

// TestPagesOfASuspendedTenantAreListedWithoutACall: the list would otherwise fetch
// them, whoever reads it.
func TestPagesOfASuspendedTenantAreListedWithoutACall(t *testing.T) {
	e := both(t, authpipetest.Options{})
	dir := "connections/org_acme/facebook/pages/"
	e.must(logical.ListOperation, dir, nil)
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
	e.connect(installation, "admin", authpipetest.Consent{User: "ada"}) // its pages are to be fetched anew
	e.suspend(true)
	if calls := e.calls(func() { e.do(logical.ListOperation, dir, nil) }); calls != 0 {
		t.Errorf("listing them makes %d calls", calls)
	}
	e.suspend(false)
	if calls := e.calls(func() { e.must(logical.ListOperation, dir, nil) }); calls == 0 {
		t.Error("they are not fetched afterwards")
	}
}
