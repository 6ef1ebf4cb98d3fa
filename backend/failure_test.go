package backend_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestWriteSurvivesCrash stops the world before and after
// the effect of each storage operation of each path that writes, restarts, and
// holds the storage against the invariants; then what was interrupted is done
// again and must succeed.
func TestWriteSurvivesCrash(t *testing.T) {
	type step struct {
		name  string
		setUp func(*enginetest.Engine) func() error
		again func(*enginetest.Engine) error
	}
	write := func(e *enginetest.Engine, op logical.Operation, path string, data map[string]any) func() error {
		return func() error { _, err := e.Do(op, path, data); return err }
	}
	connectUma := func(e *enginetest.Engine) error {
		e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
		e.Read("creds/" + enginetest.Uma)
		return nil
	}
	complete := func(e *enginetest.Engine) func() error {
		s := e.Begin(enginetest.Uma, nil)
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(e.T)
		return write(e, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	}
	for _, s := range []step{
		{"begin the first session of a tenant", func(e *enginetest.Engine) func() error {
			return write(e, logical.UpdateOperation, "connect/org_new/facebook/installation", map[string]any{"actor": "boss"})
		}, connectUma},
		{"callback", func(e *enginetest.Engine) func() error {
			back := e.Consent(e.Begin(enginetest.Uma, nil), authpipetest.Consent{User: "uma"})
			return func() error { _, err := e.TryCallback(back); return err }
		}, connectUma},
		{"complete", complete, connectUma},
		{"present a code in another session", func(e *enginetest.Engine) func() error {
			back := e.Consent(e.Begin(enginetest.Uma, nil), authpipetest.Consent{User: "uma"})
			e.Callback(back)
			own, state := e.BeginState(enginetest.Udo, nil)
			return write(e, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "udo", "state": state, "code": back.Query().Get("code")})
		}, func(e *enginetest.Engine) error {
			if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 1 { // that of the installation
				return fmt.Errorf("codes were sent %d times", n)
			}
			return connectUma(e)
		}},
		{"complete again", func(e *enginetest.Engine) func() error { connectUma(e); return complete(e) }, connectUma},
		{"refresh", func(e *enginetest.Engine) func() error {
			connectUma(e)
			e.Clock.Advance(20 * 24 * time.Hour)
			return write(e, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		}, func(e *enginetest.Engine) error { e.Read("creds/" + enginetest.Uma); return nil }},
		{"check of a dead token", func(e *enginetest.Engine) func() error {
			connectUma(e)
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			return write(e, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		}, connectUma},
		{"delete", func(e *enginetest.Engine) func() error {
			connectUma(e)
			return write(e, logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
		}, connectUma},
		{"read a page", func(e *enginetest.Engine) func() error {
			return write(e, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
		}, func(e *enginetest.Engine) error {
			e.Read("creds/" + enginetest.Page777)
			e.Read("creds/org_acme/facebook/pages/778")
			return nil
		}},
		{"delete an installation", func(e *enginetest.Engine) func() error {
			connectUma(e)
			e.Read("creds/" + enginetest.Page777)
			return write(e, logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
		}, func(e *enginetest.Engine) error {
			e.Do(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
			e.Clock.Advance(5 * time.Minute)
			e.MustSweep()
			e.Install()
			return connectUma(e)
		}},
		{"sweep", func(e *enginetest.Engine) func() error {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
			connectUma(e)
			due, err := time.Parse(time.RFC3339, e.Read("connections/" + enginetest.Uma)["next_due_at"].(string))
			if err != nil {
				e.T.Fatal(err)
			}
			e.Clock.Set(due.Add(-2 * time.Minute))
			e.MustSweep() // pass the idle weeks
			e.Clock.Set(due.Add(2 * time.Minute))
			return func() error { return e.Sweep(context.Background()) }
		}, func(e *enginetest.Engine) error {
			e.MustSweep()
			token, _ := e.Facebook.Inspect(e.Read("creds/" + enginetest.Uma)["access_token"].(string))
			if token.ExpiresAt.Sub(e.Clock.Now()) < 59*24*time.Hour {
				return fmt.Errorf("the token was not refreshed: it expires at %v", token.ExpiresAt)
			}
			return nil
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var act func() error
			setup := func() *enginetest.Engine {
				e := enginetest.New(t, authpipetest.Options{})
				e.Install()
				act = s.setUp(e)
				return e
			}
			enginetest.EachCrash(setup, func(*enginetest.Engine) error { return act() }, func(e *enginetest.Engine, f enginetest.Failure) {
				e.CheckInvariants(f.String())
				if err := s.again(e); err != nil {
					t.Errorf("%s: %v", f, err)
				}
			})
		})
	}
}

func TestPanicBecomesErrorAndLogLine(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v99.9"})
	for _, r := range []struct {
		op   logical.Operation
		path string
	}{
		{logical.UpdateOperation, "connections/" + enginetest.Uma + "/refresh"},
		{logical.DeleteOperation, "creds/" + enginetest.Uma},
	} {
		e.Log.Reset()
		if _, err := e.Do(r.op, r.path, nil); err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Errorf("%s %s answers %v", r.op, r.path, err)
		}
		if log := e.Log.String(); !strings.Contains(log, "[ERROR]") || !strings.Contains(log, "an unexpected answer") {
			t.Errorf("the log says %s", log)
		}
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil) // no lock was left behind

	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v99.9"})
	s := e.Begin(enginetest.Udo, nil)
	s.URL = strings.Replace(s.URL, "v99.9", "v27.0", 1)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code}); err == nil {
		t.Error("a completion that panics succeeds")
	}
	if got := e.Read(s.Path); got["status"] != "failed" || got["error"] != "interrupted" {
		t.Errorf("the session reads %v", got)
	}
}

func TestRecordOpensOnlyUnderItsKey(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "udo"})
	ctx := context.Background()
	move := func(from, to string) {
		t.Helper()
		entry, err := e.Storage.Storage.Get(ctx, from)
		if err != nil || entry == nil {
			t.Fatalf("%s: %v, %v", from, entry, err)
		}
		before, _ := e.Storage.Storage.Get(ctx, to)
		e.Plant(to, entry.Value)
		resp, err := e.Do(logical.ReadOperation, "creds/"+strings.TrimPrefix(to, "cred/"), nil)
		if err == nil {
			t.Errorf("%s opens as %s: %v", from, to, resp.Data["provider_user_id"])
		}
		e.Plant(to, before.Value)
	}
	move("cred/"+enginetest.Installation, "cred/"+enginetest.Uma)
	move("cred/"+enginetest.Installation, "cred/org_globex/facebook/installation")
	move("cred/org_globex/facebook/installation", "cred/"+enginetest.Installation)
	e.Read("creds/" + enginetest.Uma)
	e.Read("creds/" + enginetest.Installation)
}

func TestIdleSweepMakesOneStorageCall(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(time.Hour) // past the sessions
	e.MustSweep()
	e.Clock.Advance(time.Minute)
	e.Storage.Reset()
	e.MustSweep()
	if ops := e.Storage.Operations(); len(ops) != 1 {
		t.Errorf("an idle sweep makes %v", ops)
	}
}

func TestIdleSweepLogsNothing(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.After(time.Hour)
	e.Log.Reset()
	for range 120 {
		e.After(time.Minute)
		e.Read("creds/" + enginetest.Uma)
		e.Read("health")
	}
	if log := e.Log.String(); log != "" {
		t.Errorf("two quiet hours are logged as\n%s", log)
	}
}

func TestStorageErrorIsReturnedUnwrapped(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, verb := range []string{"get", "put"} {
		e.Restart() // knows nothing
		e.Storage.Fail(func(_ int, op storagetest.Operation) error {
			if op.Verb == verb {
				return logical.ErrReadOnly
			}
			return nil
		})
		if _, err := e.Do(logical.UpdateOperation, "connect/"+enginetest.Uma, nil); !errors.Is(err, logical.ErrReadOnly) || err != logical.ErrReadOnly {
			t.Errorf("where every %s fails: %v", verb, err)
		}
	}
}

// TestPanickingHandlerAnswers has what storage calls panic in the midst of a
// request, where every lock of it is held.
func TestPanickingHandlerAnswers(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, r := range []struct {
		op     logical.Operation
		path   string
		data   map[string]any
		prefix string
	}{
		{logical.UpdateOperation, "connect/" + enginetest.Udo, nil, "session/"},
		{logical.UpdateOperation, "creds/" + enginetest.StaticStripe, map[string]any{"credential": enginetest.APIKey, "credential_type": "api_key"}, "cred/"},
		{logical.UpdateOperation, "config/facebook", map[string]any{"enabled": true}, "config/"},
		{logical.UpdateOperation, enginetest.Acme, map[string]any{"suspended": true}, "tenant/"},
		{logical.UpdateOperation, enginetest.Acme + "/rotate", nil, "keyring/"},
		{logical.DeleteOperation, enginetest.Acme, nil, "tenant/"},
	} {
		for _, verb := range []string{"put", "get"} {
			e.Restart() // knows nothing
			e.Storage.Fail(func(_ int, op storagetest.Operation) error {
				if op.Verb == verb && strings.HasPrefix(op.Key, r.prefix) {
					panic("an unexpected answer of storage")
				}
				return nil
			})
			_, err := e.Do(r.op, r.path, r.data)
			reached := slices.ContainsFunc(e.Storage.Operations(), func(op storagetest.Operation) bool {
				return op.Verb == verb && strings.HasPrefix(op.Key, r.prefix)
			})
			if begun := err != nil && strings.HasPrefix(err.Error(), "pending: "); begun {
				continue // the rotation stands, and the worker gives it its key
			}
			if reached != (err != nil) || err != nil && !strings.Contains(err.Error(), "internal error") {
				t.Errorf("%s %s, where a %s panics, is answered %v", r.op, r.path, verb, err)
			}
			e.Storage.Reset()
		}
		if _, err := e.Do(r.op, r.path, r.data); err != nil && !strings.HasPrefix(err.Error(), "pending: ") {
			t.Errorf("%s %s, again: %v", r.op, r.path, err)
		}
		if r.path == enginetest.Acme && r.op == logical.UpdateOperation {
			e.Must(r.op, r.path, map[string]any{"suspended": false})
		}
	}
}
