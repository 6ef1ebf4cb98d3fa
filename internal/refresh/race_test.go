package refresh_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestLateAnswerDoesNotReviveCredential(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, AfterEffect: true, Times: 1},
		func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil) },
		func() {
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		})
	if got := e.Read("connections/" + enginetest.Uma)["status"]; got != "revoked" {
		t.Errorf("status is %v again", got)
	}
}

func TestDeleteWinsOverEarlierRefresh(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(20 * 24 * time.Hour)
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken},
		func() {
			_, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "50d"})
			enginetest.CheckCode(e.T, err, "not_found", 404)
		},
		func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) })
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
}

func TestReadersShareOneRefresh(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(20 * 24 * time.Hour)
	n := e.Facebook.Count(authpipetest.EndpointExchangeToken)
	var readers sync.WaitGroup
	for range 50 {
		readers.Go(func() { e.Must(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "50d"}) })
	}
	readers.Wait()
	if got := e.Facebook.Count(authpipetest.EndpointExchangeToken) - n; got != 1 {
		t.Errorf("refreshed %d times", got)
	}
}

func TestReadersOfLiveTokenMakeFewCalls(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	expiry, err := time.Parse(time.RFC3339, e.Read("creds/" + enginetest.Uma)["expires_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.Set(expiry.Add(-3 * time.Hour))
	repair := e.Facebook.Fail(authpipetest.Fault{Reset: true})
	n := e.Facebook.Count("")
	for range 30 {
		if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "24h"}); err != nil || len(resp.Warnings) == 0 {
			t.Fatalf("answered %v, %v", resp, err)
		}
	}
	if got := e.Facebook.Count("") - n; got > 2 { // a connection that breaks is tried twice
		t.Errorf("30 reads made %d calls", got)
	}
	if history := e.Read("connections/" + enginetest.Uma)["history"].([]map[string]any); len(history) != 2 {
		t.Errorf("the history reads %v", history)
	}
	repair()
	for range 5 {
		e.Clock.Advance(time.Minute)
		e.MustSweep()
	}
	if !e.Alive(enginetest.Uma) || e.Read("connections/" + enginetest.Uma)["generation"] != uint64(2) {
		t.Error("the token was not refreshed when the provider was back")
	}
}

func TestTokenIsInspectedAfterADayOfUnknownErrors(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	due, err := time.Parse(time.RFC3339, e.Read("connections/" + enginetest.Uma)["next_due_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Message: "a riddle", Code: 987654}})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	e.Clock.Set(due.Add(time.Minute))
	for range 20 {
		e.MustSweep()
		e.Clock.Advance(time.Hour)
	}
	e.Read("creds/" + enginetest.Uma) // for less than a day a riddle is no verdict
	for range 12 {
		e.MustSweep()
		e.Clock.Advance(time.Hour)
	}
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
}

func TestUnknownErrorsOfLiveTokenStayCounted(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	due, err := time.Parse(time.RFC3339, e.Read("creds/" + enginetest.Uma)["last_vault_rotation"].(string))
	if err != nil {
		t.Fatal(err)
	}
	planned := time.Duration(e.Read("creds/" + enginetest.Uma)["rotation_period"].(int64)) * time.Second
	repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Message: "a riddle", Code: 987654}})
	e.Clock.Set(due.Add(planned + time.Minute))
	for range 60 {
		e.MustSweep()
		e.Clock.Advance(time.Hour)
	}
	if c := e.Read("connections/" + enginetest.Uma); c["consecutive_failures"].(int) < 5 || c["last_error"] == nil || c["status"] != "active" {
		t.Errorf("the connection reads %v", c)
	}
	repair()
	e.After(7 * time.Hour)
	e.After(time.Hour)
	if c := e.Read("connections/" + enginetest.Uma); c["generation"] != uint64(2) || c["consecutive_failures"] != 0 {
		t.Errorf("after the repair the connection reads %v", c)
	}
}

func TestExpiredTokenIsNotServed(t *testing.T) {
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
			e := enginetest.Connected(t, authpipetest.Options{})
			defer e.Facebook.Fail(row.fault)()
			e.Clock.Advance(61 * 24 * time.Hour)
			e.Refused(row.first.code, row.first.status, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
			n := e.Facebook.Count("")
			e.Refused(row.then.code, row.then.status, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
			if got := e.Facebook.Count("") - n; got != 0 {
				t.Errorf("the second read made %d calls", got)
			}
		})
	}
}

func TestMissingPermissionKeepsLiveToken(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(20 * 24 * time.Hour)
	defer e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Message: "(#10) Application does not have permission for this action", Code: 10}})()
	resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "50d"})
	if err != nil || len(resp.Warnings) == 0 || resp.Data["status"] != "active" {
		t.Errorf("answered %v, %v", resp, err)
	}
}

