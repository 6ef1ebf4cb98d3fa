package flow_test

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
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestSessionShowsItsProgress(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	status := func(want string) {
		t.Helper()
		if got := e.Read(s.Path)["status"]; got != want {
			t.Errorf("status is %v, want %s", got, want)
		}
	}
	status("pending")
	e.Refused("pending", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	status("authorized")
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": strings.ToLower(strings.ReplaceAll(code, "-", " "))})
	status("completed")
	e.Refused("not_found", 404, logical.ReadOperation, strings.Replace(s.Path, "org_acme", "org_globex", 1), nil)
	e.Refused("not_found", 404, logical.UpdateOperation, strings.Replace(s.Path, "org_acme", "org_globex", 1)+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}

func TestOnlyTheActorCompletes(t *testing.T) {
	e, s, back, code := enginetest.Authorized(t)
	e.Refused("invalid_request", 400, logical.UpdateOperation, s.Path+"/complete", map[string]any{"connect_code": code})
	e.Refused("invalid_request", 400, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
	e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
	if got := e.Read(s.Path); got["status"] != "failed" || got["error"] != "actor_mismatch" {
		t.Errorf("the session reads %v", got)
	}
	e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	e.Callback(back)
	if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 0 {
		t.Errorf("the code was sent to the provider %d times", n)
	}

	e, s, _, code = enginetest.Authorized(t)
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
	e.Read("creds/" + enginetest.Installation)
}

func TestLateActorDoesNotFailSession(t *testing.T) {
	t.Run("that is being completed", func(t *testing.T) {
		e, s, _, code := enginetest.Authorized(t)
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken},
			func() {
				e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
			},
			func() {
				e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
				e.CheckSession(s, "redeeming")
				e.Refused("pending", 409, logical.DeleteOperation, s.Path, nil)
			})
		e.CheckSession(s, "completed")
	})
	t.Run("that has failed", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
		e.Callback(e.Consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
		before := e.Read(s.Path)
		e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		if diff := cmp.Diff(before, e.Read(s.Path)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFiveWrongConnectCodesFailSession(t *testing.T) {
	e, s, _, code := enginetest.Authorized(t)
	for range 4 {
		e.Refused("invalid_request", 400, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	}
	e.Restart() // the count survives
	e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}

func TestCompletionMayBeRepeated(t *testing.T) {
	e, s, back, code := enginetest.Authorized(t)
	proof := map[string]any{"actor": "admin", "connect_code": code}
	first := e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
	again := e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	e.Refused("session_used", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
	if p := e.Callback(back); p.Status != 200 || p.ConnectCode(t) != code {
		t.Errorf("the callback again shows %d\n%s", p.Status, p.HTML)
	}
	if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 1 {
		t.Errorf("the code was sent to the provider %d times", n)
	}
}

func TestCallbackRevealsNothingToStrangers(t *testing.T) {
	e, s, back, _ := enginetest.Authorized(t)
	fresh := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	with := func(u *url.URL, name, value string) *url.URL {
		q := u.Query()
		q.Set(name, value)
		return &url.URL{RawQuery: q.Encode()}
	}
	known := e.Consent(fresh, authpipetest.Consent{User: "ada"})
	strangers := map[string]*url.URL{
		"another code for a state that was used": with(back, "code", "AQother"),
		"a denial for a state that was used":     {RawQuery: "error=access_denied&state=" + back.Query().Get("state")},
		"no state":                               with(known, "state", ""),
		"an unknown state":                       with(known, "state", strings.Repeat("A", 43)),
		"a session's id for its state":           with(known, "state", s.ID),
		"a state that is too long":               with(known, "state", strings.Repeat("A", 100_000)),
		"a code that is too long":                with(known, "code", strings.Repeat("A", 5_000)),
		"a code and an error":                    with(known, "error", "access_denied"),
		"a state alone":                          with(known, "code", ""),
		"an error that is too long":              {RawQuery: "error=" + strings.Repeat("A", 2_000) + "&state=" + known.Query().Get("state")},
	}
	var first enginetest.Page
	for name, u := range strangers {
		e.Storage.Reset()
		p := e.Callback(u)
		writes := e.Storage.Writes()
		if name == "another code for a state that was used" {
			// It may be a good one, of a person that approved twice: no other session takes it.
			writes = slices.DeleteFunc(writes, func(op storagetest.Operation) bool {
				return strings.HasPrefix(op.Key, "code/") || strings.HasPrefix(op.Key, "session-code/")
			})
		}
		if len(writes) > 0 {
			t.Errorf("%s writes %v", name, writes)
		}
		if first.HTML == "" {
			first = p
		}
		if p != first || p.Status != 400 || strings.Contains(p.HTML, "refresh") {
			t.Errorf("%s is shown %d\n%s", name, p.Status, p.HTML)
		}
	}
	if got := e.Read(fresh.Path)["status"]; got != "pending" {
		t.Errorf("the session that strangers came for is %v", got)
	}
	if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 0 {
		t.Errorf("the provider was called %d times", n)
	}
}

func TestSessionExpires(t *testing.T) {
	t.Run("before the person comes back", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
		back := e.Consent(s, authpipetest.Consent{User: "ada"})
		e.Clock.Advance(10 * time.Minute)
		if got := e.Read(s.Path)["status"]; got != "expired" {
			t.Errorf("status is %v", got)
		}
		e.Refused("session_expired", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
		p := e.Callback(back)
		if p.Status != 400 || p.Returned(t).Query().Get("error") != "session_expired" {
			t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
		}
		if again := e.Callback(back); again != p {
			t.Errorf("the browser sees it again as %d\n%s", again.Status, again.HTML)
		}
	})
	t.Run("at its own time, if the person came back shortly before", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
		e.Clock.Advance(9 * time.Minute)
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
		e.Clock.Advance(time.Minute)
		e.Refused("session_expired", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	})
	t.Run("eight minutes after the person came back", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "1h"})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
		e.Clock.Advance(8 * time.Minute)
		e.Refused("session_expired", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		if got := e.Read(s.Path)["status"]; got != "expired" {
			t.Errorf("status is %v", got)
		}
	})
}

func TestCallbackDoesNotReviveEndedSession(t *testing.T) {
	for name, end := range map[string]func(e *enginetest.Engine, s enginetest.Session){
		"cancelled": func(e *enginetest.Engine, s enginetest.Session) { e.Must(logical.DeleteOperation, s.Path, nil) },
		"completed by somebody else": func(e *enginetest.Engine, s enginetest.Session) {
			e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
			back := e.Consent(s, authpipetest.Consent{User: "ada"})
			end(e, s)
			before := e.Read(s.Path)
			if p := e.Callback(back); p.Status != 400 || strings.Contains(p.HTML, "<code>") {
				t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
			}
			if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": enginetest.StateOf(t, s), "code": back.Query().Get("code")}); err == nil {
				t.Error("it is completed")
			}
			if diff := cmp.Diff(before, e.Read(s.Path)); diff != "" {
				t.Error(diff)
			}
			if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 0 {
				t.Errorf("the code was sent %d times", n)
			}
		})
	}
}

func TestUnfinishedSessionIsCancelled(t *testing.T) {
	e, s, back, code := enginetest.Authorized(t)
	e.Must(logical.DeleteOperation, s.Path, nil)
	if got := e.Read(s.Path); got["status"] != "failed" || got["error"] != "cancelled" {
		t.Errorf("the session reads %v", got)
	}
	e.Refused("session_used", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	e.Callback(back)
	e.Must(logical.DeleteOperation, s.Path, nil)
}

func TestSessionsAreDeletedAfterExpiry(t *testing.T) {
	e, s, _, code := enginetest.Authorized(t)
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	e.MustSweep()
	e.Read(s.Path)
	e.Clock.Advance(26 * time.Minute)
	e.MustSweep()
	e.Refused("not_found", 404, logical.ReadOperation, s.Path, nil)
	for _, prefix := range []string{"session/", "due/"} {
		keys, _ := e.Storage.Keys(context.Background(), prefix)
		for _, key := range keys {
			if strings.Contains(key, s.ID) {
				t.Errorf("%s is left", key)
			}
		}
	}
}

// TestConcurrentCompletionsExchangeOnce holds the first exchange at the provider until the second has
// come: only one may send the code, and both get the same answer.
func TestConcurrentCompletionsExchangeOnce(t *testing.T) {
	race := func(t *testing.T, e *enginetest.Engine, step func() any) {
		release := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Hang: true})
		defer release()
		var results [2]any
		var both sync.WaitGroup
		both.Go(func() { results[0] = step() })
		e.Facebook.AwaitCalls(authpipetest.EndpointAccessToken, 1)
		looked := make(chan struct{})
		look := sync.OnceFunc(func() { close(looked) })
		e.Storage.Fail(func(int, storagetest.Operation) error { look(); return nil })
		both.Go(func() { results[1] = step() })
		select {
		case <-looked: // the second one, at the session
		case <-time.After(enginetest.Patience):
			t.Errorf("the second request has not read storage within %v", enginetest.Patience)
		}
		release()
		both.Wait()
		e.Storage.Reset()
		if diff := cmp.Diff(results[0], results[1], cmp.AllowUnexported(enginetest.Page{})); diff != "" {
			t.Error("the two are answered differently: " + diff)
		}
		if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 1 {
			t.Errorf("the code was sent to the provider %d times", n)
		}
		e.Read("creds/" + enginetest.Installation)
	}
	t.Run("two callbacks", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
		back := e.Consent(e.Begin(enginetest.Installation, nil), authpipetest.Consent{User: "ada"})
		race(t, e, func() any {
			p, err := e.TryCallback(back)
			if err != nil || p.Status != 200 {
				t.Errorf("the callback answers %v, %v", p, err)
			}
			return p
		})
	})
	t.Run("two completions", func(t *testing.T) {
		e, s, _, code := enginetest.Authorized(t)
		race(t, e, func() any {
			resp, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
			if err != nil {
				t.Errorf("the completion answers %v", err)
				return nil
			}
			return resp.Data
		})
	})
}

func TestCompletionRetriesUnreachableProvider(t *testing.T) {
	down := &authpipetest.GraphError{Message: "Service temporarily unavailable", Code: 2}
	for name, endpoint := range map[string]string{
		"when the code is exchanged":  authpipetest.EndpointAccessToken,
		"when the token is extended":  authpipetest.EndpointExchangeToken,
		"when the token is inspected": authpipetest.EndpointDebugToken,
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife})
			s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
			code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
			proof := map[string]any{"actor": "admin", "connect_code": code}
			repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: endpoint, Status: 500, Error: down})
			e.Refused("unavailable", 502, logical.UpdateOperation, s.Path+"/complete", proof)
			if got := e.Read(s.Path)["status"]; got != "authorized" {
				t.Errorf("the session is %v", got)
			}
			e.Restart()
			repair()
			e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
			e.Read("creds/" + enginetest.Installation)
		})
	}
	t.Run("a callback that redeems is repeated", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
		s := e.Begin(enginetest.Installation, nil)
		back := e.Consent(s, authpipetest.Consent{User: "ada"})
		repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Reset: true})
		if p := e.Callback(back); p.Status != 400 || e.Read(s.Path)["status"] != "authorized" {
			t.Errorf("the browser sees %d, the session reads %v", p.Status, e.Read(s.Path))
		}
		repair()
		if p := e.Callback(back); p.Status != 200 {
			t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
		}
	})
	t.Run("a callback that redeems is repeated too late", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
		back := e.Consent(e.Begin(enginetest.Installation, nil), authpipetest.Consent{User: "ada"})
		repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Reset: true})
		e.Callback(back)
		e.Clock.Advance(10 * time.Minute)
		repair()
		if p := e.Callback(back); p.Status != 400 {
			t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
		}
		if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 1 {
			t.Errorf("the code was sent %d times", n)
		}
	})
	t.Run("a callback that redeems was interrupted", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
		back := e.Consent(e.Begin(enginetest.Installation, nil), authpipetest.Consent{User: "ada"})
		e.Storage.Fail(func(_ int, op storagetest.Operation) error {
			if op.Verb == "put" && strings.HasPrefix(op.Key, "session/") && e.Facebook.Count(authpipetest.EndpointAccessToken) > 0 || strings.HasPrefix(op.Key, "cred/") {
				return storagetest.ErrStorage
			}
			return nil
		})
		if p, err := e.TryCallback(back); err == nil && p.Status == 200 {
			t.Error("the browser sees a success")
		}
		e.Restart()
		if p := e.Callback(back); p.Status != 400 {
			t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
		}
	})
}

