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
)

// TestTheProcessMayDieAtAnyStorageOperation stops the world before and after
// the effect of each storage operation of each path that writes, restarts, and
// holds the storage against the invariants; then what was interrupted is done
// again and must succeed.
func TestTheProcessMayDieAtAnyStorageOperation(t *testing.T) {
	type step struct {
		name  string
		setUp func(*engine) func() error
		again func(*engine) error
	}
	write := func(e *engine, op logical.Operation, path string, data map[string]any) func() error {
		return func() error { _, err := e.do(op, path, data); return err }
	}
	connectUma := func(e *engine) error {
		e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
		e.read("creds/" + uma)
		return nil
	}
	complete := func(e *engine) func() error {
		s := e.begin(uma, nil)
		code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(e.t)
		return write(e, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	}
	for _, s := range []step{
		{"begin the first session of a tenant", func(e *engine) func() error {
			return write(e, logical.UpdateOperation, "connect/org_new/facebook/installation", map[string]any{"actor": "boss"})
		}, connectUma},
		{"callback", func(e *engine) func() error {
			back := e.consent(e.begin(uma, nil), authpipetest.Consent{User: "uma"})
			return func() error { _, err := e.tryCallback(back); return err }
		}, connectUma},
		{"complete", complete, connectUma},
		{"present a code in another session", func(e *engine) func() error {
			back := e.consent(e.begin(uma, nil), authpipetest.Consent{User: "uma"})
			e.callback(back)
			own, state := e.beginState(udo, nil)
			return write(e, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "udo", "state": state, "code": back.Query().Get("code")})
		}, func(e *engine) error {
			if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 1 { // that of the installation
				return fmt.Errorf("codes were sent %d times", n)
			}
			return connectUma(e)
		}},
		{"complete again", func(e *engine) func() error { connectUma(e); return complete(e) }, connectUma},
		{"refresh", func(e *engine) func() error {
			connectUma(e)
			e.clock.Advance(20 * 24 * time.Hour)
			return write(e, logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
		}, func(e *engine) error { e.read("creds/" + uma); return nil }},
		{"check of a dead token", func(e *engine) func() error {
			connectUma(e)
			e.fb.RemoveApp(appID, "uma")
			return write(e, logical.UpdateOperation, "connections/"+uma+"/check", nil)
		}, connectUma},
		{"delete", func(e *engine) func() error {
			connectUma(e)
			return write(e, logical.DeleteOperation, "creds/"+uma, nil)
		}, connectUma},
		{"read a page", func(e *engine) func() error {
			return write(e, logical.ReadOperation, "creds/"+page777, nil)
		}, func(e *engine) error {
			e.read("creds/" + page777)
			e.read("creds/org_acme/facebook/pages/778")
			return nil
		}},
		{"delete an installation", func(e *engine) func() error {
			connectUma(e)
			e.read("creds/" + page777)
			return write(e, logical.DeleteOperation, "creds/"+installation, nil)
		}, func(e *engine) error {
			e.do(logical.DeleteOperation, "creds/"+installation, nil)
			e.clock.Advance(5 * time.Minute)
			e.sweep()
			e.install()
			return connectUma(e)
		}},
		{"sweep", func(e *engine) func() error {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
			connectUma(e)
			due, err := time.Parse(time.RFC3339, e.read("connections/" + uma)["next_due_at"].(string))
			if err != nil {
				e.t.Fatal(err)
			}
			e.clock.Set(due.Add(-2 * time.Minute))
			e.sweep() // pass the idle weeks
			e.clock.Set(due.Add(2 * time.Minute))
			return func() error { return e.Sweep(context.Background()) }
		}, func(e *engine) error {
			e.sweep()
			token, _ := e.fb.Inspect(e.read("creds/" + uma)["access_token"].(string))
			if token.ExpiresAt.Sub(e.clock.Now()) < 59*24*time.Hour {
				return fmt.Errorf("the token was not refreshed: it expires at %v", token.ExpiresAt)
			}
			return nil
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for c := range eachCrash() {
				e := newEngine(t, authpipetest.Options{})
				e.install()
				act := s.setUp(e)
				e.storage.DieAt(c.operation, c.afterEffect)
				act() // may fail or not: it must not lie, see below
				if c.misses(e) {
					continue
				}
				e.restart()
				e.checkInvariants(c.String())
				if err := s.again(e); err != nil {
					t.Errorf("%s: %v", c, err)
				}
			}
		})
	}
}

// checkInvariants holds storage against what must be true at any moment: every
// record is led to by the hints that it needs, and what is known of a code goes
// with the session that owns it.
func (e *engine) checkInvariants(when string) {
	e.t.Helper()
	ctx := context.Background()
	keys, err := e.storage.Keys(ctx, "")
	if err != nil {
		e.t.Fatal(err)
	}
	all := strings.Join(keys, "\n") + "\n"
	for _, key := range keys {
		if id, isSession := strings.CutPrefix(key, "session/"); isSession && !strings.Contains(all, ",session,"+id+"\n") {
			e.t.Errorf("%s: no entry of the due index leads to session %s", when, id)
		}
		if open, isOpen := strings.CutPrefix(key, "open/"); isOpen && !strings.Contains(all, ",session,"+open[strings.LastIndex(open, ",")+1:]+"\n") {
			e.t.Errorf("%s: nothing will delete %s", when, key)
		}
		if name, isCode := strings.CutPrefix(key, "code/"); isCode {
			entry, err := e.storage.Storage.Get(ctx, key)
			if err != nil || len(entry.Value) < 2 || !strings.Contains(all, "session-code/"+string(entry.Value[1:])+"/"+name+"\n") {
				e.t.Errorf("%s: nothing will delete %s: %v, %v", when, key, entry, err)
			}
		}
		if code, isOwned := strings.CutPrefix(key, "session-code/"); isOwned && !strings.Contains(all, "\nsession/"+strings.SplitN(code, "/", 2)[0]+"\n") {
			e.t.Errorf("%s: %s is of no session", when, key)
		}
		ref, isCredential := strings.CutPrefix(key, "cred/")
		if !isCredential {
			continue
		}
		flat := strings.ReplaceAll(ref, "/", ",")
		tenant := strings.SplitN(ref, "/", 2)[0]
		if !strings.Contains(all, "tenant/"+tenant+"\n") {
			e.t.Errorf("%s: %s belongs to a tenant that is not listed", when, ref)
		}
		// A page is found through what is above it, and at a static credential there
		// is nothing to be done.
		unindexed := strings.Contains(ref, "/pages/") || strings.Contains(ref, "/static/")
		if !unindexed && !strings.Contains(all, "/"+flat+"\n") {
			e.t.Errorf("%s: %s is in no index", when, ref)
		}
		c, err := e.do(logical.ReadOperation, "connections/"+ref, nil)
		if err != nil {
			e.t.Errorf("%s: %s cannot be read: %v", when, ref, err)
			continue
		}
		status := c.Data["status"].(string)
		if !unindexed && status == "active" && !strings.Contains(all, ",credential,"+flat+"\n") {
			e.t.Errorf("%s: nothing will refresh %s", when, ref)
		}
		if status != "active" && !strings.Contains(all, "status/"+status+"/"+flat+"\n") {
			e.t.Errorf("%s: %s is %s and not in the index", when, ref, status)
		}
		if removal, ok := c.Data["removal"]; ok && !strings.Contains(all, ",removal,"+tenant+",") {
			e.t.Errorf("%s: nothing will carry the removal of %s on: %v", when, ref, removal)
		}
	}
}

func TestAPanicIsAnErrorAndALogLine(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v99.9"})
	for _, r := range []struct {
		op   logical.Operation
		path string
	}{
		{logical.UpdateOperation, "connections/" + uma + "/refresh"},
		{logical.DeleteOperation, "creds/" + uma},
	} {
		e.log.Reset()
		if _, err := e.do(r.op, r.path, nil); err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Errorf("%s %s answers %v", r.op, r.path, err)
		}
		if log := e.log.String(); !strings.Contains(log, "[ERROR]") || !strings.Contains(log, "nobody thought of") {
			t.Errorf("the log says %s", log)
		}
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
	e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) // no lock was left behind

	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v99.9"})
	s := e.begin(udo, nil)
	s.url = strings.Replace(s.url, "v99.9", "v27.0", 1)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	if _, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code}); err == nil {
		t.Error("a completion that panics succeeds")
	}
	if got := e.read(s.path); got["status"] != "failed" || got["error"] != "interrupted" {
		t.Errorf("the session reads %v", got)
	}
}

