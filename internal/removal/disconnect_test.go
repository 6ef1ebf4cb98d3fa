package removal_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestDeleteRevokesGrant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	if known, _ := e.Facebook.Inspect(token); known.Valid {
		t.Error("the token still works")
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	e.Refused("not_found", 404, logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	keys, _ := e.Storage.Keys(context.Background(), "")
	for _, key := range keys {
		if slices.Contains(strings.FieldsFunc(key, func(r rune) bool { return r == '/' || r == ',' }), "uma") {
			t.Errorf("%s is left", key)
		}
	}
}

func TestFailedRevocationDeletesNothing(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Status: 500, Error: &authpipetest.GraphError{Message: "An unknown error occurred", Code: 1}})
	defer repair()
	e.Refused("unavailable", 502, logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.Read("creds/" + enginetest.Uma)
	e.Refused("unavailable", 502, logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Read("creds/" + enginetest.Installation)

	resp, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Uma, map[string]any{"force": true})
	if err != nil || len(resp.Warnings) != 1 {
		t.Errorf("with force: %v, %v", resp, err)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
}

func TestDeleteMayLeaveGrant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, map[string]any{"revoke": false})
	if known, _ := e.Facebook.Inspect(token); !known.Valid {
		t.Error("the grant was revoked")
	}
}

func TestDeadHolderDoesNotPreventRevocation(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	const other = "org_globex/facebook/installation"
	e.Facebook.RemoveApp(enginetest.AppID, "ada")
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	e.Connect(other, "boss", authpipetest.Consent{User: "ada"})
	token := e.Read("creds/" + other)["access_token"].(string)
	e.Must(logical.DeleteOperation, "creds/"+other, nil)
	if known, _ := e.Facebook.Inspect(token); known.Valid {
		t.Error("the grant outlives its last living credential")
	}
}

func TestLastHolderOfAccountRevokes(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	const other = "org_globex/facebook/installation"
	e.Connect(other, "boss", authpipetest.Consent{User: "ada"})
	token := e.Read("creds/" + other)["access_token"].(string)

	resp, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	if err != nil || len(resp.Warnings) != 1 || strings.Contains(resp.Warnings[0], "globex") {
		t.Fatalf("answered %v, %v", resp, err)
	}
	if known, _ := e.Facebook.Inspect(token); !known.Valid {
		t.Error("the other tenant's token died along")
	}
	e.Must(logical.DeleteOperation, "creds/"+other, nil)
	if known, _ := e.Facebook.Inspect(token); known.Valid {
		t.Error("the last holder did not revoke")
	}
}

func TestInstallationDeleteDeletesAllUnderIt(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const ada = "org_acme/facebook/users/ada"
	e.Connect(ada, "ada", authpipetest.Consent{User: "ada"}) // the admin is a user too
	var tokens []string
	for _, ref := range []string{enginetest.Installation, enginetest.Uma, ada} {
		tokens = append(tokens, e.Read("creds/" + ref)["access_token"].(string))
	}
	resp, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	if err != nil || len(resp.Warnings) != 1 {
		t.Fatalf("answered %v, %v", resp, err)
	}
	for _, ref := range []string{enginetest.Installation, enginetest.Uma, ada} {
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
	}
	e.Refused("not_found", 404, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	e.Refused("pending", 409, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin"})
	e.Refused("pending", 409, logical.UpdateOperation, "connect/"+enginetest.Uma, nil)
	if c := e.Read("connections/" + enginetest.Installation); c["removal"] == nil {
		t.Errorf("the connection tells nothing of its removal: %v", c)
	}

	repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Status: 500, Body: "<html>down</html>"})
	e.Clock.Advance(2 * time.Minute)
	e.MustSweep()
	removal := e.Read("connections/" + enginetest.Installation)["removal"].(map[string]any)
	if !slices.Contains(removal["unrevoked"].([]string), enginetest.Uma) || removal["attempts"] != 1 {
		t.Errorf("what could not be revoked reads %v", removal)
	}
	repair()
	e.Restart()
	e.Clock.Advance(10 * time.Minute)
	e.MustSweep()
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
	for _, token := range tokens {
		if known, _ := e.Facebook.Inspect(token); known.Valid {
			t.Errorf("a token of %s still works", known.User)
		}
	}
	for _, prefix := range []string{"cred/", "account/", "status/", "due/"} {
		keys, _ := e.Storage.Keys(context.Background(), prefix)
		for _, key := range keys {
			if !strings.Contains(key, ",session,") {
				t.Errorf("%s is left", key)
			}
		}
	}
	e.Install()
}

