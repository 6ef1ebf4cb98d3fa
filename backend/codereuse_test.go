package backend_test

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
)

const eve = "org_evil/facebook/users/eve"

// parked returns an engine that configures openid for users, with a session of
// uma's whose code is parked, and the code.
func parked(t *testing.T, config map[string]any) (e *engine, victim session, back *url.URL, connectCode string) {
	t.Helper()
	e = openid(t, authpipetest.Options{})
	if config != nil {
		e.must(logical.UpdateOperation, "config/facebook", config)
	}
	victim = e.begin(uma, nil)
	back = e.consent(victim, authpipetest.Consent{User: "uma"})
	return e, victim, back, e.callback(back).code(t)
}

// beginState begins a session and returns its state, whatever the grant.
func (e *engine) beginState(ref string, data map[string]any) (session, string) {
	e.t.Helper()
	answer := e.must(logical.UpdateOperation, "connect/"+ref, data)
	s := session{id: answer["session_id"].(string), path: "sessions/" + strings.SplitN(ref, "/", 2)[0] + "/" + answer["session_id"].(string)}
	if state, ok := answer["state"].(string); ok {
		return s, state
	}
	s.url = answer["authorization_url"].(string)
	u, err := url.Parse(s.url)
	if err != nil {
		e.t.Fatal(err)
	}
	return s, u.Query().Get("state")
}

// failedFor checks why a session failed.
func (e *engine) failedFor(s session, code string) {
	e.t.Helper()
	if got := e.read(s.path); got["status"] != "failed" || got["error"] != code {
		e.t.Errorf("the session reads %v, want failed with %s", got, code)
	}
}

func (e *engine) exchanges(want int) {
	e.t.Helper()
	if n := e.fb.Count(authpipetest.EndpointAccessToken); n != want {
		e.t.Errorf("codes were sent to the provider %d times, want %d", n, want)
	}
}

// codeRecords are the storage keys that say which session owns a code.
func (e *engine) codeRecords() (keys []string) {
	e.t.Helper()
	for _, prefix := range []string{"code/", "session-code/"} {
		found, err := e.storage.Keys(context.Background(), prefix)
		if err != nil {
			e.t.Fatal(err)
		}
		keys = append(keys, found...)
	}
	return keys
}

// TestParkedCodeIsRefusedInAnySessionOfAThief is issue 16: a thief reads the
// code of a victim from a log and chooses everything about their own session.
func TestParkedCodeIsRefusedInAnySessionOfAThief(t *testing.T) {
	for name, thief := range map[string]struct {
		ref    string
		config map[string]any
		begin  map[string]any
	}{
		"with the victim's scopes":             {eve, nil, nil},
		"without openid":                       {eve, nil, map[string]any{"scopes": "pages_show_list"}},
		"with another redirect URI":            {eve, nil, map[string]any{"redirect_uri": relayURI}},
		"by the SDK's grant":                   {eve, nil, map[string]any{"grant": "sdk"}},
		"by the SDK's grant, with scopes":      {eve, nil, map[string]any{"grant": "sdk", "scopes": "pages_show_list"}},
		"that completes by its callback":       {eve, map[string]any{"completion": "callback"}, map[string]any{"scopes": "pages_show_list"}},
		"for an installation, without openid":  {"org_evil/facebook/installation", nil, nil},
		"for an installation, by its callback": {"org_evil/facebook/installation", map[string]any{"completion": "callback"}, nil},
		"of the victim's own tenant":           {udo, nil, map[string]any{"scopes": "pages_show_list"}},
		"of the victim's own ref":              {uma, nil, map[string]any{"scopes": "pages_show_list"}},
	} {
		for _, way := range []string{"relayed", "by the callback"} {
			t.Run(name+", "+way, func(t *testing.T) {
				e, victim, back, connectCode := parked(t, nil)
				if thief.config != nil {
					e.must(logical.UpdateOperation, "config/facebook", thief.config)
				}
				after := e.happened(0)
				begin := map[string]any{"actor": "thief"}
				for name, value := range thief.begin {
					begin[name] = value
				}
				own, state := e.beginState(thief.ref, begin)
				stolen := back.Query().Get("code")
				if way == "relayed" {
					e.refused("session_used", 409, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "thief", "state": state, "code": stolen})
				} else if p := e.callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {stolen}}.Encode()}); p.status != 400 || strings.Contains(p.html, "<code>") {
					t.Errorf("the browser sees %d\n%s", p.status, p.html)
				}
				e.exchanges(0)
				e.failedFor(own, "session_used")
				e.failedFor(victim, "session_used")
				e.happened(after, "session.code_reused "+thief.ref, "session.code_reused "+uma)
				for _, ref := range []string{thief.ref, uma} {
					e.refused("not_found", 404, logical.ReadOperation, "creds/"+ref, nil)
				}
				e.refused("session_used", 409, logical.UpdateOperation, victim.path+"/complete", map[string]any{"actor": "uma", "connect_code": connectCode})
				// The same again gets the same, and is no second event.
				e.refused("session_used", 409, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "thief", "state": state, "code": stolen})
				e.callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {stolen}}.Encode()})
				e.happened(after, "session.code_reused "+thief.ref, "session.code_reused "+uma)
				e.exchanges(0)
				e.checkInvariants("after the theft")
				e.connect(uma, "uma", authpipetest.Consent{User: "uma"}, "completion", "confirm") // and others still connect
			})
		}
	}
}

