package backend_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// hold keeps the first storage operation that matches until release is called.
// reached is closed when it has come.
func (e *engine) hold(verb, prefix string) (reached chan struct{}, release func()) {
	return e.holdNth(1, verb, prefix)
}

// settle lets the others run until the storage has been quiet for a while. It
// proves nothing by itself: a request that waits for a lock cannot be told from
// one that has not begun.
func (e *engine) settle() {
	quiet, before := 0, -1
	for quiet < 50 {
		for range 1000 {
			runtime.Gosched()
		}
		n := len(e.storage.Operations())
		if quiet++; n != before {
			quiet, before = 0, n
		}
	}
}

// holdNth is hold for the nth operation that matches.
func (e *engine) holdNth(n int64, verb, prefix string) (reached chan struct{}, release func()) {
	reached, gate := make(chan struct{}), make(chan struct{})
	var count atomic.Int64
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == verb && strings.HasPrefix(op.Key, prefix) && count.Add(1) == n {
			close(reached)
			<-gate
		}
		return nil
	})
	return reached, sync.OnceFunc(func() { close(gate) })
}

// during starts act, waits until it hangs at the provider's endpoint, does
// what comes between, and lets it go on.
func (e *engine) during(fault authpipetest.Fault, act, between func()) {
	e.t.Helper()
	n := e.fb.Count(fault.Endpoint)
	fault.Hang = true
	release := e.fb.Fail(fault)
	var acting sync.WaitGroup
	acting.Go(act)
	e.awaitCalls(fault.Endpoint, n+1)
	between()
	release()
	acting.Wait()
}

func (e *engine) alive(ref string) bool {
	e.t.Helper()
	known, _ := e.fb.Inspect(e.read("creds/" + ref)["access_token"].(string))
	return known.Valid
}

func TestAConnectWinsOverADeleteThatBeganBefore(t *testing.T) {
	t.Run("of another account, while the provider revokes", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		s := e.begin(uma, map[string]any{"allow_account_change": true})
		code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
		var token string
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke},
			func() { e.must(logical.DeleteOperation, "creds/"+uma, nil) },
			func() {
				e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
				token = e.read("creds/" + uma)["access_token"].(string)
			})
		// The delete goes on until what is there is gone: revoked, too.
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
		if known, _ := e.fb.Inspect(token); known.Valid {
			t.Error("the new grant was forgotten without being revoked")
		}
	})
	t.Run("of another account, while the shared one is looked at", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
		s := e.begin(uma, map[string]any{"allow_account_change": true})
		code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
		reached, release := e.hold("list", "account/")
		var deleting sync.WaitGroup
		deleting.Go(func() { e.must(logical.DeleteOperation, "creds/"+uma, nil) })
		<-reached
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
		token := e.read("creds/" + uma)["access_token"].(string)
		release()
		deleting.Wait()
		if known, _ := e.fb.Inspect(token); known.Valid {
			t.Error("udo's credential was deleted, and his grant lives")
		}
	})
	t.Run("of another tenant, by the grant that is being revoked", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		const other = "org_globex/facebook/installation"
		s := e.begin(other, map[string]any{"actor": "boss"})
		code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(t)
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke},
			func() { e.must(logical.DeleteOperation, "creds/"+uma, nil) },
			func() {
				e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "boss", "connect_code": code})
			})
		e.clock.Advance(time.Minute)
		e.sweep()
		e.refused("revoked", 409, logical.ReadOperation, "creds/"+other, nil) // noticed within a minute
	})
}

func TestAnOldAnswerDoesNotBringTheDeadBack(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, AfterEffect: true, Times: 1},
		func() { e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil) },
		func() {
			e.fb.RemoveApp(appID, "uma")
			e.refused("revoked", 409, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
		})
	if got := e.read("connections/" + uma)["status"]; got != "revoked" {
		t.Errorf("status is %v again", got)
	}
}

func TestADeleteWinsOverARefreshThatBeganBefore(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(20 * 24 * time.Hour)
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken},
		func() {
			_, err := e.do(logical.ReadOperation, "creds/"+uma, map[string]any{"min_ttl": "50d"})
			checkCode(e.t, err, "not_found", 404)
		},
		func() { e.must(logical.DeleteOperation, "creds/"+uma, nil) })
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
}

func TestManyReadersShareOneRefresh(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(20 * 24 * time.Hour)
	n := e.fb.Count(authpipetest.EndpointExchangeToken)
	var readers sync.WaitGroup
	for range 50 {
		readers.Go(func() { e.must(logical.ReadOperation, "creds/"+uma, map[string]any{"min_ttl": "50d"}) })
	}
	readers.Wait()
	if got := e.fb.Count(authpipetest.EndpointExchangeToken) - n; got != 1 {
		t.Errorf("refreshed %d times", got)
	}
}