func TestConnectWinsOverEarlierDelete(t *testing.T) {
	t.Run("of another account, while the provider revokes", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		s := e.Begin(enginetest.Uma, map[string]any{"allow_account_change": true})
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
		var token string
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke},
			func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) },
			func() {
				e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
				token = e.Read("creds/" + enginetest.Uma)["access_token"].(string)
			})
		// The delete goes on until what is there is gone: revoked, too.
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
		if known, _ := e.Facebook.Inspect(token); known.Valid {
			t.Error("the new grant was forgotten without being revoked")
		}
	})
	t.Run("of another account, while the shared one is looked at", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
		s := e.Begin(enginetest.Uma, map[string]any{"allow_account_change": true})
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
		reached, release := e.Storage.Hold("list", "account/")
		var deleting sync.WaitGroup
		deleting.Go(func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) })
		<-reached
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
		token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
		release()
		deleting.Wait()
		if known, _ := e.Facebook.Inspect(token); known.Valid {
			t.Error("udo's credential was deleted, and his grant lives")
		}
	})
	t.Run("of another tenant, by the grant that is being revoked", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		const other = "org_globex/facebook/installation"
		s := e.Begin(other, map[string]any{"actor": "boss"})
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke},
			func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) },
			func() {
				e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "boss", "connect_code": code})
			})
		e.Clock.Advance(time.Minute)
		e.MustSweep()
		e.Refused("revoked", 409, logical.ReadOperation, "creds/"+other, nil) // noticed within a minute
	})
}

func TestLastOfConcurrentDeletesRevokes(t *testing.T) {
	const other = "org_globex/facebook/installation"
	t.Run("two requests", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		e.Install()
		e.Connect(other, "boss", authpipetest.Consent{User: "ada"})
		token := e.Read("creds/" + enginetest.Installation)["access_token"].(string)
		// The first hangs after it has found the other to share its account.
		reached, release := e.Storage.HoldNth(2, "list", "cred/org_acme/facebook/users/")
		var deleting sync.WaitGroup
		deleting.Go(func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil) })
		<-reached
		deleting.Go(func() { e.Must(logical.DeleteOperation, "creds/"+other, nil) })
		e.Storage.AwaitQuiet()
		release()
		deleting.Wait()
		for range 3 {
			e.After(2 * time.Minute)
		}
		if known, _ := e.Facebook.Inspect(token); known.Valid {
			t.Errorf("both are gone, and the grant lives after %d revocations", e.Facebook.Count(authpipetest.EndpointRevoke))
		}
	})
	t.Run("in one sweep", func(t *testing.T) {
		for range 10 {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Connect(other, "boss", authpipetest.Consent{User: "ada"})
			e.Connect("org_globex/facebook/users/udo", "udo", authpipetest.Consent{User: "udo"})
			token := e.Read("creds/" + enginetest.Installation)["access_token"].(string)
			e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
			e.Must(logical.DeleteOperation, "creds/"+other, nil)
			for range 3 {
				e.Clock.Advance(2 * time.Minute)
				e.Sweep(t.Context())
			}
			if known, _ := e.Facebook.Inspect(token); known.Valid {
				t.Fatal("both are gone, and the grant lives")
			}
		}
	})
}

func TestCredentialStoredAfterRevocationIsCheckedAtOnce(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const other = "org_globex/facebook/installation"
	s := e.Begin(other, map[string]any{"actor": "boss"})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)
	n := e.Facebook.Count(authpipetest.EndpointDebugToken)
	answer := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true})
	var completing sync.WaitGroup
	completing.Go(func() {
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "boss", "connect_code": code})
	})
	e.Facebook.AwaitCalls(authpipetest.EndpointDebugToken, n+1)
	// Held after the provider has answered, before the account is locked.
	e.InvalidateKey(t.Context(), "config/facebook")
	reached, release := e.Storage.Hold("get", "config/facebook")
	answer()
	<-reached
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	release()
	completing.Wait()
	e.After(2 * time.Minute)
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+other, nil)
}

func TestUnansweredRevocationIsChecked(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	fault := enginetest.RevokeDown
	fault.AfterEffect, fault.Times = true, 1
	e.Facebook.Fail(fault)
	e.Refused("unavailable", 502, logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.After(2 * time.Minute)
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
}
