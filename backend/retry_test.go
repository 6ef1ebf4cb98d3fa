package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// A write is one that storage may get in the way of.
type write struct {
	// act prepares it and returns the request, which may be made again.
	act func(*engine) func() error
	// done checks that it was carried out.
	done func(e *engine, when string)
}

func requested(op logical.Operation, path string, data map[string]any) func(*engine) func() error {
	return func(e *engine) func() error {
		return func() error { _, err := e.do(op, path, data); return err }
	}
}

func writes() map[string]write {
	gone := func(path string) func(*engine, string) {
		return func(e *engine, when string) {
			if _, err := e.do(logical.ReadOperation, path, nil); err == nil {
				e.t.Errorf("%s: %s is still there", when, path)
			}
		}
	}
	reads := func(path, field string, want any) func(*engine, string) {
		return func(e *engine, when string) {
			if got := e.read(path)[field]; fmt.Sprint(got) != fmt.Sprint(want) {
				e.t.Errorf("%s: %s of %s is %v, want %v", when, field, path, got, want)
			}
		}
	}
	sweeping := func(before func(*engine)) func(e *engine) func() error {
		return func(e *engine) func() error {
			before(e)
			e.clock.Advance(2 * time.Minute)
			return func() error {
				err := e.Sweep(context.Background())
				if err != nil {
					e.clock.Advance(2 * time.Minute)
				}
				return err
			}
		}
	}
	return map[string]write{
		"sweep: a removal": {sweeping(func(e *engine) {
			e.read("creds/" + page777)
			e.must(logical.DeleteOperation, "creds/"+installation, nil)
		}), func(e *engine, when string) {
			for range 3 {
				e.after(2 * time.Minute)
			}
			if left := e.keys("cred/"); len(left) > 0 {
				e.t.Errorf("%s: left %v", when, left)
			}
			e.install()
		}},
		"sweep: a tenant's deletion": {sweeping(func(e *engine) {
			e.deposit(stripe, "api_key", apiKey)
			e.must(logical.DeleteOperation, acme, nil)
		}), func(e *engine, when string) {
			for range 4 {
				e.after(2 * time.Minute)
			}
			gone(acme)(e, when)
			for _, prefix := range []string{"cred/", "keyring/tenant/", "tenant/", "status/"} {
				if left := e.keys(prefix); len(left) > 0 {
					e.t.Errorf("%s: left %v", when, left)
				}
			}
			e.install()
		}},
		"sweep: a rotation": {sweeping(func(e *engine) { e.must(logical.UpdateOperation, acme+"/rotate", nil) }), func(e *engine, when string) {
			e.rotated(when)
			e.read("creds/" + uma)
			reads(acme, "key_version", 2)(e, when)
		}},
		"sweep: a rotation's end": {sweeping(func(e *engine) {
			e.must(logical.UpdateOperation, acme+"/rotate", nil)
			e.after(2 * time.Minute)
			for range 5 {
				e.after(17 * time.Minute)
			}
			e.clock.Advance(18 * time.Minute)
		}), func(e *engine, when string) {
			e.rotated(when)
			e.read("creds/" + uma)
			if e.keyring("org_acme").Keys() != 1 {
				e.t.Errorf("%s: %d keys", when, e.keyring("org_acme").Keys())
			}
		}},
		"sweep: a reindex": {sweeping(func(e *engine) { e.loseIndex("org_acme"); e.must(logical.UpdateOperation, acme+"/reindex", nil) }), func(e *engine, when string) {
			for range 3 {
				e.after(2 * time.Minute)
			}
			e.checkInvariants(when)
		}},
		"sweep: a data deletion": {sweeping(func(e *engine) {
			e.fb.RemoveApp(appID, "uma")
			e.hears(dataDeletion, signed(appSecret, e.request("uma", e.clock.Now())))
		}), func(e *engine, when string) {
			for range 4 {
				e.after(10 * time.Minute)
			}
			gone("connections/"+uma)(e, when)
		}},
		"sweep: a deauthorization that is not so": {sweeping(func(e *engine) {
			e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
		}), func(e *engine, when string) {
			for range 4 {
				e.after(10 * time.Minute)
			}
			e.is("active", uma)
		}},
		"sweep: a session is reaped": {sweeping(func(e *engine) { e.begin(udo, nil); e.clock.Advance(40 * time.Minute) }), func(e *engine, when string) {
			for range 3 {
				e.after(10 * time.Minute)
			}
			if left := e.keys("session/"); len(left) > 0 {
				e.t.Errorf("%s: left %v", when, left)
			}
		}},
		"sweep: checks in a batch": {sweeping(func(e *engine) { e.untilDue(uma); e.fb.RemoveApp(appID, "uma") }), func(e *engine, when string) {
			for range 3 {
				e.after(10 * time.Minute)
			}
			e.is("revoked", uma)
			e.is("active", installation)
			e.checkInvariants(when)
		}},
		"sweep: refreshes": {sweeping(func(e *engine) {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
			e.after(2 * time.Minute)
			e.untilDue(uma)
		}), func(e *engine, when string) {
			for range 3 {
				e.after(10 * time.Minute)
			}
			if token, _ := e.fb.Inspect(e.served(uma)); token.ExpiresAt.Sub(e.clock.Now()) < 59*24*time.Hour {
				e.t.Errorf("%s: the token expires at %v", when, token.ExpiresAt)
			}
			e.checkInvariants(when)
		}},
		"checks are turned on": {func(e *engine) func() error {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
			e.after(2 * time.Minute)
			e.after(24 * time.Hour)
			return requested(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "2h"})(e)
		}, func(e *engine, when string) {
			calls := e.fb.Count(authpipetest.EndpointBatch) + e.fb.Count(authpipetest.EndpointDebugToken)
			e.after(2 * time.Minute)
			e.after(2*time.Hour + 10*time.Minute)
			e.after(10 * time.Minute)
			if e.fb.Count(authpipetest.EndpointBatch)+e.fb.Count(authpipetest.EndpointDebugToken) == calls {
				e.t.Errorf("%s: nothing is checked", when)
			}
		}},
		"a configuration is deleted": {func(e *engine) func() error {
			return func() error {
				_, err := e.do(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
				return passed(err, "not_found")
			}
		}, gone("config/facebook")},
		"a secret is replaced": {func(e *engine) func() error {
			return requested(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})(e)
		}, func(e *engine, when string) {
			e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
			e.fb.SetAppSecret(appID, newSecret)
			e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
		}},
		"a tenant is suspended":       {requested(logical.UpdateOperation, acme, map[string]any{"suspended": true}), reads(acme, "suspended", true)},
		"a static credential is kept": {requested(logical.UpdateOperation, "creds/"+stripe, map[string]any{"credential": apiKey, "credential_type": "api_key"}), reads("creds/"+stripe, "credential", apiKey)},
		"a static credential is the tenant's first": {requested(logical.UpdateOperation, "creds/org_new/stripe/static/key", map[string]any{"credential": apiKey, "credential_type": "api_key"}),
			reads("creds/org_new/stripe/static/key", "credential", apiKey)},
		"a static credential is forgotten": {func(e *engine) func() error {
			e.deposit(stripe, "api_key", apiKey)
			return func() error {
				_, err := e.do(logical.DeleteOperation, "creds/"+stripe, nil)
				return passed(err, "not_found")
			}
		}, gone("creds/" + stripe)},
		"a token is imported": {func(e *engine) func() error {
			token := e.obtained("udo")
			return requested(logical.UpdateOperation, "creds/"+udo, map[string]any{"access_token": token})(e)
		}, func(e *engine, _ string) { e.read("creds/" + udo) }},
		"a session is begun": {requested(logical.UpdateOperation, "connect/org_new/facebook/installation", map[string]any{"actor": "boss"}), func(e *engine, _ string) {
			e.connect("org_new/facebook/installation", "boss", authpipetest.Consent{User: "udo"})
		}},
		"a session is cancelled": {func(e *engine) func() error {
			s := e.begin(udo, nil)
			return func() error {
				_, err := e.do(logical.DeleteOperation, s.path, nil)
				return err
			}
		}, func(*engine, string) {}},
		"a session is completed": {func(e *engine) func() error {
			s := e.begin(udo, nil)
			code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(e.t)
			return requested(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})(e)
		}, func(e *engine, _ string) { e.read("creds/" + udo) }},
		"a browser comes back": {func(e *engine) func() error {
			s := e.begin(udo, nil)
			back := e.consent(s, authpipetest.Consent{User: "udo"})
			return func() error {
				p, err := e.tryCallback(back)
				if err != nil {
					return err
				}
				_, err = e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": p.code(e.t)})
				return err
			}
		}, func(e *engine, _ string) { e.read("creds/" + udo) }},
		"a session completes by its callback": {func(e *engine) func() error {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
			back := e.consent(e.begin(udo, nil), authpipetest.Consent{User: "udo"})
			return func() error {
				p, err := e.tryCallback(back)
				if err == nil && p.status != 200 {
					return errors.New("session_used: " + p.html)
				}
				return err
			}
		}, func(e *engine, _ string) { e.read("creds/" + udo) }},
		"a token is refreshed": {func(e *engine) func() error {
			e.after(20 * 24 * time.Hour)
			return requested(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)(e)
		}, func(e *engine, when string) {
			if token, _ := e.fb.Inspect(e.served(uma)); token.ExpiresAt.Sub(e.clock.Now()) < 59*24*time.Hour {
				e.t.Errorf("%s: the token expires at %v", when, token.ExpiresAt)
			}
		}},
		"a page is read": {requested(logical.ReadOperation, "creds/"+page777, nil), func(e *engine, _ string) { e.read("creds/" + page777) }},
		"a credential is deleted": {func(e *engine) func() error {
			token := e.served(uma)
			return func() error {
				_, err := e.do(logical.DeleteOperation, "creds/"+uma, nil)
				if err == nil && e.valid(token) {
					e.t.Error("its grant lives")
				}
				return passed(err, "not_found")
			}
		}, gone("creds/" + uma)},
		"an installation is deleted": {func(e *engine) func() error {
			e.read("creds/" + page777)
			return func() error {
				_, err := e.do(logical.DeleteOperation, "creds/"+installation, nil)
				return passed(err, "not_found")
			}
		}, func(e *engine, when string) {
			for range 3 {
				e.after(2 * time.Minute)
			}
			gone("connections/"+uma)(e, when)
			gone("connections/"+installation)(e, when)
			if left := e.keys("cred/"); len(left) > 0 {
				e.t.Errorf("%s: left %v", when, left)
			}
			e.install()
		}},
		"a tenant is deleted": {func(e *engine) func() error {
			return func() error {
				_, err := e.do(logical.DeleteOperation, acme, nil)
				return err
			}
		}, func(e *engine, when string) {
			for range 4 {
				e.after(2 * time.Minute)
			}
			gone(acme)(e, when)
			for _, prefix := range []string{"cred/", "keyring/tenant/", "tenant/", "status/"} {
				if left := e.keys(prefix); len(left) > 0 {
					e.t.Errorf("%s: left %v", when, left)
				}
			}
			e.install()
		}},
		"a tenant is deleted by force": {requested(logical.DeleteOperation, acme, map[string]any{"force": true}), func(e *engine, when string) {
			for range 4 {
				e.after(2 * time.Minute)
			}
			gone(acme)(e, when)
			e.install()
		}},
		"a tenant's key is rotated": {func(e *engine) func() error {
			return func() error {
				_, err := e.do(logical.UpdateOperation, acme+"/rotate", nil)
				return passed(err, "pending")
			}
		}, func(e *engine, when string) { e.rotated(when); reads(acme, "key_version", 2)(e, when) }},
		"a reindex": {requested(logical.UpdateOperation, acme+"/reindex", nil), func(e *engine, when string) {
			e.after(2 * time.Minute)
			if got := e.read(acme)["reindex"].(map[string]any); got["finished_at"] == nil {
				e.t.Errorf("%s: %v", when, got)
			}
		}},
		"a deauthorization": {func(e *engine) func() error {
			e.fb.RemoveApp(appID, "uma")
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			return func() error { return e.tried(deauthorize, word) }
		}, func(e *engine, when string) {
			gone("creds/"+uma)(e, when)
			e.after(2 * time.Minute)
			e.is("revoked", uma)
		}},
		"a data deletion": {func(e *engine) func() error {
			e.fb.RemoveApp(appID, "uma")
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			return func() error { return e.tried(dataDeletion, word) }
		}, func(e *engine, when string) {
			gone("creds/"+uma)(e, when)
			e.after(2 * time.Minute)
			e.after(10 * time.Minute)
			gone("connections/"+uma)(e, when)
		}},
	}
}