func TestReadersOfALivingTokenDoNotWearTheProviderOut(t *testing.T) {
	e := both(t, authpipetest.Options{})
	expiry, err := time.Parse(time.RFC3339, e.read("creds/" + uma)["expires_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	e.clock.Set(expiry.Add(-3 * time.Hour))
	repair := e.fb.Fail(authpipetest.Fault{Reset: true})
	n := e.fb.Count("")
	for range 30 {
		if resp, err := e.do(logical.ReadOperation, "creds/"+uma, map[string]any{"min_ttl": "24h"}); err != nil || len(resp.Warnings) == 0 {
			t.Fatalf("answered %v, %v", resp, err)
		}
	}
	if got := e.fb.Count("") - n; got > 2 { // a connection that breaks is tried twice
		t.Errorf("30 reads made %d calls", got)
	}
	if history := e.read("connections/" + uma)["history"].([]map[string]any); len(history) != 2 {
		t.Errorf("the history reads %v", history)
	}
	repair()
	for range 5 {
		e.clock.Advance(time.Minute)
		e.sweep()
	}
	if !e.alive(uma) || e.read("connections/" + uma)["generation"] != uint64(2) {
		t.Error("the token was not refreshed when the provider was back")
	}
}

func TestAfterADayOfRiddlesTheTokenItselfIsAskedAbout(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	due, err := time.Parse(time.RFC3339, e.read("connections/" + uma)["next_due_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Message: "a riddle", Code: 987654}})
	e.fb.RemoveApp(appID, "uma")
	e.clock.Set(due.Add(time.Minute))
	for range 20 {
		e.sweep()
		e.clock.Advance(time.Hour)
	}
	e.read("creds/" + uma) // for less than a day a riddle is no verdict
	for range 12 {
		e.sweep()
		e.clock.Advance(time.Hour)
	}
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+uma, nil)
}

func TestADayOfRiddlesAboutALivingTokenIsNotForgotten(t *testing.T) {
	e := both(t, authpipetest.Options{})
	due, err := time.Parse(time.RFC3339, e.read("creds/" + uma)["last_vault_rotation"].(string))
	if err != nil {
		t.Fatal(err)
	}
	planned := time.Duration(e.read("creds/" + uma)["rotation_period"].(int64)) * time.Second
	repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Message: "a riddle", Code: 987654}})
	e.clock.Set(due.Add(planned + time.Minute))
	for range 60 {
		e.sweep()
		e.clock.Advance(time.Hour)
	}
	if c := e.read("connections/" + uma); c["consecutive_failures"].(int) < 5 || c["last_error"] == nil || c["status"] != "active" {
		t.Errorf("the connection reads %v", c)
	}
	repair()
	e.after(7 * time.Hour)
	e.after(time.Hour)
	if c := e.read("connections/" + uma); c["generation"] != uint64(2) || c["consecutive_failures"] != 0 {
		t.Errorf("after the repair the connection reads %v", c)
	}
}

func TestAnExpiredTokenIsNotServedAndTheProviderIsAskedOnce(t *testing.T) {
	type answer struct {
		code   string
		status int
	}
	for name, row := range map[string]struct {
		fault       authpipetest.Fault
		first, then answer
	}{
		"when it is down":      {authpipetest.Fault{Status: 503, Body: "<html>down</html>"}, answer{"failed", 409}, answer{"failed", 409}},
		"when it is throttled": {authpipetest.Fault{Error: &authpipetest.GraphError{Message: "Application request limit reached", Code: 4}}, answer{"throttled", 429}, answer{"throttled", 429}},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			defer e.fb.Fail(row.fault)()
			e.clock.Advance(61 * 24 * time.Hour)
			e.refused(row.first.code, row.first.status, logical.ReadOperation, "creds/"+uma, nil)
			n := e.fb.Count("")
			e.refused(row.then.code, row.then.status, logical.ReadOperation, "creds/"+uma, nil)
			if got := e.fb.Count("") - n; got != 0 {
				t.Errorf("the second read made %d calls", got)
			}
		})
	}
}

func TestAMissingPermissionCostsNoLivingToken(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(20 * 24 * time.Hour)
	defer e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Message: "(#10) Application does not have permission for this action", Code: 10}})()
	resp, err := e.do(logical.ReadOperation, "creds/"+uma, map[string]any{"min_ttl": "50d"})
	if err != nil || len(resp.Warnings) == 0 || resp.Data["status"] != "active" {
		t.Errorf("answered %v, %v", resp, err)
	}
}

