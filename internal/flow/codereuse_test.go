package flow_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

const eve = "org_evil/facebook/users/eve"

// parked returns an engine that configures openid for users, with a session of
// uma's whose code is parked, and the code.
func parked(t *testing.T, config map[string]any) (e *enginetest.Engine, victim enginetest.Session, back *url.URL, connectCode string) {
	t.Helper()
	e = openid(t, authpipetest.Options{})
	if config != nil {
		e.Must(logical.UpdateOperation, "config/facebook", config)
	}
	victim = e.Begin(enginetest.Uma, nil)
	back = e.Consent(victim, authpipetest.Consent{User: "uma"})
	return e, victim, back, e.Callback(back).ConnectCode(t)
}

// failedFor checks why a session failed.
func failedFor(e *enginetest.Engine, s enginetest.Session, code string) {
	e.T.Helper()
	if got := e.Read(s.Path); got["status"] != "failed" || got["error"] != code {
		e.T.Errorf("the session reads %v, want failed with %s", got, code)
	}
}

func exchanges(e *enginetest.Engine, want int) {
	e.T.Helper()
	if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != want {
		e.T.Errorf("codes were sent to the provider %d times, want %d", n, want)
	}
}

// codeRecords are the storage keys that say which session owns a code.
func codeRecords(e *enginetest.Engine) (keys []string) {
	e.T.Helper()
	for _, prefix := range []string{"code/", "session-code/"} {
		found, err := e.Storage.Keys(context.Background(), prefix)
		if err != nil {
			e.T.Fatal(err)
		}
		keys = append(keys, found...)
	}
	return keys
}

// TestParkedCodeIsRefusedInAnySessionOfAThief: a thief reads the
// code of a victim from a log and chooses everything about their own session.
func TestParkedCodeIsRefusedInAnySessionOfAThief(t *testing.T) {
	for name, thief := range map[string]struct {
		ref    string
		config map[string]any
		begin  map[string]any
	}{
		"with the victim's scopes":             {eve, nil, nil},
		"without openid":                       {eve, nil, map[string]any{"scopes": "pages_show_list"}},
		"with another redirect URI":            {eve, nil, map[string]any{"redirect_uri": enginetest.RelayURI}},
		"by the SDK's grant":                   {eve, nil, map[string]any{"grant": "sdk"}},
		"by the SDK's grant, with scopes":      {eve, nil, map[string]any{"grant": "sdk", "scopes": "pages_show_list"}},
		"that completes by its callback":       {eve, map[string]any{"completion": "callback"}, map[string]any{"scopes": "pages_show_list"}},
		"for an installation, without openid":  {"org_evil/facebook/installation", nil, nil},
		"for an installation, by its callback": {"org_evil/facebook/installation", map[string]any{"completion": "callback"}, nil},
		"of the victim's own tenant":           {enginetest.Udo, nil, map[string]any{"scopes": "pages_show_list"}},
		"of the victim's own ref":              {enginetest.Uma, nil, map[string]any{"scopes": "pages_show_list"}},
	} {
		for _, way := range []string{"relayed", "by the callback"} {
			t.Run(name+", "+way, func(t *testing.T) {
				e, victim, back, connectCode := parked(t, nil)
				if thief.config != nil {
					e.Must(logical.UpdateOperation, "config/facebook", thief.config)
				}
				after := e.CheckEvents(0)
				begin := map[string]any{"actor": "thief"}
				for name, value := range thief.begin {
					begin[name] = value
				}
				own, state := e.BeginState(thief.ref, begin)
				stolen := back.Query().Get("code")
				if way == "relayed" {
					e.Refused("session_used", 409, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "thief", "state": state, "code": stolen})
				} else if p := e.Callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {stolen}}.Encode()}); p.Status != 400 || strings.Contains(p.HTML, "<code>") {
					t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
				}
				exchanges(e, 0)
				failedFor(e, own, "session_used")
				failedFor(e, victim, "session_used")
				e.CheckEvents(after, "session.code_reused "+thief.ref, "session.code_reused "+enginetest.Uma)
				for _, ref := range []string{thief.ref, enginetest.Uma} {
					e.Refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
				}
				e.Refused("session_used", 409, logical.UpdateOperation, victim.Path+"/complete", map[string]any{"actor": "uma", "connect_code": connectCode})
				// The same again gets the same, and is no second event.
				e.Refused("session_used", 409, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "thief", "state": state, "code": stolen})
				e.Callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {stolen}}.Encode()})
				e.CheckEvents(after, "session.code_reused "+thief.ref, "session.code_reused "+enginetest.Uma)
				exchanges(e, 0)
				e.CheckInvariants("after the theft")
				e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}, "completion", "confirm") // and others still connect
			})
		}
	}
}