func TestStorageErrorMarksNoCredential(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Restart() // knows nothing
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Key == "config/facebook" {
			return storagetest.ErrStorage
		}
		return nil
	})
	if _, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil); err == nil {
		t.Error("a refresh without a configuration succeeds")
	}
	e.Storage.Reset()
	if c := e.Read("connections/" + enginetest.Uma); c["consecutive_failures"] != 0 {
		t.Errorf("the connection reads %v", c)
	}
}

func TestCredentialIsServedWithoutConfig(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	if err != nil || len(resp.Warnings) != 1 || resp.Data["access_token"] == nil || resp.Data["appsecret_proof"] != nil {
		t.Errorf("answered %v, %v", resp, err)
	}
}

func TestShutdownEndsCalls(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	if err := e.Initialize(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	due, err := time.Parse(time.RFC3339, e.Read("connections/" + enginetest.Uma)["next_due_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	e.Clock.Set(due.Add(time.Minute))
	n := e.Facebook.Count("")
	defer e.Facebook.Fail(authpipetest.Fault{Hang: true})()
	if _, err := e.Do(logical.RollbackOperation, "", nil); err != nil {
		t.Fatal(err)
	}
	e.Facebook.AwaitCalls("", n+1)
	e.Cleanup(context.Background()) // returns although the provider hangs
	e.Restart()
	if c := e.Read("connections/" + enginetest.Uma); c["consecutive_failures"] != 0 {
		t.Errorf("the end of the mount was blamed on the credential: %v", c)
	}
}

// TestCallOutlivesItsCaller has the caller of each path that calls out leave while
// the provider is at it: what was begun is carried through.
func TestCallOutlivesItsCaller(t *testing.T) {
	leaving := func(e *enginetest.Engine, endpoint string, op logical.Operation, path string, data map[string]any) {
		ctx, leave := context.WithCancel(t.Context())
		e.Facebook.During(authpipetest.Fault{Endpoint: endpoint},
			func() {
				e.HandleRequest(ctx, &logical.Request{Operation: op, Path: path, Data: data, Storage: e.Storage})
			},
			func() { leave(); e.Storage.AwaitQuiet() })
	}
	t.Run("from a completion", func(t *testing.T) {
		e, s, _, code := enginetest.Authorized(t)
		leaving(e, authpipetest.EndpointDebugToken, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		if got := e.Read(s.Path)["status"]; got != "completed" {
			t.Errorf("the session is %v", got)
		}
	})
	t.Run("from a delete", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		leaving(e, authpipetest.EndpointRevoke, logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	})
	t.Run("from a tenant's end by force", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		reached, release := e.Storage.Hold("put", "tenant/org_acme")
		ctx, leave := context.WithCancel(t.Context())
		var deleting sync.WaitGroup
		deleting.Go(func() {
			e.HandleRequest(ctx, &logical.Request{Operation: logical.DeleteOperation, Path: enginetest.Acme, Data: map[string]any{"force": true}, Storage: e.Storage})
		})
		<-reached
		leave()
		release()
		deleting.Wait()
		if left := e.Storage.Under("keyring/tenant/org_acme"); len(left) > 0 {
			t.Error("its keys are left")
		}
	})
	t.Run("from a refresh", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Clock.Advance(20 * 24 * time.Hour)
		leaving(e, authpipetest.EndpointExchangeToken, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		// The next one joins what is under way, or finds it done.
		e.Must(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "50d"})
		if n := e.Read("connections/" + enginetest.Uma)["generation"]; n != uint64(2) {
			t.Errorf("generation is %v", n)
		}
	})
}

func TestPanicInSweepDoesNotEndWorker(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	if err := e.Initialize(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer e.Cleanup(context.Background())
	panicked, swept := make(chan struct{}), make(chan struct{})
	var lists atomic.Int64
	e.Clock.Advance(2 * time.Minute)
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
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
		if _, err := e.Do(logical.RollbackOperation, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	tick()
	<-panicked
	tick()
	<-swept
}

// TestChecksDoNotPostponeRefresh lives through a token's days with its daily
// checks: it is refreshed when it was planned, and not when it is nearly over.
func TestChecksDoNotPostponeRefresh(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	before := e.Read("creds/" + enginetest.Uma)
	planned := time.Duration(before["ttl"].(int64)) * time.Second
	for passed := time.Duration(0); passed < planned; passed += 6 * time.Hour {
		e.Clock.Advance(6 * time.Hour)
		e.MustSweep()
	}
	e.After(6 * time.Hour)
	if after := e.Read("creds/" + enginetest.Uma); after["access_token"] == before["access_token"] {
		t.Errorf("after %v the token is still the old one, to be refreshed in %v s", planned, after["ttl"])
	}
}
