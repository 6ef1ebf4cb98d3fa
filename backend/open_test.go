package backend_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// beginMany begins n sessions of the installation for the actor, a second apart.
func (e *engine) beginMany(actor string, n int) (sessions []session) {
	e.t.Helper()
	for range n {
		s, _ := e.beginState(installation, map[string]any{"actor": actor})
		sessions = append(sessions, s)
		e.clock.Advance(time.Second)
	}
	return sessions
}

func (e *engine) countOpen(sessions []session) (n int) {
	e.t.Helper()
	for _, s := range sessions {
		if e.read(s.path)["status"] == "pending" {
			n++
		}
	}
	return n
}

func TestOldestOfTooManyOpenSessionsIsCancelled(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "1h", "require_installation": false})
	others := e.beginMany("another admin", 2)
	user, _ := e.beginState(uma, map[string]any{"actor": "admin"})
	sessions := e.beginMany("admin", 100)
	if n := e.countOpen(sessions); n != 100 {
		t.Fatalf("%d of 100 are open", n)
	}
	e.restart()
	more := e.beginMany("admin", 2)
	for _, s := range sessions[:2] {
		e.failedFor(s, "cancelled")
	}
	if n := e.countOpen(append(sessions, more...)); n != 100 {
		t.Errorf("%d are open", n)
	}
	if n := e.countOpen(append(others, user)); n != 3 {
		t.Errorf("of those of another actor and of another ref %d are open", n)
	}
	e.refused("session_used", 409, logical.UpdateOperation, sessions[0].path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	e.checkInvariants("with too many sessions")
}

func TestSessionThatHasEndedIsNotCountedAsOpen(t *testing.T) {
	for name, end := range map[string]func(e *engine, s session){
		"cancelled": func(e *engine, s session) { e.must(logical.DeleteOperation, s.path, nil) },
		"failed": func(e *engine, s session) {
			e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		},
		"completed": func(e *engine, s session) {
			code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(e.t)
			e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "1h"})
			first := e.beginMany("admin", 1)
			for range 110 {
				end(e, e.beginMany("admin", 1)[0])
			}
			if n := e.countOpen(first); n != 1 {
				t.Error("the first session was cancelled")
			}
		})
	}
	t.Run("expired", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		e.beginMany("admin", 60)
		e.clock.Advance(10 * time.Minute)
		second := e.beginMany("admin", 60)
		if n := e.countOpen(second); n != 60 {
			t.Errorf("%d of 60 are open", n)
		}
	})
}

func TestOpenSessionThatIsRedeemedIsNotCancelled(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	first := e.beginMany("admin", 1)[0]
	code := e.callback(e.consent(first, authpipetest.Consent{User: "ada"})).code(t)
	e.beginMany("admin", 99)
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken},
		func() {
			e.must(logical.UpdateOperation, first.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		},
		func() { e.beginMany("admin", 1) })
	e.unharmed(first, "completed")
}

func TestSessionsBegunAtOnceAreNotTooMany(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	sessions := e.beginMany("admin", 95)
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 20 {
		all.Go(func() {
			s, _ := e.beginState(installation, map[string]any{"actor": "admin"})
			mu.Lock()
			defer mu.Unlock()
			sessions = append(sessions, s)
		})
	}
	all.Wait()
	if n := e.countOpen(sessions); n != 100 {
		t.Errorf("%d are open", n)
	}
}

func TestBeginningASessionCostsTheSameHoweverManyOthersAreOpen(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install() // of a tenant without a record, the first session of a minute costs more
	cost := func() int {
		e.storage.Reset()
		e.beginMany("admin", 1)
		return len(e.storage.Operations())
	}
	cost() // makes the tenant's keys
	alone := cost()
	for i := range 150 {
		e.beginMany(fmt.Sprint("admin ", i), 1)
	}
	if among := cost(); among != alone {
		t.Errorf("it costs %d storage operations, and %d among others", alone, among)
	}
}

func TestIndexOfOpenSessionsIsEmptyOnceTheyAreReaped(t *testing.T) {
	for name, end := range map[string]func(e *engine){
		"by themselves":            func(*engine) {},
		"after a restart":          func(e *engine) { e.restart() },
		"of a tenant that is gone": func(e *engine) { e.do(logical.DeleteOperation, "tenants/org_acme", map[string]any{"force": true}) },
	} {
		e := newEngine(t, authpipetest.Options{})
		e.beginMany("admin", 3)
		end(e)
		e.clock.Advance(time.Hour)
		e.sweep()
		for _, prefix := range []string{"open/", "session/", "due/"} {
			keys, err := e.storage.Keys(context.Background(), prefix)
			if err != nil || len(keys) > 0 {
				t.Errorf("%s: %v are left, %v", name, keys, err)
			}
		}
	}
}