func TestScopesAlwaysIncludeOpenID(t *testing.T) {
	e := openid(t, authpipetest.Options{})
	for _, scopes := range []string{"pages_show_list", "email,public_profile", "openid,email"} {
		s := e.Begin(enginetest.Uma, map[string]any{"scopes": scopes})
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if q := u.Query(); q.Get("nonce") == "" || q.Get("code_challenge") == "" || !slices.Contains(strings.Split(q.Get("scope"), ","), "openid") {
			t.Errorf("scopes=%s leads to %s", scopes, s.URL)
		}
		if got := e.Read(s.Path)["scopes"].([]string); !slices.Contains(got, "openid") {
			t.Errorf("scopes=%s: the session reads %v", scopes, got)
		}
	}
	// Where the configuration has none, none is added.
	if s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "scopes": "email"}); strings.Contains(s.URL, "openid") || strings.Contains(s.URL, "nonce") {
		t.Errorf("an installation is begun with %s", s.URL)
	}
	// A code that the engine has not seen before is bound by PKCE and the nonce, then.
	victim := e.Begin(enginetest.Uma, nil)
	stolen := e.Consent(victim, authpipetest.Consent{User: "uma"}).Query().Get("code")
	own, state := e.BeginState(eve, map[string]any{"scopes": "pages_show_list"})
	if _, err := e.Do(logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "eve", "state": state, "code": stolen}); err == nil {
		t.Error("the code is taken")
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/"+eve, nil)
}

func TestCodeReuseDoesNotRevokeCompletedSession(t *testing.T) {
	e, victim, back, connectCode := parked(t, nil)
	proof := map[string]any{"actor": "uma", "connect_code": connectCode}
	e.Must(logical.UpdateOperation, victim.Path+"/complete", proof)
	after := e.CheckEvents(0, "connection.created "+enginetest.Uma)
	own, state := e.BeginState(eve, map[string]any{"scopes": "pages_show_list"})
	stolen := map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")}
	for range 2 {
		e.Refused("session_used", 409, logical.UpdateOperation, own.Path+"/complete", stolen)
	}
	failedFor(e, own, "session_used")
	e.CheckSession(victim, "completed")
	e.Must(logical.UpdateOperation, victim.Path+"/complete", proof)
	e.Read("creds/" + enginetest.Uma)
	if p := e.Callback(back); p.ConnectCode(t) != connectCode {
		t.Errorf("the callback again shows\n%s", p.HTML)
	}
	exchanges(e, 1)
	after = e.CheckEvents(after, "session.code_reused "+eve, "session.code_reused "+enginetest.Uma)

	// The other way round: a session that is completed is brought the code of one
	// that waits.
	waiting := e.Begin(enginetest.Udo, nil)
	code := e.Consent(waiting, authpipetest.Consent{User: "udo"})
	e.Callback(code)
	e.Refused("session_used", 409, logical.UpdateOperation, victim.Path+"/complete", map[string]any{"actor": "uma", "state": back.Query().Get("state"), "code": code.Query().Get("code")})
	e.CheckSession(victim, "completed")
	failedFor(e, waiting, "session_used")
	e.CheckEvents(after, "session.code_reused "+enginetest.Uma, "session.code_reused "+enginetest.Udo)
	exchanges(e, 1)
}

// TestCodePresentedFirstElsewhereFailsItsSession shows how a theft is reported
// that the engine cannot stop: the code was taken before it came to the engine.
func TestCodePresentedFirstElsewhereFailsItsSession(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"require_installation": false})
	after := e.CheckEvents(0, "connection.created "+enginetest.Installation)
	victim := e.Begin(enginetest.Uma, map[string]any{"return_url": enginetest.ReturnURL})
	back := e.Consent(victim, authpipetest.Consent{User: "uma"})
	own, state := e.BeginState(eve, nil)
	e.Must(logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
	p := e.Callback(back)
	if to := p.Returned(t); p.Status != 400 || to.Query().Get("error") != "session_used" {
		t.Errorf("the victim's browser sees %d and goes to %s", p.Status, to)
	}
	if again := e.Callback(back); again != p {
		t.Errorf("the same callback again shows %d\n%s", again.Status, again.HTML)
	}
	failedFor(e, victim, "session_used")
	e.CheckEvents(after, "connection.created "+eve, "session.code_reused "+enginetest.Uma, "session.code_reused "+eve)
}