// untilDue passes the idle time until something is due at ref.
func (e *engine) untilDue(ref string) {
	e.t.Helper()
	due, err := time.Parse(time.RFC3339, e.read("connections/" + ref)["next_due_at"].(string))
	if err != nil {
		e.t.Fatal(err)
	}
	e.clock.Set(due.Add(-2 * time.Minute))
	e.sweep()
	e.clock.Set(due)
}

// passed returns nil for an error that says that the request was carried out
// before.
func passed(err error, code string) error {
	if err != nil && strings.HasPrefix(err.Error(), code+": ") {
		return nil
	}
	return err
}

// A failure of storage, and whether the process outlives it.
var storageFailures = []struct {
	name        string
	afterEffect bool
	dies        bool
}{
	{"fails", false, false}, {"is not answered", true, false}, {"is not made, for the process dies", false, true}, {"is the last of the process", true, true},
}

// TestEachStorageOperationMayFail has one operation of each path that writes
// fail, in turn, before and after its effect, and the process live on or not. A
// success is one; after a failure the request, made again, is.
func TestEachStorageOperationMayFail(t *testing.T) {
	for name, w := range writes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, failure := range storageFailures {
				for c := range crashesFrom(i, failure.afterEffect) {
					e := both(t, authpipetest.Options{})
					act := w.act(e)
					if failure.dies {
						e.storage.DieAt(c.operation, c.afterEffect)
					} else {
						e.storage.FailAt(c.operation, c.afterEffect)
					}
					err := act()
					if c.misses(e) {
						continue
					}
					when := fmt.Sprintf("operation %d (%v) %s, answered %v", c.operation, e.storage.Operations()[c.operation-1], failure.name, err)
					if e.storage.Reset(); failure.dies {
						e.restart()
					}
					if err != nil {
						err = act()
					}
					if passed(err, "session_used") != nil {
						t.Errorf("%s; again: %v", when, err)
					}
					if err == nil { // a code may be lost with the process that redeemed it: the person begins again
						w.done(e, when)
					}
				}
			}
		})
	}
}

// TestASessionWhoseTakingWasNotAnsweredIsNotLost: the write that takes a session for redemption takes effect, and only its
// answer is lost. The process lives, and has sent nothing: the code is good.
func TestASessionWhoseTakingWasNotAnsweredIsNotLost(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := e.begin(udo, nil)
	proof := map[string]any{"actor": "udo", "connect_code": e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)}
	e.storage.FailAt(3, true)
	if _, err := e.do(logical.UpdateOperation, s.path+"/complete", proof); err == nil || e.storage.Operations()[2].Verb != "put" {
		t.Fatalf("answered %v after %v", err, e.storage.Operations())
	}
	e.storage.Reset()
	if _, err := e.do(logical.UpdateOperation, s.path+"/complete", proof); err != nil {
		t.Errorf("again: %v", err)
	}
}
