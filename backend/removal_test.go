package backend_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

var down = authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Status: 500, Body: "<html>down</html>"}

func (e *engine) removal() map[string]any {
	e.t.Helper()
	removal, ok := e.read("connections/" + installation)["removal"].(map[string]any)
	if !ok {
		e.t.Fatalf("the installation is not being removed: %v", e.read("connections/"+installation))
	}
	return removal
}

func (e *engine) after(d time.Duration) {
	e.t.Helper()
	e.clock.Advance(d)
	e.sweep()
}

func TestWhatCannotBeRevokedIsNotForgotten(t *testing.T) {
	e := both(t, authpipetest.Options{})
	token := e.read("creds/" + uma)["access_token"].(string)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	if got := e.read("connections/" + uma); got["removal"] == nil {
		t.Errorf("who stands under it reads %v", got)
	}
	repair := e.fb.Fail(down)
	for range 12 {
		e.after(7 * time.Hour)
	}
	if got := e.removal(); got["unrevoked_count"] != 1 || got["attempts"] != 12 {
		t.Errorf("the removal reads %v", got)
	}
	e.after(2 * time.Minute)
	if got := e.removal(); got["attempts"] != 12 {
		t.Errorf("it is not let rest: %v", got)
	}
	repair()
	e.after(7 * time.Hour)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
	if known, _ := e.fb.Inspect(token); known.Valid {
		t.Error("uma's grant was forgotten, not revoked")
	}
}

func TestOneUserWhoCannotBeRevokedDoesNotKeepTheOthers(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
	tokens := map[string]string{uma: e.served(uma), udo: e.served(udo)}
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	fault := down
	fault.Times = 1 // one of them, at the first attempt
	e.fb.Fail(fault)
	e.after(2 * time.Minute)
	if e.valid(tokens[uma]) == e.valid(tokens[udo]) {
		t.Error("not one of them was revoked")
	}
	if got := e.removal(); got["removed"] != 1 || got["unrevoked_count"] != 1 || !e.valid(tokens[got["unrevoked"].([]string)[0]]) {
		t.Errorf("the removal reads %v", got)
	}
	e.after(10 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
}

func TestARemovalIsForced(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	defer e.fb.Fail(down)()
	e.after(2 * time.Minute)
	e.refused("not_found", 404, logical.DeleteOperation, "creds/"+installation, nil)
	e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
	e.log.Reset()
	_, at := e.events(0)
	e.after(2 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
	if log := e.log.String(); !strings.Contains(log, "forgotten without revoking") || !strings.Contains(log, uma) {
		t.Errorf("the log does not say what was forgotten: %s", log)
	}
	// Nor does it end with the removal who was left with a grant.
	e.happened(at, "connection.unrevoked "+uma, "connection.deleted "+uma, "connection.deleted "+installation)
}

func TestAnInstallationIsRevokedAfterItsUsers(t *testing.T) {
	e := both(t, authpipetest.Options{})
	const ada = "org_acme/facebook/users/ada"
	e.connect(ada, "ada", authpipetest.Consent{User: "ada"}) // so its grant is not told at once
	token := e.read("creds/" + installation)["access_token"].(string)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	repair := e.fb.Fail(down)
	e.after(2 * time.Minute)
	repair()
	for range 5 {
		e.after(7 * time.Hour)
	}
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
	if known, _ := e.fb.Inspect(token); known.Valid {
		t.Error("the installation is gone, and its grant lives")
	}
}

func TestNobodyIsServedWithoutTheInstallationThatWentAlong(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "delete" && op.Key == "cred/"+uma {
			return storagetest.ErrStorage
		}
		return nil
	})
	for range 8 {
		e.after(7 * time.Hour)
	}
	e.storage.Reset()
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
	e.removal() // stands until the user is gone
	e.after(7 * time.Hour)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+uma, nil)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
}

func TestAReconnectDuringAnUninstallIsRevokedToo(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := e.begin(installation, map[string]any{"actor": "admin", "allow_account_change": true})
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	var token string
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke},
		func() { e.must(logical.DeleteOperation, "creds/"+installation, nil) },
		func() {
			e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
			token = e.read("creds/" + installation)["access_token"].(string)
		})
	e.after(2 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
	if known, _ := e.fb.Inspect(token); known.Valid {
		t.Error("udo's grant lives")
	}
}

func TestALateRequestDoesNotRemoveANewInstallation(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	reached, release := e.hold("list", "cred/org_acme/facebook/users/")
	var deleting sync.WaitGroup
	deleting.Go(func() { e.must(logical.DeleteOperation, "creds/"+installation, nil) })
	<-reached
	e.after(time.Minute) // the worker is done with it
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
	e.install()
	release()
	deleting.Wait()
	if !e.alive(installation) {
		t.Error("the new installation's grant was revoked")
	}
}

// TestAConnectionIsStoredBeforeItsInstallationGoesOrNotAtAll has the removal
// come while a user's connection is being put.
func TestAConnectionIsStoredBeforeItsInstallationGoesOrNotAtAll(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	s := e.begin(udo, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	reached, release := e.hold("put", "cred/"+udo)
	var both sync.WaitGroup
	both.Go(func() {
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
	})
	<-reached
	both.Go(func() {
		e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"revoke": false})
	})
	e.settle()
	release()
	both.Wait()
	e.after(2 * time.Minute)
	e.after(2 * time.Minute)
	if left := e.keys("cred/org_acme/"); len(left) > 0 {
		t.Errorf("left without an installation: %v", left)
	}
}