func TestCodeReusedWhileItIsRedeemed(t *testing.T) {
	t.Run("is refused, and the session completes", func(t *testing.T) {
		e, victim, back, connectCode := parked(t, nil)
		own, state := e.BeginState(eve, nil)
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken},
			func() {
				e.Must(logical.UpdateOperation, victim.Path+"/complete", map[string]any{"actor": "uma", "connect_code": connectCode})
			},
			func() {
				e.Refused("session_used", 409, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
			})
		e.CheckSession(victim, "completed")
		failedFor(e, own, "session_used")
		exchanges(e, 1)
	})
	t.Run("is not tried again where the provider does not answer", func(t *testing.T) {
		e, victim, back, connectCode := parked(t, nil)
		proof := map[string]any{"actor": "uma", "connect_code": connectCode}
		own, state := e.BeginState(eve, nil)
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Status: 500, Error: &authpipetest.GraphError{Code: 2}},
			func() { e.Do(logical.UpdateOperation, victim.Path+"/complete", proof) },
			func() {
				e.Refused("session_used", 409, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
				if got := e.Read(victim.Path)["status"]; got != "redeeming" {
					t.Errorf("the session is %v", got)
				}
			})
		if got := e.Read(victim.Path)["status"]; got == "authorized" {
			t.Errorf("the session is %v", got)
		}
	})
}

func TestCodeOfASessionThatHasEndedIsRefusedElsewhere(t *testing.T) {
	for name, end := range map[string]func(e *enginetest.Engine, victim enginetest.Session, back *url.URL){
		"cancelled, then the code came": func(e *enginetest.Engine, victim enginetest.Session, back *url.URL) {
			e.Must(logical.DeleteOperation, victim.Path, nil)
			e.Callback(back)
		},
		"the code came, then cancelled": func(e *enginetest.Engine, victim enginetest.Session, back *url.URL) {
			e.Callback(back)
			e.Must(logical.DeleteOperation, victim.Path, nil)
		},
		"expired, then the code came": func(e *enginetest.Engine, victim enginetest.Session, back *url.URL) {
			e.Clock.Advance(11 * time.Minute)
			e.Callback(back)
		},
		"the code came, then expired": func(e *enginetest.Engine, victim enginetest.Session, back *url.URL) {
			e.Callback(back)
			e.Clock.Advance(9 * time.Minute)
		},
		"relayed by another actor": func(e *enginetest.Engine, victim enginetest.Session, back *url.URL) {
			e.Refused("actor_mismatch", 409, logical.UpdateOperation, victim.Path+"/complete", map[string]any{"actor": "alice", "state": back.Query().Get("state"), "code": back.Query().Get("code")})
		},
		"a second code, of a person who approved twice": func(e *enginetest.Engine, victim enginetest.Session, back *url.URL) {
			e.Callback(e.Consent(victim, authpipetest.Consent{User: "uma"}))
			e.Callback(back)
		},
		"after a restart": func(e *enginetest.Engine, victim enginetest.Session, back *url.URL) {
			e.Callback(back)
			e.Restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := openid(t, authpipetest.Options{CodeLife: time.Hour})
			victim := e.Begin(enginetest.Uma, nil)
			back := e.Consent(victim, authpipetest.Consent{User: "uma"})
			end(e, victim, back)
			own, state := e.BeginState("org_evil/facebook/installation", map[string]any{"actor": "eve"})
			e.Refused("session_used", 409, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
			exchanges(e, 0)
			e.CheckInvariants(name)
		})
	}
}

func TestTwoSessionsWithOneCodeAtOnceExchangeItOnce(t *testing.T) {
	for i := range 20 {
		e := enginetest.New(t, authpipetest.Options{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"require_installation": false})
		refs := []string{enginetest.Uma, enginetest.Udo, eve, "org_globex/facebook/users/uma"}
		code := e.Consent(e.Begin(enginetest.Uma, nil), authpipetest.Consent{User: "uma"}).Query().Get("code")
		var sessions []enginetest.Session
		var states []string
		for _, ref := range refs {
			s, state := e.BeginState(ref, map[string]any{"actor": "a"})
			sessions, states = append(sessions, s), append(states, state)
		}
		var at, all sync.WaitGroup
		errs := make([]error, len(sessions))
		at.Add(1)
		for j, s := range sessions {
			all.Go(func() {
				at.Wait()
				_, errs[j] = e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "a", "state": states[j], "code": code})
			})
		}
		at.Done()
		all.Wait()
		won := 0
		for j, err := range errs {
			if err == nil {
				won++
			} else {
				enginetest.CheckCode(t, err, "session_used", 409)
			}
			if status := e.Read(sessions[j].Path)["status"]; (status == "completed") != (err == nil) {
				t.Errorf("run %d: the session is %v, its caller got %v", i, status, err)
			}
		}
		if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 1 || won != 1 {
			t.Errorf("run %d: the code was sent %d times, and %d sessions completed", i, n, won)
		}
		e.CheckInvariants(fmt.Sprintf("run %d", i))
	}
}

