package removal_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestRemovalKeepsUnrevokedCredential(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	if got := e.Read("connections/" + enginetest.Uma); got["removal"] == nil {
		t.Errorf("a credential under it reads %v", got)
	}
	repair := e.Facebook.Fail(enginetest.RevokeDown)
	for range 12 {
		e.After(7 * time.Hour)
	}
	if got := e.Tenant.Removal(); got["unrevoked_count"] != 1 || got["attempts"] != 12 {
		t.Errorf("the removal reads %v", got)
	}
	e.After(2 * time.Minute)
	if got := e.Tenant.Removal(); got["attempts"] != 12 {
		t.Errorf("it is not let rest: %v", got)
	}
	repair()
	e.After(7 * time.Hour)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
	if known, _ := e.Facebook.Inspect(token); known.Valid {
		t.Error("uma's grant was forgotten, not revoked")
	}
}

func TestFailingRevocationOfOneUserDelaysNoOthers(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	tokens := map[string]string{enginetest.Uma: e.Token(enginetest.Uma), enginetest.Udo: e.Token(enginetest.Udo)}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	fault := enginetest.RevokeDown
	fault.Times = 1 // one of them, at the first attempt
	e.Facebook.Fail(fault)
	e.After(2 * time.Minute)
	if e.Facebook.Valid(tokens[enginetest.Uma]) == e.Facebook.Valid(tokens[enginetest.Udo]) {
		t.Error("not one of them was revoked")
	}
	if got := e.Tenant.Removal(); got["removed"] != 1 || got["unrevoked_count"] != 1 || !e.Facebook.Valid(tokens[got["unrevoked"].([]string)[0]]) {
		t.Errorf("the removal reads %v", got)
	}
	e.After(10 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
}

func TestRemovalIsForced(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	defer e.Facebook.Fail(enginetest.RevokeDown)()
	e.After(2 * time.Minute)
	e.Refused("not_found", 404, logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
	e.Log.Reset()
	_, at := e.Events(0)
	e.After(2 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
	if log := e.Log.String(); !strings.Contains(log, "deleted without revoking the grant") || !strings.Contains(log, enginetest.Uma) {
		t.Errorf("the log does not say what was forgotten: %s", log)
	}
	// The grant that was left is named after the removal, too.
	e.CheckEvents(at, "connection.unrevoked "+enginetest.Uma, "connection.deleted "+enginetest.Uma, "connection.deleted "+enginetest.Installation)
}

func TestInstallationIsRevokedAfterItsUsers(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const ada = "org_acme/facebook/users/ada"
	e.Connect(ada, "ada", authpipetest.Consent{User: "ada"}) // so its grant is not revoked at once
	token := e.Read("creds/" + enginetest.Installation)["access_token"].(string)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	repair := e.Facebook.Fail(enginetest.RevokeDown)
	e.After(2 * time.Minute)
	repair()
	for range 5 {
		e.After(7 * time.Hour)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
	if known, _ := e.Facebook.Inspect(token); known.Valid {
		t.Error("the installation is gone, and its grant lives")
	}
}

func TestUsersAreNotServedDuringRemoval(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "delete" && op.Key == "cred/"+enginetest.Uma {
			return storagetest.ErrStorage
		}
		return nil
	})
	for range 8 {
		e.After(7 * time.Hour)
	}
	e.Storage.Reset()
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	e.Tenant.Removal() // stands until the user is gone
	e.After(7 * time.Hour)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Uma, nil)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
}

func TestRemovalRevokesReconnectDuringIt(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "allow_account_change": true})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	var token string
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke},
		func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil) },
		func() {
			e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
			token = e.Read("creds/" + enginetest.Installation)["access_token"].(string)
		})
	e.After(2 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
	if known, _ := e.Facebook.Inspect(token); known.Valid {
		t.Error("udo's grant lives")
	}
}

func TestLateRequestDoesNotRemoveNewInstallation(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	reached, release := e.Storage.Hold("list", "cred/org_acme/facebook/users/")
	var deleting sync.WaitGroup
	deleting.Go(func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil) })
	<-reached
	e.After(time.Minute) // the worker is done with it
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
	e.Install()
	release()
	deleting.Wait()
	if !e.Alive(enginetest.Installation) {
		t.Error("the new installation's grant was revoked")
	}
}

// TestConnectionIsNotStoredAfterRemovalBegins has the removal
// come while a user's connection is being put.
func TestConnectionIsNotStoredAfterRemovalBegins(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	s := e.Begin(enginetest.Udo, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	reached, release := e.Storage.Hold("put", "cred/"+enginetest.Udo)
	var both sync.WaitGroup
	both.Go(func() {
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	})
	<-reached
	both.Go(func() {
		e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"revoke": false})
	})
	e.Storage.AwaitQuiet()
	release()
	both.Wait()
	e.After(2 * time.Minute)
	e.After(2 * time.Minute)
	if left := e.Storage.Under("cred/org_acme/"); len(left) > 0 {
		t.Errorf("left without an installation: %v", left)
	}
}