func TestOpenIDIsNotChosenAway(t *testing.T) {
	e := openid(t, authpipetest.Options{})
	for _, scopes := range []string{"pages_show_list", "email,public_profile", "openid,email"} {
		s := e.begin(uma, map[string]any{"scopes": scopes})
		u, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		if q := u.Query(); q.Get("nonce") == "" || q.Get("code_challenge") == "" || !slices.Contains(strings.Split(q.Get("scope"), ","), "openid") {
			t.Errorf("scopes=%s leads to %s", scopes, s.url)
		}
		if got := e.read(s.path)["scopes"].([]string); !slices.Contains(got, "openid") {
			t.Errorf("scopes=%s: the session reads %v", scopes, got)
		}
	}
	// Where the configuration has none, none is added.
	if s := e.begin(installation, map[string]any{"actor": "admin", "scopes": "email"}); strings.Contains(s.url, "openid") || strings.Contains(s.url, "nonce") {
		t.Errorf("an installation is begun with %s", s.url)
	}
	// A code that the engine has not seen before is bound by PKCE and the nonce, then.
	victim := e.begin(uma, nil)
	stolen := e.consent(victim, authpipetest.Consent{User: "uma"}).Query().Get("code")
	own, state := e.beginState(eve, map[string]any{"scopes": "pages_show_list"})
	if _, err := e.do(logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "eve", "state": state, "code": stolen}); err == nil {
		t.Error("the code is taken")
	}
	e.refused("not_found", 404, logical.ReadOperation, "creds/"+eve, nil)
}

func TestCompletedSessionIsServedThoughItsCodeIsReused(t *testing.T) {
	e, victim, back, connectCode := parked(t, nil)
	proof := map[string]any{"actor": "uma", "connect_code": connectCode}
	e.must(logical.UpdateOperation, victim.path+"/complete", proof)
	after := e.happened(0, "connection.created "+uma)
	own, state := e.beginState(eve, map[string]any{"scopes": "pages_show_list"})
	stolen := map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")}
	for range 2 {
		e.refused("session_used", 409, logical.UpdateOperation, own.path+"/complete", stolen)
	}
	e.failedFor(own, "session_used")
	e.unharmed(victim, "completed")
	e.must(logical.UpdateOperation, victim.path+"/complete", proof)
	e.read("creds/" + uma)
	if p := e.callback(back); p.code(t) != connectCode {
		t.Errorf("the callback again shows\n%s", p.html)
	}
	e.exchanges(1)
	after = e.happened(after, "session.code_reused "+eve, "session.code_reused "+uma)

	// The other way round: a session that is completed is brought the code of one
	// that waits.
	waiting := e.begin(udo, nil)
	code := e.consent(waiting, authpipetest.Consent{User: "udo"})
	e.callback(code)
	e.refused("session_used", 409, logical.UpdateOperation, victim.path+"/complete", map[string]any{"actor": "uma", "state": back.Query().Get("state"), "code": code.Query().Get("code")})
	e.unharmed(victim, "completed")
	e.failedFor(waiting, "session_used")
	e.happened(after, "session.code_reused "+uma, "session.code_reused "+udo)
	e.exchanges(1)
}

// TestCodeSeenFirstByTheThiefFailsTheVictimsSession shows what tells of a theft
// that nothing could stop: the code was taken before it came to the engine.
func TestCodeSeenFirstByTheThiefFailsTheVictimsSession(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"require_installation": false})
	after := e.happened(0, "connection.created "+installation)
	victim := e.begin(uma, map[string]any{"return_url": returnURL})
	back := e.consent(victim, authpipetest.Consent{User: "uma"})
	own, state := e.beginState(eve, nil)
	e.must(logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
	p := e.callback(back)
	if to := p.returned(t); p.status != 400 || to.Query().Get("error") != "session_used" {
		t.Errorf("the victim's browser sees %d and goes to %s", p.status, to)
	}
	if again := e.callback(back); again != p {
		t.Errorf("the same callback again shows %d\n%s", again.status, again.html)
	}
	e.failedFor(victim, "session_used")
	e.happened(after, "connection.created "+eve, "session.code_reused "+uma, "session.code_reused "+eve)
}