func TestCodeRecordsAreDeletedWithTheirSession(t *testing.T) {
	for name, end := range map[string]func(e *enginetest.Engine, victim enginetest.Session, connectCode string){
		"completed": func(e *enginetest.Engine, victim enginetest.Session, connectCode string) {
			e.Must(logical.UpdateOperation, victim.Path+"/complete", map[string]any{"actor": "uma", "connect_code": connectCode})
		},
		"never completed": func(*enginetest.Engine, enginetest.Session, string) {},
		"whose tenant was deleted": func(e *enginetest.Engine, victim enginetest.Session, connectCode string) {
			e.Must(logical.UpdateOperation, victim.Path+"/complete", map[string]any{"actor": "uma", "connect_code": connectCode})
			e.Must(logical.DeleteOperation, "tenants/org_acme", map[string]any{"force": true})
		},
	} {
		t.Run("of a session "+name, func(t *testing.T) {
			e, victim, back, connectCode := parked(t, nil)
			q := back.Query()
			for range 20 { // a stranger that has the state
				q.Set("code", fmt.Sprintf("AQ%d", len(codeRecords(e))))
				e.Callback(&url.URL{RawQuery: q.Encode()})
			}
			if n := len(codeRecords(e)); n != 2*21 {
				t.Errorf("%d records are kept for one session", n)
			}
			end(e, victim, connectCode)
			e.Clock.Advance(26 * time.Minute)
			e.MustSweep()
			if keys := codeRecords(e); len(keys) > 0 {
				t.Errorf("%v are left", keys)
			}
		})
	}
}

// TestParkedCodeSurvivesCrash kills the engine at each storage operation
// of a callback: where the code is parked afterwards, no other session takes it.
func TestParkedCodeSurvivesCrash(t *testing.T) {
	var victim enginetest.Session
	var back *url.URL
	setup := func() *enginetest.Engine {
		e := openid(t, authpipetest.Options{})
		victim = e.Begin(enginetest.Uma, nil)
		back = e.Consent(victim, authpipetest.Consent{User: "uma"})
		return e
	}
	callback := func(e *enginetest.Engine) error { _, err := e.TryCallback(back); return err }
	enginetest.EachCrash(setup, callback, func(e *enginetest.Engine, f enginetest.Failure) {
		e.CheckInvariants(f.String())
		status := e.Read(victim.Path)["status"]
		if f.Err == nil && status != "authorized" {
			t.Errorf("%s: the session is %v", f, status)
		}
		own, state := e.BeginState("org_evil/facebook/installation", map[string]any{"actor": "eve"})
		err := e.Try(logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
		if err == nil && status == "authorized" {
			t.Errorf("%s: the parked code is taken by another session", f)
		}
		e.CheckInvariants(f.String() + ", and presented elsewhere")
		e.Clock.Advance(time.Hour)
		e.MustSweep()
		if keys := codeRecords(e); len(keys) > 0 {
			t.Errorf("%s: %v are left", f, keys)
		}
	})
}

// TestMadeUpCodesDoNotReleaseRealOne: a thief that has the victim's state brings
// codes of its own first, so that the victim's would come too late to be recorded.
func TestMadeUpCodesDoNotReleaseRealOne(t *testing.T) {
	for name, denied := range map[string]bool{"before the person comes back": false, "after a denial": true} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"require_installation": false})
			victim := e.Begin(enginetest.Uma, nil)
			back := e.Consent(victim, authpipetest.Consent{User: "uma"})
			state := back.Query().Get("state")
			if denied {
				e.Callback(&url.URL{RawQuery: url.Values{"state": {state}, "error": {"access_denied"}}.Encode()})
			}
			for i := range 50 {
				e.Callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {fmt.Sprintf("AQmade-up-%d", i)}}.Encode()})
			}
			e.Callback(back)
			own, thiefs := e.BeginState(eve, map[string]any{"actor": "thief"})
			e.Refused("session_used", 409, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "thief", "state": thiefs, "code": back.Query().Get("code")})
			e.Refused("not_found", 404, logical.ReadOperation, "creds/"+eve, nil)
		})
	}
}

// TestCallbacksForAnSDKSessionStoreNothing: the application's page may know its
// state, and no browser is sent to the callback for it.
func TestCallbacksForAnSDKSessionStoreNothing(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	before := len(codeRecords(e))
	_, state := e.BeginState(enginetest.Uma, map[string]any{"grant": "sdk"})
	for i := range 50 {
		e.Callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {fmt.Sprintf("AQ%d", i)}}.Encode()})
	}
	if n := len(codeRecords(e)); n != before {
		t.Errorf("%d records were %d", n, before)
	}
}