func TestARecordOpensOnlyWhereItLies(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "udo"})
	ctx := context.Background()
	move := func(from, to string) {
		t.Helper()
		entry, err := e.storage.Storage.Get(ctx, from)
		if err != nil || entry == nil {
			t.Fatalf("%s: %v, %v", from, entry, err)
		}
		before, _ := e.storage.Storage.Get(ctx, to)
		e.plant(to, entry.Value)
		resp, err := e.do(logical.ReadOperation, "creds/"+strings.TrimPrefix(to, "cred/"), nil)
		if err == nil {
			t.Errorf("%s opens as %s: %v", from, to, resp.Data["provider_user_id"])
		}
		e.plant(to, before.Value)
	}
	move("cred/"+installation, "cred/"+uma)
	move("cred/"+installation, "cred/org_globex/facebook/installation")
	move("cred/org_globex/facebook/installation", "cred/"+installation)
	e.read("creds/" + uma)
	e.read("creds/" + installation)
}

func TestAnIdleSweepCostsOneStorageCall(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(time.Hour) // past the sessions
	e.sweep()
	e.clock.Advance(time.Minute)
	e.storage.Reset()
	e.sweep()
	if ops := e.storage.Operations(); len(ops) != 1 {
		t.Errorf("an idle sweep makes %v", ops)
	}
}

