package flow_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// beginMany begins n sessions of the installation for the actor, a second apart.
func beginMany(e *enginetest.Engine, actor string, n int) (sessions []enginetest.Session) {
	e.T.Helper()
	for range n {
		s, _ := e.BeginState(enginetest.Installation, map[string]any{"actor": actor})
		sessions = append(sessions, s)
		e.Clock.Advance(time.Second)
	}
	return sessions
}

func countOpen(e *enginetest.Engine, sessions []enginetest.Session) (n int) {
	e.T.Helper()
	for _, s := range sessions {
		if e.Read(s.Path)["status"] == "pending" {
			n++
		}
	}
	return n
}

func TestOldestOfTooManyOpenSessionsIsCancelled(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "1h", "require_installation": false})
	others := beginMany(e, "another admin", 2)
	user, _ := e.BeginState(enginetest.Uma, map[string]any{"actor": "admin"})
	sessions := beginMany(e, "admin", 100)
	if n := countOpen(e, sessions); n != 100 {
		t.Fatalf("%d of 100 are open", n)
	}
	e.Restart()
	more := beginMany(e, "admin", 2)
	for _, s := range sessions[:2] {
		failedFor(e, s, "cancelled")
	}
	if n := countOpen(e, append(sessions, more...)); n != 100 {
		t.Errorf("%d are open", n)
	}
	if n := countOpen(e, append(others, user)); n != 3 {
		t.Errorf("of those of another actor and of another ref %d are open", n)
	}
	e.Refused("session_used", 409, logical.UpdateOperation, sessions[0].Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	e.CheckInvariants("with too many sessions")
}

func TestSessionThatHasEndedIsNotCountedAsOpen(t *testing.T) {
	for name, end := range map[string]func(e *enginetest.Engine, s enginetest.Session){
		"cancelled": func(e *enginetest.Engine, s enginetest.Session) { e.Must(logical.DeleteOperation, s.Path, nil) },
		"failed": func(e *enginetest.Engine, s enginetest.Session) {
			e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		},
		"completed": func(e *enginetest.Engine, s enginetest.Session) {
			code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(e.T)
			e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "1h"})
			first := beginMany(e, "admin", 1)
			for range 110 {
				end(e, beginMany(e, "admin", 1)[0])
			}
			if n := countOpen(e, first); n != 1 {
				t.Error("the first session was cancelled")
			}
		})
	}
	t.Run("expired", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		beginMany(e, "admin", 60)
		e.Clock.Advance(10 * time.Minute)
		second := beginMany(e, "admin", 60)
		if n := countOpen(e, second); n != 60 {
			t.Errorf("%d of 60 are open", n)
		}
	})
}

func TestOpenSessionThatIsRedeemedIsNotCancelled(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	first := beginMany(e, "admin", 1)[0]
	code := e.Callback(e.Consent(first, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	beginMany(e, "admin", 99)
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken},
		func() {
			e.Must(logical.UpdateOperation, first.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		},
		func() { beginMany(e, "admin", 1) })
	e.CheckSession(first, "completed")
}

func TestConcurrentSessionsStayWithinLimit(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	sessions := beginMany(e, "admin", 95)
	var all sync.WaitGroup
	var mu sync.Mutex
	for range 20 {
		all.Go(func() {
			s, _ := e.BeginState(enginetest.Installation, map[string]any{"actor": "admin"})
			mu.Lock()
			defer mu.Unlock()
			sessions = append(sessions, s)
		})
	}
	all.Wait()
	if n := countOpen(e, sessions); n != 100 {
		t.Errorf("%d are open", n)
	}
}

func TestBeginCostsTheSameForAnyNumberOfOpenSessions(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install() // of a tenant without a record, the first session of a minute costs more
	cost := func() int {
		e.Storage.Reset()
		beginMany(e, "admin", 1)
		return len(e.Storage.Operations())
	}
	cost() // makes the tenant's keys
	alone := cost()
	for i := range 150 {
		beginMany(e, fmt.Sprint("admin ", i), 1)
	}
	if among := cost(); among != alone {
		t.Errorf("it costs %d storage operations, and %d among others", alone, among)
	}
}

func TestOpenSessionIndexIsEmptyAfterExpiry(t *testing.T) {
	for name, end := range map[string]func(e *enginetest.Engine){
		"by themselves":   func(*enginetest.Engine) {},
		"after a restart": func(e *enginetest.Engine) { e.Restart() },
		"of a tenant that is gone": func(e *enginetest.Engine) {
			e.Do(logical.DeleteOperation, "tenants/org_acme", map[string]any{"force": true})
		},
	} {
		e := enginetest.New(t, authpipetest.Options{})
		beginMany(e, "admin", 3)
		end(e)
		e.Clock.Advance(time.Hour)
		e.MustSweep()
		for _, prefix := range []string{"open/", "session/", "due/"} {
			keys, err := e.Storage.Keys(context.Background(), prefix)
			if err != nil || len(keys) > 0 {
				t.Errorf("%s: %v are left, %v", name, keys, err)
			}
		}
	}
}