func TestCodeReusedWhileItIsRedeemed(t *testing.T) {
	t.Run("is refused, and the session completes", func(t *testing.T) {
		e, victim, back, connectCode := parked(t, nil)
		own, state := e.beginState(eve, nil)
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken},
			func() {
				e.must(logical.UpdateOperation, victim.path+"/complete", map[string]any{"actor": "uma", "connect_code": connectCode})
			},
			func() {
				e.refused("session_used", 409, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
			})
		e.unharmed(victim, "completed")
		e.failedFor(own, "session_used")
		e.exchanges(1)
	})
	t.Run("is not tried again where the provider does not answer", func(t *testing.T) {
		e, victim, back, connectCode := parked(t, nil)
		proof := map[string]any{"actor": "uma", "connect_code": connectCode}
		own, state := e.beginState(eve, nil)
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Status: 500, Error: &authpipetest.GraphError{Code: 2}},
			func() { e.do(logical.UpdateOperation, victim.path+"/complete", proof) },
			func() {
				e.refused("session_used", 409, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
				if got := e.read(victim.path)["status"]; got != "redeeming" {
					t.Errorf("the session is %v", got)
				}
			})
		if got := e.read(victim.path)["status"]; got == "authorized" {
			t.Errorf("the session is %v", got)
		}
	})
}

func TestCodeOfASessionThatHasEndedIsRefusedElsewhere(t *testing.T) {
	for name, end := range map[string]func(e *engine, victim session, back *url.URL){
		"cancelled, then the code came": func(e *engine, victim session, back *url.URL) {
			e.must(logical.DeleteOperation, victim.path, nil)
			e.callback(back)
		},
		"the code came, then cancelled": func(e *engine, victim session, back *url.URL) {
			e.callback(back)
			e.must(logical.DeleteOperation, victim.path, nil)
		},
		"expired, then the code came": func(e *engine, victim session, back *url.URL) {
			e.clock.Advance(11 * time.Minute)
			e.callback(back)
		},
		"the code came, then expired": func(e *engine, victim session, back *url.URL) {
			e.callback(back)
			e.clock.Advance(9 * time.Minute)
		},
		"relayed by another actor": func(e *engine, victim session, back *url.URL) {
			e.refused("actor_mismatch", 409, logical.UpdateOperation, victim.path+"/complete", map[string]any{"actor": "alice", "state": back.Query().Get("state"), "code": back.Query().Get("code")})
		},
		"a second code, of a person who approved twice": func(e *engine, victim session, back *url.URL) {
			e.callback(e.consent(victim, authpipetest.Consent{User: "uma"}))
			e.callback(back)
		},
		"after a restart": func(e *engine, victim session, back *url.URL) {
			e.callback(back)
			e.restart()
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := openid(t, authpipetest.Options{CodeLife: time.Hour})
			victim := e.begin(uma, nil)
			back := e.consent(victim, authpipetest.Consent{User: "uma"})
			end(e, victim, back)
			own, state := e.beginState("org_evil/facebook/installation", map[string]any{"actor": "eve"})
			e.refused("session_used", 409, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
			e.exchanges(0)
			e.checkInvariants(name)
		})
	}
}

func TestTwoSessionsWithOneCodeAtOnceExchangeItOnce(t *testing.T) {
	for i := range 20 {
		e := newEngine(t, authpipetest.Options{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"require_installation": false})
		refs := []string{uma, udo, eve, "org_globex/facebook/users/uma"}
		code := e.consent(e.begin(uma, nil), authpipetest.Consent{User: "uma"}).Query().Get("code")
		var sessions []session
		var states []string
		for _, ref := range refs {
			s, state := e.beginState(ref, map[string]any{"actor": "a"})
			sessions, states = append(sessions, s), append(states, state)
		}
		var at, all sync.WaitGroup
		errs := make([]error, len(sessions))
		at.Add(1)
		for j, s := range sessions {
			all.Go(func() {
				at.Wait()
				_, errs[j] = e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "a", "state": states[j], "code": code})
			})
		}
		at.Done()
		all.Wait()
		won := 0
		for j, err := range errs {
			if err == nil {
				won++
			} else {
				checkCode(t, err, "session_used", 409)
			}
			if status := e.read(sessions[j].path)["status"]; (status == "completed") != (err == nil) {
				t.Errorf("run %d: the session is %v, its caller got %v", i, status, err)
			}
		}
		if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 1 || won != 1 {
			t.Errorf("run %d: the code was sent %d times, and %d sessions completed", i, n, won)
		}
		e.checkInvariants(fmt.Sprintf("run %d", i))
	}
}