func TestStorageTroubleIsNotBlamedOnTheCredential(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.restart() // knows nothing
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Key == "config/facebook" {
			return storagetest.ErrStorage
		}
		return nil
	})
	if _, err := e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil); err == nil {
		t.Error("a refresh without a configuration succeeds")
	}
	e.storage.Reset()
	if c := e.read("connections/" + uma); c["consecutive_failures"] != 0 {
		t.Errorf("the connection reads %v", c)
	}
}

func TestACredentialWhoseConfigurationIsGoneIsServed(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	resp, err := e.do(logical.ReadOperation, "creds/"+uma, nil)
	if err != nil || len(resp.Warnings) != 1 || resp.Data["access_token"] == nil || resp.Data["appsecret_proof"] != nil {
		t.Errorf("answered %v, %v", resp, err)
	}
}

func TestTheEndOfTheMountEndsWhatRuns(t *testing.T) {
	e := both(t, authpipetest.Options{})
	if err := e.Initialize(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	due, err := time.Parse(time.RFC3339, e.read("connections/" + uma)["next_due_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	e.clock.Set(due.Add(time.Minute))
	n := e.fb.Count("")
	defer e.fb.Fail(authpipetest.Fault{Hang: true})()
	if _, err := e.do(logical.RollbackOperation, "", nil); err != nil {
		t.Fatal(err)
	}
	e.awaitCalls("", n+1)
	e.Cleanup(context.Background()) // returns although the provider hangs
	e.restart()
	if c := e.read("connections/" + uma); c["consecutive_failures"] != 0 {
		t.Errorf("the end of the mount was blamed on the credential: %v", c)
	}
}

func TestOfTwoWhoGoTogetherTheLastRevokes(t *testing.T) {
	const other = "org_globex/facebook/installation"
	t.Run("two requests", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		e.install()
		e.connect(other, "boss", authpipetest.Consent{User: "ada"})
		token := e.read("creds/" + installation)["access_token"].(string)
		// The first hangs after it has found the other to share its account.
		reached, release := e.holdNth(2, "list", "cred/org_acme/facebook/users/")
		var deleting sync.WaitGroup
		deleting.Go(func() { e.must(logical.DeleteOperation, "creds/"+installation, nil) })
		<-reached
		deleting.Go(func() { e.must(logical.DeleteOperation, "creds/"+other, nil) })
		e.settle()
		release()
		deleting.Wait()
		for range 3 {
			e.after(2 * time.Minute)
		}
		if known, _ := e.fb.Inspect(token); known.Valid {
			t.Errorf("both are gone, and the grant lives after %d revocations", e.fb.Count(authpipetest.EndpointRevoke))
		}
	})
	t.Run("in one sweep", func(t *testing.T) {
		for range 10 {
			e := both(t, authpipetest.Options{})
			e.connect(other, "boss", authpipetest.Consent{User: "ada"})
			e.connect("org_globex/facebook/users/udo", "udo", authpipetest.Consent{User: "udo"})
			token := e.read("creds/" + installation)["access_token"].(string)
			e.must(logical.DeleteOperation, "creds/"+installation, nil)
			e.must(logical.DeleteOperation, "creds/"+other, nil)
			for range 3 {
				e.clock.Advance(2 * time.Minute)
				e.Sweep(t.Context())
			}
			if known, _ := e.fb.Inspect(token); known.Valid {
				t.Fatal("both are gone, and the grant lives")
			}
		}
	})
}

func TestWhatIsStoredAfterItsGrantWasRevokedIsCheckedAtOnce(t *testing.T) {
	e := both(t, authpipetest.Options{})
	const other = "org_globex/facebook/installation"
	s := e.begin(other, map[string]any{"actor": "boss"})
	code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(t)
	n := e.fb.Count(authpipetest.EndpointDebugToken)
	answer := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true})
	var completing sync.WaitGroup
	completing.Go(func() {
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "boss", "connect_code": code})
	})
	e.awaitCalls(authpipetest.EndpointDebugToken, n+1)
	// Held after the provider has answered, before the account is locked.
	e.InvalidateKey(t.Context(), "config/facebook")
	reached, release := e.hold("get", "config/facebook")
	answer()
	<-reached
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
	release()
	completing.Wait()
	e.after(2 * time.Minute)
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+other, nil)
}

