package backend_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// authorized returns an engine with a session whose code is parked, and its
// connect code.
func authorized(t *testing.T) (e *engine, s session, back *url.URL, code string) {
	t.Helper()
	e = newEngine(t, authpipetest.Options{})
	s = e.begin(installation, map[string]any{"actor": "admin"})
	back = e.consent(s, authpipetest.Consent{User: "ada"})
	return e, s, back, e.callback(back).code(t)
}

func TestASessionTellsHowFarItHasCome(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	s := e.begin(installation, map[string]any{"actor": "admin"})
	status := func(want string) {
		t.Helper()
		if got := e.read(s.path)["status"]; got != want {
			t.Errorf("status is %v, want %s", got, want)
		}
	}
	status("pending")
	e.refused("pending", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
	status("authorized")
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": strings.ToLower(strings.ReplaceAll(code, "-", " "))})
	status("completed")
	e.refused("not_found", 404, logical.ReadOperation, strings.Replace(s.path, "org_acme", "org_globex", 1), nil)
	e.refused("not_found", 404, logical.UpdateOperation, strings.Replace(s.path, "org_acme", "org_globex", 1)+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}

func TestOnlyTheActorCompletes(t *testing.T) {
	e, s, back, code := authorized(t)
	e.refused("invalid_request", 400, logical.UpdateOperation, s.path+"/complete", map[string]any{"connect_code": code})
	e.refused("invalid_request", 400, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
	e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
	if got := e.read(s.path); got["status"] != "failed" || got["error"] != "actor_mismatch" {
		t.Errorf("the session reads %v", got)
	}
	e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	e.callback(back)
	if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 0 {
		t.Errorf("the code was sent to the provider %d times", n)
	}

	e, s, _, code = authorized(t)
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
	e.read("creds/" + installation)
}

func TestAnotherActorComesTooLateToSpoilASession(t *testing.T) {
	t.Run("that is being completed", func(t *testing.T) {
		e, s, _, code := authorized(t)
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken},
			func() {
				e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
			},
			func() {
				e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
				e.unharmed(s, "redeeming")
				e.refused("pending", 409, logical.DeleteOperation, s.path, nil)
			})
		e.unharmed(s, "completed")
	})
	t.Run("that has failed", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s := e.begin(installation, map[string]any{"actor": "admin"})
		e.callback(e.consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
		before := e.read(s.path)
		e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		if diff := cmp.Diff(before, e.read(s.path)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFiveWrongConnectCodesFailTheSession(t *testing.T) {
	e, s, _, code := authorized(t)
	for range 4 {
		e.refused("invalid_request", 400, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	}
	e.restart() // the count survives
	e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}

func TestACompletionMayBeRepeated(t *testing.T) {
	e, s, back, code := authorized(t)
	proof := map[string]any{"actor": "admin", "connect_code": code}
	first := e.must(logical.UpdateOperation, s.path+"/complete", proof)
	again := e.must(logical.UpdateOperation, s.path+"/complete", proof)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	e.refused("session_used", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	if p := e.callback(back); p.status != 200 || p.code(t) != code {
		t.Errorf("the callback again shows %d\n%s", p.status, p.html)
	}
	if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 1 {
		t.Errorf("the code was sent to the provider %d times", n)
	}
}

func TestStrangersAtTheCallbackAreToldNothing(t *testing.T) {
	e, s, back, _ := authorized(t)
	fresh := e.begin(installation, map[string]any{"actor": "admin"})
	with := func(u *url.URL, name, value string) *url.URL {
		q := u.Query()
		q.Set(name, value)
		return &url.URL{RawQuery: q.Encode()}
	}
	known := e.consent(fresh, authpipetest.Consent{User: "ada"})
	strangers := map[string]*url.URL{
		"another code for a state that was used": with(back, "code", "AQother"),
		"a denial for a state that was used":     {RawQuery: "error=access_denied&state=" + back.Query().Get("state")},
		"no state":                               with(known, "state", ""),
		"an unknown state":                       with(known, "state", strings.Repeat("A", 43)),
		"a session's id for its state":           with(known, "state", s.id),
		"a state that is too long":               with(known, "state", strings.Repeat("A", 100_000)),
		"a code that is too long":                with(known, "code", strings.Repeat("A", 5_000)),
		"a code and an error":                    with(known, "error", "access_denied"),
		"a state alone":                          with(known, "code", ""),
		"an error that is too long":              {RawQuery: "error=" + strings.Repeat("A", 2_000) + "&state=" + known.Query().Get("state")},
	}
	var first page
	for name, u := range strangers {
		e.storage.Reset()
		p := e.callback(u)
		writes := e.storage.Writes()
		if name == "another code for a state that was used" {
			// It may be a good one, of a person who approved twice: no other session takes it.
			writes = slices.DeleteFunc(writes, func(op storagetest.Operation) bool {
				return strings.HasPrefix(op.Key, "code/") || strings.HasPrefix(op.Key, "session-code/")
			})
		}
		if len(writes) > 0 {
			t.Errorf("%s writes %v", name, writes)
		}
		if first.html == "" {
			first = p
		}
		if p != first || p.status != 400 || strings.Contains(p.html, "refresh") {
			t.Errorf("%s is shown %d\n%s", name, p.status, p.html)
		}
	}
	if got := e.read(fresh.path)["status"]; got != "pending" {
		t.Errorf("the session that strangers came for is %v", got)
	}
	if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 0 {
		t.Errorf("the provider was called %d times", n)
	}
}

func TestASessionExpires(t *testing.T) {
	t.Run("before the person comes back", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s := e.begin(installation, map[string]any{"actor": "admin", "return_url": returnURL})
		back := e.consent(s, authpipetest.Consent{User: "ada"})
		e.clock.Advance(10 * time.Minute)
		if got := e.read(s.path)["status"]; got != "expired" {
			t.Errorf("status is %v", got)
		}
		e.refused("session_expired", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
		p := e.callback(back)
		if p.status != 400 || p.returned(t).Query().Get("error") != "session_expired" {
			t.Errorf("the browser sees %d\n%s", p.status, p.html)
		}
		if again := e.callback(back); again != p {
			t.Errorf("the browser sees it again as %d\n%s", again.status, again.html)
		}
	})
	t.Run("at its own time, if the person came back shortly before", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s := e.begin(installation, map[string]any{"actor": "admin"})
		e.clock.Advance(9 * time.Minute)
		code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
		e.clock.Advance(time.Minute)
		e.refused("session_expired", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	})
	t.Run("eight minutes after the person came back", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "1h"})
		s := e.begin(installation, map[string]any{"actor": "admin"})
		code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
		e.clock.Advance(8 * time.Minute)
		e.refused("session_expired", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		if got := e.read(s.path)["status"]; got != "expired" {
			t.Errorf("status is %v", got)
		}
	})
}

func TestABrowserDoesNotReviveASessionThatHasEnded(t *testing.T) {
	for name, end := range map[string]func(e *engine, s session){
		"cancelled": func(e *engine, s session) { e.must(logical.DeleteOperation, s.path, nil) },
		"completed by somebody else": func(e *engine, s session) {
			e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			s := e.begin(installation, map[string]any{"actor": "admin"})
			back := e.consent(s, authpipetest.Consent{User: "ada"})
			end(e, s)
			before := e.read(s.path)
			if p := e.callback(back); p.status != 400 || strings.Contains(p.html, "<code>") {
				t.Errorf("the browser sees %d\n%s", p.status, p.html)
			}
			if _, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": stateOf(t, s), "code": back.Query().Get("code")}); err == nil {
				t.Error("it is completed")
			}
			if diff := cmp.Diff(before, e.read(s.path)); diff != "" {
				t.Error(diff)
			}
			if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 0 {
				t.Errorf("the code was sent %d times", n)
			}
		})
	}
}

func TestAnUnfinishedSessionIsCancelled(t *testing.T) {
	e, s, back, code := authorized(t)
	e.must(logical.DeleteOperation, s.path, nil)
	if got := e.read(s.path); got["status"] != "failed" || got["error"] != "cancelled" {
		t.Errorf("the session reads %v", got)
	}
	e.refused("session_used", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	e.callback(back)
	e.must(logical.DeleteOperation, s.path, nil)
}

func TestSessionsAreReaped(t *testing.T) {
	e, s, _, code := authorized(t)
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	e.sweep()
	e.read(s.path)
	e.clock.Advance(26 * time.Minute)
	e.sweep()
	e.refused("not_found", 404, logical.ReadOperation, s.path, nil)
	for _, prefix := range []string{"session/", "due/"} {
		keys, _ := e.storage.Keys(context.Background(), prefix)
		for _, key := range keys {
			if strings.Contains(key, s.id) {
				t.Errorf("%s is left", key)
			}
		}
	}
}

// TestTwoAtOnce holds the first exchange at the provider until the second has
// come: only one may send the code, and both are told the same.
func TestTwoAtOnce(t *testing.T) {
	race := func(t *testing.T, e *engine, step func() any) {
		release := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Hang: true})
		defer release()
		var results [2]any
		var both sync.WaitGroup
		both.Go(func() { results[0] = step() })
		e.awaitCalls(authpipetest.EndpointAccessToken, 1)
		looked := make(chan struct{})
		look := sync.OnceFunc(func() { close(looked) })
		e.storage.Fail(func(int, storagetest.Operation) error { look(); return nil })
		both.Go(func() { results[1] = step() })
		select {
		case <-looked: // the second one, at the session
		case <-time.After(patience):
			t.Errorf("the second request has not read storage within %v", patience)
		}
		release()
		both.Wait()
		e.storage.Reset()
		if diff := cmp.Diff(results[0], results[1], cmp.AllowUnexported(page{})); diff != "" {
			t.Error("the two are answered differently: " + diff)
		}
		if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 1 {
			t.Errorf("the code was sent to the provider %d times", n)
		}
		e.read("creds/" + installation)
	}
	t.Run("two callbacks", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
		back := e.consent(e.begin(installation, nil), authpipetest.Consent{User: "ada"})
		race(t, e, func() any {
			p, err := e.tryCallback(back)
			if err != nil || p.status != 200 {
				t.Errorf("the callback answers %v, %v", p, err)
			}
			return p
		})
	})
	t.Run("two completions", func(t *testing.T) {
		e, s, _, code := authorized(t)
		race(t, e, func() any {
			resp, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
			if err != nil {
				t.Errorf("the completion answers %v", err)
				return nil
			}
			return resp.Data
		})
	})
}

func TestTheProviderCannotBeReached(t *testing.T) {
	down := &authpipetest.GraphError{Message: "Service temporarily unavailable", Code: 2}
	for name, endpoint := range map[string]string{
		"when the code is exchanged":  authpipetest.EndpointAccessToken,
		"when the token is extended":  authpipetest.EndpointExchangeToken,
		"when the token is inspected": authpipetest.EndpointDebugToken,
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife})
			s := e.begin(installation, map[string]any{"actor": "admin"})
			code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
			proof := map[string]any{"actor": "admin", "connect_code": code}
			repair := e.fb.Fail(authpipetest.Fault{Endpoint: endpoint, Status: 500, Error: down})
			e.refused("unavailable", 502, logical.UpdateOperation, s.path+"/complete", proof)
			if got := e.read(s.path)["status"]; got != "authorized" {
				t.Errorf("the session is %v", got)
			}
			e.restart()
			repair()
			e.must(logical.UpdateOperation, s.path+"/complete", proof)
			e.read("creds/" + installation)
		})
	}
	t.Run("a callback that redeems is repeated", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
		s := e.begin(installation, nil)
		back := e.consent(s, authpipetest.Consent{User: "ada"})
		repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Reset: true})
		if p := e.callback(back); p.status != 400 || e.read(s.path)["status"] != "authorized" {
			t.Errorf("the browser sees %d, the session reads %v", p.status, e.read(s.path))
		}
		repair()
		if p := e.callback(back); p.status != 200 {
			t.Errorf("the browser sees %d\n%s", p.status, p.html)
		}
	})
	t.Run("a callback that redeems is repeated too late", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
		back := e.consent(e.begin(installation, nil), authpipetest.Consent{User: "ada"})
		repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Reset: true})
		e.callback(back)
		e.clock.Advance(10 * time.Minute)
		repair()
		if p := e.callback(back); p.status != 400 {
			t.Errorf("the browser sees %d\n%s", p.status, p.html)
		}
		if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 1 {
			t.Errorf("the code was sent %d times", n)
		}
	})
	t.Run("a callback that redeems was interrupted", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
		back := e.consent(e.begin(installation, nil), authpipetest.Consent{User: "ada"})
		e.storage.Fail(func(_ int, op storagetest.Operation) error {
			if op.Verb == "put" && strings.HasPrefix(op.Key, "session/") && e.fb.Count(authpipetest.EndpointAccessToken) > 0 || strings.HasPrefix(op.Key, "cred/") {
				return storagetest.ErrStorage
			}
			return nil
		})
		if p, err := e.tryCallback(back); err == nil && p.status == 200 {
			t.Error("the browser is told of success")
		}
		e.restart()
		if p := e.callback(back); p.status != 400 {
			t.Errorf("the browser sees %d\n%s", p.status, p.html)
		}
	})
}