func TestNothingIsLoggedWhileNothingHappens(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.after(time.Hour)
	e.log.Reset()
	for range 120 {
		e.after(time.Minute)
		e.read("creds/" + uma)
		e.read("health")
	}
	if log := e.log.String(); log != "" {
		t.Errorf("two quiet hours are logged as\n%s", log)
	}
}

func TestAStorageErrorIsReturnedAsItIs(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for _, verb := range []string{"get", "put"} {
		e.restart() // knows nothing
		e.storage.Fail(func(_ int, op storagetest.Operation) error {
			if op.Verb == verb {
				return logical.ErrReadOnly
			}
			return nil
		})
		if _, err := e.do(logical.UpdateOperation, "connect/"+uma, nil); !errors.Is(err, logical.ErrReadOnly) || err != logical.ErrReadOnly {
			t.Errorf("where every %s fails: %v", verb, err)
		}
	}
}

// TestAHandlerThatPanicsAnswers has what storage calls panic in the midst of a
// request, where every lock of it is held.
func TestAHandlerThatPanicsAnswers(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for _, r := range []struct {
		op     logical.Operation
		path   string
		data   map[string]any
		prefix string
	}{
		{logical.UpdateOperation, "connect/" + udo, nil, "session/"},
		{logical.UpdateOperation, "creds/" + stripe, map[string]any{"credential": apiKey, "credential_type": "api_key"}, "cred/"},
		{logical.UpdateOperation, "config/facebook", map[string]any{"enabled": true}, "config/"},
		{logical.UpdateOperation, acme, map[string]any{"suspended": true}, "tenant/"},
		{logical.UpdateOperation, acme + "/rotate", nil, "keyring/"},
		{logical.DeleteOperation, acme, nil, "tenant/"},
	} {
		for _, verb := range []string{"put", "get"} {
			e.restart() // knows nothing
			e.storage.Fail(func(_ int, op storagetest.Operation) error {
				if op.Verb == verb && strings.HasPrefix(op.Key, r.prefix) {
					panic("storage that nobody thought of")
				}
				return nil
			})
			_, err := e.do(r.op, r.path, r.data)
			reached := slices.ContainsFunc(e.storage.Operations(), func(op storagetest.Operation) bool {
				return op.Verb == verb && strings.HasPrefix(op.Key, r.prefix)
			})
			if begun := err != nil && strings.HasPrefix(err.Error(), "pending: "); begun {
				continue // the rotation stands, and the worker gives it its key
			}
			if reached != (err != nil) || err != nil && !strings.Contains(err.Error(), "internal error") {
				t.Errorf("%s %s, where a %s panics, is answered %v", r.op, r.path, verb, err)
			}
			e.storage.Reset()
		}
		if _, err := e.do(r.op, r.path, r.data); err != nil && !strings.HasPrefix(err.Error(), "pending: ") {
			t.Errorf("%s %s, again: %v", r.op, r.path, err)
		}
		if r.path == acme && r.op == logical.UpdateOperation {
			e.must(r.op, r.path, map[string]any{"suspended": false})
		}
	}
}