func TestCodeRecordsAreDeletedWithTheirSession(t *testing.T) {
	for name, end := range map[string]func(e *engine, victim session, connectCode string){
		"completed": func(e *engine, victim session, connectCode string) {
			e.must(logical.UpdateOperation, victim.path+"/complete", map[string]any{"actor": "uma", "connect_code": connectCode})
		},
		"never completed": func(*engine, session, string) {},
		"whose tenant was deleted": func(e *engine, victim session, connectCode string) {
			e.must(logical.UpdateOperation, victim.path+"/complete", map[string]any{"actor": "uma", "connect_code": connectCode})
			e.must(logical.DeleteOperation, "tenants/org_acme", map[string]any{"force": true})
		},
	} {
		t.Run("of a session "+name, func(t *testing.T) {
			e, victim, back, connectCode := parked(t, nil)
			q := back.Query()
			for range 20 { // a stranger that has the state
				q.Set("code", fmt.Sprintf("AQ%d", len(e.codeRecords())))
				e.callback(&url.URL{RawQuery: q.Encode()})
			}
			if n := len(e.codeRecords()); n != 2*21 {
				t.Errorf("%d records are kept for one session", n)
			}
			end(e, victim, connectCode)
			e.clock.Advance(26 * time.Minute)
			e.sweep()
			if keys := e.codeRecords(); len(keys) > 0 {
				t.Errorf("%v are left", keys)
			}
		})
	}
}

// TestNoCodeIsParkedThatIsNotClaimed kills the engine at each storage operation
// of a callback: where the code is parked afterwards, no other session takes it.
func TestNoCodeIsParkedThatIsNotClaimed(t *testing.T) {
	for n := 1; ; n++ {
		missed := false
		for _, afterEffect := range []bool{false, true} {
			e := openid(t, authpipetest.Options{})
			victim := e.begin(uma, nil)
			back := e.consent(victim, authpipetest.Consent{User: "uma"})
			c := &crash{operation: n, afterEffect: afterEffect}
			e.storage.DieAt(n, afterEffect)
			_, err := e.tryCallback(back)
			missed = c.misses(e)
			e.restart()
			e.checkInvariants(c.String())
			status := e.read(victim.path)["status"]
			if err == nil && status != "authorized" {
				t.Errorf("%s: the callback was answered, and the session is %v", c, status)
			}
			own, state := e.beginState("org_evil/facebook/installation", map[string]any{"actor": "eve"})
			_, err = e.do(logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code")})
			if err == nil && status == "authorized" {
				t.Errorf("%s: the parked code is taken by another session", c)
			}
			e.checkInvariants(c.String() + ", and presented elsewhere")
			e.clock.Advance(time.Hour)
			e.sweep()
			if keys := e.codeRecords(); len(keys) > 0 {
				t.Errorf("%s: %v are left", c, keys)
			}
		}
		if missed {
			return
		}
	}
}

// TestMadeUpCodesDoNotFreeTheRealOne: a thief that has the victim's state brings
// codes of its own first, so that the victim's would come too late to be recorded.
func TestMadeUpCodesDoNotFreeTheRealOne(t *testing.T) {
	for name, denied := range map[string]bool{"before the person comes back": false, "after a denial": true} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"require_installation": false})
			victim := e.begin(uma, nil)
			back := e.consent(victim, authpipetest.Consent{User: "uma"})
			state := back.Query().Get("state")
			if denied {
				e.callback(&url.URL{RawQuery: url.Values{"state": {state}, "error": {"access_denied"}}.Encode()})
			}
			for i := range 50 {
				e.callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {fmt.Sprintf("AQmade-up-%d", i)}}.Encode()})
			}
			e.callback(back)
			own, thiefs := e.beginState(eve, map[string]any{"actor": "thief"})
			e.refused("session_used", 409, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "thief", "state": thiefs, "code": back.Query().Get("code")})
			e.refused("not_found", 404, logical.ReadOperation, "creds/"+eve, nil)
		})
	}
}

// TestCallbacksForAnSDKSessionStoreNothing: the application's page may know its
// state, and no browser is sent to the callback for it.
func TestCallbacksForAnSDKSessionStoreNothing(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	before := len(e.codeRecords())
	_, state := e.beginState(uma, map[string]any{"grant": "sdk"})
	for i := range 50 {
		e.callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {fmt.Sprintf("AQ%d", i)}}.Encode()})
	}
	if n := len(e.codeRecords()); n != before {
		t.Errorf("%d records were %d", n, before)
	}
}