func TestCodeIsNotSentForRefBeingRemoved(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := e.Begin(enginetest.Udo, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	proof := map[string]any{"actor": "udo", "connect_code": code}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	n := e.Facebook.Count(authpipetest.EndpointAccessToken)
	e.Refused("pending", 409, logical.UpdateOperation, s.Path+"/complete", proof)
	e.After(2 * time.Minute)
	e.Refused("installation_required", 409, logical.UpdateOperation, s.Path+"/complete", proof)
	if got := e.Facebook.Count(authpipetest.EndpointAccessToken) - n; got != 0 {
		t.Errorf("the code was sent %d times", got)
	}
	e.Install()
	e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
	e.Read("creds/" + enginetest.Udo)
}

func TestRemovalBeginsAfterClockStep(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.After(48 * time.Hour)
	e.Clock.Advance(-48 * time.Hour)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.After(2 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
}

func TestListShowsRemoval(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	info := e.Must(logical.ListOperation, "creds/org_acme/facebook/users/", nil)["key_info"].(map[string]any)["uma"].(map[string]any)
	if info["removing"] != true {
		t.Errorf("key_info is %v", info)
	}
}

func TestSweepSkipsUnreadableRecord(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	entry, err := e.Storage.Storage.Get(t.Context(), "cred/"+enginetest.Installation)
	if err != nil {
		t.Fatal(err)
	}
	e.Plant("cred/"+enginetest.Uma, entry.Value)                 // does not open there
	e.Plant("due/0029923922/0000000000,unheard-of,x", []byte{1}) // another release's
	e.Plant("due/0029923923/no entry at all", []byte{1})
	checked := e.Read("connections/" + enginetest.Installation)["checked_at"]
	e.Clock.Advance(25 * time.Hour)
	if err := e.Sweep(t.Context()); err == nil {
		t.Error("the sweep does not tell of what could not be done")
	}
	if e.Read("connections/" + enginetest.Installation)["checked_at"] == checked {
		t.Error("the good record was not checked")
	}
	e.Clock.Advance(time.Minute)
	e.Storage.Reset()
	e.Sweep(t.Context())
	if n := len(e.Storage.Operations()); n > 20 {
		t.Errorf("a sweep with three bad entries makes %d storage calls", n)
	}
}

func TestRemovalTakesForceDuringSweep(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	repair := e.Facebook.Fail(enginetest.RevokeDown)
	for range 8 {
		e.After(7 * time.Hour)
	}
	repair()
	e.Clock.Advance(7 * time.Hour)
	e.Facebook.During(enginetest.RevokeDown,
		func() { e.Sweep(t.Context()) },
		func() {
			e.Facebook.Fail(enginetest.RevokeDown)
			e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
		})
	e.After(2 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
}

func TestFailedWorkSurvivesClockStep(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	due, err := time.Parse(time.RFC3339, e.Read("connections/" + enginetest.Uma)["next_due_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	failing := func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" && op.Key == "cred/"+enginetest.Uma {
			return storagetest.ErrStorage
		}
		return nil
	}
	e.Clock.Set(due.Add(2 * time.Minute))
	for range 2 {
		e.Storage.Fail(failing)
		e.Sweep(t.Context())
		e.Clock.Advance(10 * time.Minute)
	}
	e.Storage.Reset()
	e.Clock.Advance(-20 * time.Minute)
	before := e.Read("connections/" + enginetest.Uma)["checked_at"]
	e.After(time.Minute)
	if after := e.Read("connections/" + enginetest.Uma)["checked_at"]; after == before {
		t.Errorf("it is not checked: due at %v, now %v", due, e.Clock.Now())
	}
}

func TestUnreadableRecordCanBeDeleted(t *testing.T) {
	spoiled := func(ref, with string) *enginetest.Engine {
		e := enginetest.Connected(t, authpipetest.Options{})
		entry, err := e.Storage.Storage.Get(t.Context(), "cred/"+with)
		if err != nil {
			t.Fatal(err)
		}
		e.Plant("cred/"+ref, entry.Value)
		if _, err := e.Do(logical.DeleteOperation, "creds/"+ref, nil); err == nil {
			t.Error("without force it is deleted")
		}
		return e
	}
	t.Run("by force", func(t *testing.T) {
		e := spoiled(enginetest.Uma, enginetest.Installation)
		if resp, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Uma, map[string]any{"force": true}); err != nil || len(resp.Warnings) != 1 {
			t.Errorf("answered %v, %v", resp, err)
		}
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
		e.After(48 * time.Hour) // its due entry is found outdated
	})
	t.Run("by connecting again", func(t *testing.T) {
		e := spoiled(enginetest.Uma, enginetest.Installation)
		e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
		e.Read("creds/" + enginetest.Uma)
	})
	t.Run("with its installation", func(t *testing.T) {
		e := spoiled(enginetest.Uma, enginetest.Installation)
		e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
		e.After(2 * time.Minute)
		e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
		e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Uma, nil)
	})
	t.Run("an installation", func(t *testing.T) {
		e := spoiled(enginetest.Installation, enginetest.Uma)
		e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
		e.After(2 * time.Minute)
		e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
		e.Install()
	})
}