func TestRefusedExchangeFailsSession(t *testing.T) {
	t.Run("the client", func(t *testing.T) {
		e, s, _, code := enginetest.Authorized(t)
		e.Facebook.SetAppSecret(enginetest.AppID, "another")
		proof := map[string]any{"actor": "admin", "connect_code": code}
		text := e.Refused("misconfigured", 424, logical.UpdateOperation, s.Path+"/complete", proof)
		if strings.Contains(text, enginetest.AppSecret) {
			t.Errorf("the error shows the secret: %s", text)
		}
		e.Facebook.SetAppSecret(enginetest.AppID, enginetest.AppSecret)
		e.Refused("misconfigured", 424, logical.UpdateOperation, s.Path+"/complete", proof)
	})
	t.Run("a code that was spent elsewhere", func(t *testing.T) {
		e, s, _, code := enginetest.Authorized(t)
		e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Error: &authpipetest.GraphError{Message: "This authorization code has been used.", Code: 100, Subcode: 36009}})
		e.Refused("session_used", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		if got := e.Read(s.Path); got["status"] != "failed" {
			t.Errorf("the session reads %v", got)
		}
	})
}

func TestInterruptedRedemptionFailsSession(t *testing.T) {
	e, s, _, code := enginetest.Authorized(t)
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
		e.Storage.Fail(puts(1))
		if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", proof); err == nil {
			t.Fatal("the completion succeeds on a storage that fails")
		}
		e.Restart()
		if got := e.Read(s.Path); got["status"] != "failed" || got["error"] != "interrupted" {
			t.Errorf("the session reads %v", got)
		}
		e.Refused("session_used", 409, logical.UpdateOperation, s.Path+"/complete", proof)
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
	})
	t.Run("after the credential was stored", func(t *testing.T) {
		e, s, _, code := enginetest.Authorized(t)
		e.Storage.Fail(puts(2))
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		e.Restart()
		if got := e.Read(s.Path); got["status"] != "completed" {
			t.Errorf("the session reads %v", got)
		}
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	})
}

func TestConcurrentCompletionsRedeemOnce(t *testing.T) {
	e, s, _, code := enginetest.Authorized(t)
	proof := map[string]any{"actor": "admin", "connect_code": code}
	e.InvalidateKey(t.Context(), "config/facebook")
	reached, release := e.Storage.Hold("get", "config/facebook")
	var completing sync.WaitGroup
	for range 2 {
		completing.Go(func() { e.Must(logical.UpdateOperation, s.Path+"/complete", proof) })
	}
	<-reached
	e.Storage.AwaitQuiet()
	release()
	completing.Wait()
	if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 1 {
		t.Errorf("the code was sent %d times", n)
	}
	if got := e.Read("connections/" + enginetest.Installation)["generation"]; got != uint64(1) {
		t.Errorf("generation is %v", got)
	}
}