func TestACodeIsNotSpentOnWhatCannotBeConnected(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := e.begin(udo, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	proof := map[string]any{"actor": "udo", "connect_code": code}
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	n := e.fb.Count(authpipetest.EndpointAccessToken)
	e.refused("pending", 409, logical.UpdateOperation, s.path+"/complete", proof)
	e.after(2 * time.Minute)
	e.refused("installation_required", 409, logical.UpdateOperation, s.path+"/complete", proof)
	if got := e.fb.Count(authpipetest.EndpointAccessToken) - n; got != 0 {
		t.Errorf("the code was sent %d times", got)
	}
	e.install()
	e.must(logical.UpdateOperation, s.path+"/complete", proof)
	e.read("creds/" + udo)
}

func TestARemovalBeginsWhateverTheClockDid(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.after(48 * time.Hour)
	e.clock.Advance(-48 * time.Hour)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(2 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
}

func TestAListSaysWhatIsBeingRemoved(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	info := e.must(logical.ListOperation, "creds/org_acme/facebook/users/", nil)["key_info"].(map[string]any)["uma"].(map[string]any)
	if info["removing"] != true {
		t.Errorf("key_info is %v", info)
	}
}

func TestOneBadRecordKeepsNothingElseFromBeingDone(t *testing.T) {
	e := both(t, authpipetest.Options{})
	entry, err := e.storage.Storage.Get(t.Context(), "cred/"+installation)
	if err != nil {
		t.Fatal(err)
	}
	e.plant("cred/"+uma, entry.Value)                            // does not open there
	e.plant("due/0029923922/0000000000,unheard-of,x", []byte{1}) // another release's
	e.plant("due/0029923923/no entry at all", []byte{1})
	checked := e.read("connections/" + installation)["checked_at"]
	e.clock.Advance(25 * time.Hour)
	if err := e.Sweep(t.Context()); err == nil {
		t.Error("the sweep does not tell of what could not be done")
	}
	if e.read("connections/" + installation)["checked_at"] == checked {
		t.Error("the good record was not checked")
	}
	e.clock.Advance(time.Minute)
	e.storage.Reset()
	e.Sweep(t.Context())
	if n := len(e.storage.Operations()); n > 20 {
		t.Errorf("a sweep with three bad entries makes %d storage calls", n)
	}
}

func TestForceIsHeardWhileTheWorkerIsAtIt(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	repair := e.fb.Fail(down)
	for range 8 {
		e.after(7 * time.Hour)
	}
	repair()
	e.clock.Advance(7 * time.Hour)
	e.during(down,
		func() { e.Sweep(t.Context()) },
		func() {
			e.fb.Fail(down)
			e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
		})
	e.after(2 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
}

func TestWhatWasLeftUndoneSurvivesAClockStep(t *testing.T) {
	e := both(t, authpipetest.Options{})
	due, err := time.Parse(time.RFC3339, e.read("connections/" + uma)["next_due_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	failing := func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" && op.Key == "cred/"+uma {
			return storagetest.ErrStorage
		}
		return nil
	}
	e.clock.Set(due.Add(2 * time.Minute))
	for range 2 {
		e.storage.Fail(failing)
		e.Sweep(t.Context())
		e.clock.Advance(10 * time.Minute)
	}
	e.storage.Reset()
	e.clock.Advance(-20 * time.Minute)
	before := e.read("connections/" + uma)["checked_at"]
	e.after(time.Minute)
	if after := e.read("connections/" + uma)["checked_at"]; after == before {
		t.Errorf("it is not checked: due at %v, now %v", due, e.clock.Now())
	}
}

func TestARecordThatDoesNotOpenCanBeGotRidOf(t *testing.T) {
	spoiled := func(ref, with string) *engine {
		e := both(t, authpipetest.Options{})
		entry, err := e.storage.Storage.Get(t.Context(), "cred/"+with)
		if err != nil {
			t.Fatal(err)
		}
		e.plant("cred/"+ref, entry.Value)
		if _, err := e.do(logical.DeleteOperation, "creds/"+ref, nil); err == nil {
			t.Error("without force it is deleted")
		}
		return e
	}
	t.Run("by force", func(t *testing.T) {
		e := spoiled(uma, installation)
		if resp, err := e.do(logical.DeleteOperation, "creds/"+uma, map[string]any{"force": true}); err != nil || len(resp.Warnings) != 1 {
			t.Errorf("answered %v, %v", resp, err)
		}
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
		e.after(48 * time.Hour) // its due entry is found outdated
	})
	t.Run("by connecting again", func(t *testing.T) {
		e := spoiled(uma, installation)
		e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
		e.read("creds/" + uma)
	})
	t.Run("with its installation", func(t *testing.T) {
		e := spoiled(uma, installation)
		e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
		e.after(2 * time.Minute)
		e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
		e.refused("not_found", 404, logical.ReadOperation, "connections/"+uma, nil)
	})
	t.Run("an installation", func(t *testing.T) {
		e := spoiled(installation, uma)
		e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
		e.after(2 * time.Minute)
		e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
		e.install()
	})
}