func TestTheProviderRefuses(t *testing.T) {
	t.Run("the client", func(t *testing.T) {
		e, s, _, code := authorized(t)
		e.fb.SetAppSecret(appID, "another")
		proof := map[string]any{"actor": "admin", "connect_code": code}
		text := e.refused("misconfigured", 424, logical.UpdateOperation, s.path+"/complete", proof)
		if strings.Contains(text, appSecret) {
			t.Errorf("the error shows the secret: %s", text)
		}
		e.fb.SetAppSecret(appID, appSecret)
		e.refused("misconfigured", 424, logical.UpdateOperation, s.path+"/complete", proof)
	})
	t.Run("a code that was spent elsewhere", func(t *testing.T) {
		e, s, _, code := authorized(t)
		e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Error: &authpipetest.GraphError{Message: "This authorization code has been used.", Code: 100, Subcode: 36009}})
		e.refused("session_used", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		if got := e.read(s.path); got["status"] != "failed" {
			t.Errorf("the session reads %v", got)
		}
	})
}

func TestAnInterruptedRedemption(t *testing.T) {
	e, s, _, code := authorized(t)
	proof := map[string]any{"actor": "admin", "connect_code": code}
	// Puts of a completion: the session as redeeming, then the credential with
	// what belongs to it, then the session as completed.
	puts := func(n int) func(int, storagetest.Operation) error {
		seen := 0
		return func(_ int, op storagetest.Operation) error {
			if op.Verb == "put" && (strings.HasPrefix(op.Key, "session/") || strings.HasPrefix(op.Key, "cred/")) {
				seen++
			}
			if seen > n {
				return storagetest.ErrStorage
			}
			return nil
		}
	}
	t.Run("before the credential was stored", func(t *testing.T) {
		e.storage.Fail(puts(1))
		if _, err := e.do(logical.UpdateOperation, s.path+"/complete", proof); err == nil {
			t.Fatal("the completion succeeds on a storage that fails")
		}
		e.restart()
		if got := e.read(s.path); got["status"] != "failed" || got["error"] != "interrupted" {
			t.Errorf("the session reads %v", got)
		}
		e.refused("session_used", 409, logical.UpdateOperation, s.path+"/complete", proof)
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+installation, nil)
	})
	t.Run("after the credential was stored", func(t *testing.T) {
		e, s, _, code := authorized(t)
		e.storage.Fail(puts(2))
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		e.restart()
		if got := e.read(s.path); got["status"] != "completed" {
			t.Errorf("the session reads %v", got)
		}
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	})
}

func (e *engine) sweep() {
	e.t.Helper()
	if err := e.Sweep(context.Background()); err != nil {
		e.t.Fatalf("sweeping: %v", err)
	}
}