func TestARevocationWhoseAnswerIsLostIsLookedInto(t *testing.T) {
	e := both(t, authpipetest.Options{})
	fault := down
	fault.AfterEffect, fault.Times = true, 1
	e.fb.Fail(fault)
	e.refused("unavailable", 502, logical.DeleteOperation, "creds/"+uma, nil)
	e.after(2 * time.Minute)
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+uma, nil)
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
}

func TestTwoCompletionsOfWhichOneIsHeldInItsStep(t *testing.T) {
	e, s, _, code := authorized(t)
	proof := map[string]any{"actor": "admin", "connect_code": code}
	e.InvalidateKey(t.Context(), "config/facebook")
	reached, release := e.hold("get", "config/facebook")
	var completing sync.WaitGroup
	for range 2 {
		completing.Go(func() { e.must(logical.UpdateOperation, s.path+"/complete", proof) })
	}
	<-reached
	e.settle()
	release()
	completing.Wait()
	if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 1 {
		t.Errorf("the code was sent %d times", n)
	}
	if got := e.read("connections/" + installation)["generation"]; got != uint64(1) {
		t.Errorf("generation is %v", got)
	}
}

// TestTheCallerGoesAway has the caller of each path that calls out leave while
// the provider is at it: what was begun is carried through.
func TestTheCallerGoesAway(t *testing.T) {
	leaving := func(e *engine, endpoint string, op logical.Operation, path string, data map[string]any) {
		ctx, leave := context.WithCancel(t.Context())
		e.during(authpipetest.Fault{Endpoint: endpoint},
			func() {
				e.HandleRequest(ctx, &logical.Request{Operation: op, Path: path, Data: data, Storage: e.storage})
			},
			func() { leave(); e.settle() })
	}
	t.Run("from a completion", func(t *testing.T) {
		e, s, _, code := authorized(t)
		leaving(e, authpipetest.EndpointDebugToken, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		if got := e.read(s.path)["status"]; got != "completed" {
			t.Errorf("the session is %v", got)
		}
	})
	t.Run("from a delete", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		leaving(e, authpipetest.EndpointRevoke, logical.DeleteOperation, "creds/"+uma, nil)
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
	})
	t.Run("from a tenant's end by force", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		reached, release := e.hold("put", "tenant/org_acme")
		ctx, leave := context.WithCancel(t.Context())
		var deleting sync.WaitGroup
		deleting.Go(func() {
			e.HandleRequest(ctx, &logical.Request{Operation: logical.DeleteOperation, Path: acme, Data: map[string]any{"force": true}, Storage: e.storage})
		})
		<-reached
		leave()
		release()
		deleting.Wait()
		if left := e.keys("keyring/tenant/org_acme"); len(left) > 0 {
			t.Error("its keys are left")
		}
	})
	t.Run("from a refresh", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		e.clock.Advance(20 * 24 * time.Hour)
		leaving(e, authpipetest.EndpointExchangeToken, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
		// The next one joins what is under way, or finds it done.
		e.must(logical.ReadOperation, "creds/"+uma, map[string]any{"min_ttl": "50d"})
		if n := e.read("connections/" + uma)["generation"]; n != uint64(2) {
			t.Errorf("generation is %v", n)
		}
	})
}

func TestAPanicInTheSweepDoesNotEndTheWorker(t *testing.T) {
	e := both(t, authpipetest.Options{})
	if err := e.Initialize(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer e.Cleanup(context.Background())
	panicked, swept := make(chan struct{}), make(chan struct{})
	var lists atomic.Int64
	e.clock.Advance(2 * time.Minute)
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "list" && strings.HasPrefix(op.Key, "due/") {
			switch lists.Add(1) {
			case 1:
				close(panicked)
				panic("in the worker's goroutine")
			case 2:
				close(swept)
			}
		}
		return nil
	})
	tick := func() {
		if _, err := e.do(logical.RollbackOperation, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	tick()
	<-panicked
	tick()
	<-swept
}

// TestChecksDoNotPutTheRefreshOff lives through a token's days with its daily
// checks: it is refreshed when it was planned, and not when it is nearly over.
func TestChecksDoNotPutTheRefreshOff(t *testing.T) {
	e := both(t, authpipetest.Options{})
	before := e.read("creds/" + uma)
	planned := time.Duration(before["ttl"].(int64)) * time.Second
	for passed := time.Duration(0); passed < planned; passed += 6 * time.Hour {
		e.clock.Advance(6 * time.Hour)
		e.sweep()
	}
	e.after(6 * time.Hour)
	if after := e.read("creds/" + uma); after["access_token"] == before["access_token"] {
		t.Errorf("after %v the token is still the old one, to be refreshed in %v s", planned, after["ttl"])
	}
}
