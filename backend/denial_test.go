package backend_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// declined returns an engine and a session of an installation that the person has
// declined at the provider.
func declined(t *testing.T, completion string) (e *engine, s session, back *url.URL) {
	t.Helper()
	e = newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": completion})
	s = e.begin(installation, map[string]any{"actor": "admin", "return_url": returnURL})
	back = e.consent(s, authpipetest.Consent{User: "ada", Cancel: true})
	if p := e.callback(back); p.status != 400 || p.returned(t).Query().Get("error") != "access_denied" {
		t.Errorf("a person who declines sees %d\n%s", p.status, p.html)
	}
	e.failedFor(s, "access_denied")
	return e, s, back
}

// TestPersonWhoDeclinesAndThenApprovesIsConnected is F25.
func TestPersonWhoDeclinesAndThenApprovesIsConnected(t *testing.T) {
	t.Run("by the callback, confirmed by the application", func(t *testing.T) {
		e, s, denial := declined(t, "confirm")
		proof := map[string]any{"actor": "admin"}
		e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
		approval := e.consent(s, authpipetest.Consent{User: "ada"})
		p := e.callback(approval)
		proof["connect_code"] = p.returned(t).Query().Get("connect_code")
		if got := e.read(s.path); got["status"] != "authorized" || got["error"] != nil || got["error_description"] != nil {
			t.Errorf("the session reads %v", got)
		}
		if again := e.callback(approval); again != p {
			t.Errorf("the approval again shows %d\n%s", again.status, again.html)
		}
		if old := e.callback(denial); old.status != 400 || strings.Contains(old.html, "refresh") {
			t.Errorf("the denial that is over shows %d\n%s", old.status, old.html)
		}
		e.must(logical.UpdateOperation, s.path+"/complete", proof)
		e.unharmed(s, "completed")
		e.happened(0, "connection.created "+installation)
		if got := e.read("connections/" + installation)["history"].([]map[string]any); len(got) != 1 || got[0]["event"] != "connected" {
			t.Errorf("the history is %v", got)
		}
		e.exchanges(1)
		e.checkInvariants("connected after a denial")
	})
	t.Run("by a callback that redeems", func(t *testing.T) {
		e, s, _ := declined(t, "callback")
		approval := e.consent(s, authpipetest.Consent{User: "ada"})
		p := e.callback(approval)
		if again := e.callback(approval); p.status != 200 || again != p {
			t.Errorf("the browser sees %d, and %d again\n%s", p.status, again.status, p.html)
		}
		e.unharmed(s, "completed")
		e.read("creds/" + installation)
		e.exchanges(1)
	})
	relay := func(e *engine, s session, c authpipetest.Consent) map[string]any {
		answer := map[string]any{"actor": "admin"}
		for name, values := range e.consent(s, c).Query() {
			answer[name] = values[0]
		}
		return answer
	}
	t.Run("by a relay", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s := e.begin(installation, map[string]any{"actor": "admin", "redirect_uri": relayURI})
		denial := relay(e, s, authpipetest.Consent{User: "ada", Cancel: true})
		for range 2 {
			e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", denial)
		}
		e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": denial["state"], "error_code": "1349126", "error_message": "App not active"})
		e.failedFor(s, "access_denied")
		approval := relay(e, s, authpipetest.Consent{User: "ada"})
		first := e.must(logical.UpdateOperation, s.path+"/complete", approval)
		if diff := cmp.Diff(first, e.must(logical.UpdateOperation, s.path+"/complete", approval)); diff != "" {
			t.Error("completed again: " + diff)
		}
		e.refused("session_used", 409, logical.UpdateOperation, s.path+"/complete", denial)
		e.unharmed(s, "completed")
		e.exchanges(1)
	})
	t.Run("by a relay, after a denial at the callback", func(t *testing.T) {
		e, s, _ := declined(t, "confirm")
		e.must(logical.UpdateOperation, s.path+"/complete", relay(e, s, authpipetest.Consent{User: "ada"}))
		e.unharmed(s, "completed")
	})
	t.Run("after a restart", func(t *testing.T) {
		e, s, _ := declined(t, "confirm")
		e.restart()
		code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).returned(t).Query().Get("connect_code")
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	})
}

func TestDenialThatIsRepeatedShowsTheSamePage(t *testing.T) {
	for _, completion := range []string{"confirm", "callback"} {
		e, s, back := declined(t, completion)
		first := e.callback(back)
		e.storage.Reset()
		// Cancelled again, in words of its own.
		other := url.Values{"state": {back.Query().Get("state")}, "error": {"access_denied"}, "error_description": {"Still no"}}
		if again, more := e.callback(back), e.callback(&url.URL{RawQuery: other.Encode()}); again != first || more != first {
			t.Errorf("the browser sees %d and %d\n%s", again.status, more.status, more.html)
		}
		if writes := e.storage.Writes(); len(writes) > 0 {
			t.Errorf("the same denial writes %v", writes)
		}
		e.failedFor(s, "access_denied")
	}
}

// TestSessionThatFailedOtherwiseIsNotTakenUpAgain brings an approval to sessions
// that failed, some of them by access_denied too, and not because the person
// declined.
func TestSessionThatFailedOtherwiseIsNotTakenUpAgain(t *testing.T) {
	for name, row := range map[string]struct {
		code string
		fail func(e *engine, s session)
	}{
		"five wrong connect codes": {"access_denied", func(e *engine, s session) {
			e.callback(e.consent(s, authpipetest.Consent{User: "ada"}))
			for range 5 {
				e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
			}
		}},
		"another actor": {"actor_mismatch", func(e *engine, s session) {
			e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		}},
		"a cancellation": {"cancelled", func(e *engine, s session) { e.must(logical.DeleteOperation, s.path, nil) }},
		"a denial, then a cancellation": {"cancelled", func(e *engine, s session) {
			e.callback(e.consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
			e.must(logical.DeleteOperation, s.path, nil)
		}},
		"a denial, then the end of its time": {"session_expired", func(e *engine, s session) {
			e.callback(e.consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
			e.clock.Advance(10 * time.Minute)
		}},
		"a denial, then a code of another session": {"session_used", func(e *engine, s session) {
			e.callback(e.consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
			code := e.consent(e.begin(installation, map[string]any{"actor": "boss"}), authpipetest.Consent{User: "ada"})
			e.callback(code)
			e.callback(&url.URL{RawQuery: url.Values{"state": {stateIn(s)}, "code": {code.Query().Get("code")}}.Encode()})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			s := e.begin(installation, map[string]any{"actor": "admin"})
			row.fail(e, s)
			back := e.consent(s, authpipetest.Consent{User: "ada"})
			if p := e.callback(back); p.status != 400 || strings.Contains(p.html, "<code>") {
				t.Errorf("the browser sees %d\n%s", p.status, p.html)
			}
			if _, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": back.Query().Get("state"), "code": back.Query().Get("code")}); err == nil {
				t.Error("it is completed")
			}
			e.failedFor(s, row.code)
			e.exchanges(0)
		})
	}
	t.Run("of another actor, after the approval", func(t *testing.T) {
		e, s, _ := declined(t, "confirm")
		e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).returned(t).Query().Get("connect_code")
		e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
		e.failedFor(s, "actor_mismatch")
		e.exchanges(0)
	})
}

func stateIn(s session) string {
	u, _ := url.Parse(s.url)
	return u.Query().Get("state")
}

func TestFragmentIsStrippedFromWhatIsRelayed(t *testing.T) {
	for _, fragment := range []string{"#_=_", "#", "#/home?x=y", "#_=_#_=_"} {
		for _, field := range []string{"state", "code"} {
			e := newEngine(t, authpipetest.Options{})
			s := e.begin(installation, map[string]any{"actor": "admin", "redirect_uri": relayURI})
			q := e.consent(s, authpipetest.Consent{User: "ada"}).Query()
			plain := map[string]any{"actor": "admin", "state": q.Get("state"), "code": q.Get("code")}
			copied := map[string]any{"actor": "admin", "state": q.Get("state"), "code": q.Get("code")}
			copied[field] = q.Get(field) + fragment
			first := e.must(logical.UpdateOperation, s.path+"/complete", copied)
			if diff := cmp.Diff(first, e.must(logical.UpdateOperation, s.path+"/complete", plain)); diff != "" {
				t.Errorf("%s%s and without: %s", field, fragment, diff)
			}
			e.exchanges(1)

			// The same at the callback, of a URL that was copied and encoded.
			s = e.begin(installation, map[string]any{"actor": "admin"})
			q = e.consent(s, authpipetest.Consent{User: "ada"}).Query()
			code := e.callback(&url.URL{RawQuery: q.Encode()}).code(t)
			q.Set(field, q.Get(field)+fragment)
			if again := e.callback(&url.URL{RawQuery: q.Encode()}); again.code(t) != code {
				t.Errorf("the callback shows another code for %s%s", field, fragment)
			}
			e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code + fragment})
		}
	}
}

// TestParkedCodeIsRecognizedWithAFragment has a thief append what is stripped.
func TestParkedCodeIsRecognizedWithAFragment(t *testing.T) {
	e, victim, back, _ := parked(t, nil)
	own, state := e.beginState(eve, nil)
	e.refused("session_used", 409, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code") + "#_=_"})
	e.failedFor(victim, "session_used")
	e.exchanges(0)
}

func TestRelayedDenialIsReadAsFacebookSendsIt(t *testing.T) {
	for name, row := range map[string]struct {
		relayed map[string]any
		parts   []string
	}{
		"a person's, whole":                {map[string]any{"error": "access_denied", "error_code": "200", "error_description": "Permissions error", "error_reason": "user_denied#_=_"}, []string{"access_denied", "user_denied", "Permissions error", "200"}},
		"the platform's, without an error": {map[string]any{"error_code": "1349126", "error_message": "(#100) App not active#_=_"}, []string{"1349126", "(#100) App not active"}},
		"with a number of JSON":            {map[string]any{"error": "access_denied", "error_code": json.Number("200")}, []string{"access_denied", "200"}},
		"with what return_scopes adds":     {map[string]any{"error": "access_denied", "granted_scopes": "", "denied_scopes": "email"}, []string{"access_denied"}},
		"a message alone":                  {map[string]any{"error_message": "(#200) Nothing works"}, []string{"(#200) Nothing works"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			s := e.begin(installation, map[string]any{"actor": "admin", "redirect_uri": relayURI})
			row.relayed["actor"], row.relayed["state"] = "admin", stateOf(t, s)
			for range 2 {
				text := e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", row.relayed)
				if strings.Contains(text, "#_=_") {
					t.Errorf("it is answered %s", text)
				}
			}
			e.failedFor(s, "access_denied")
			for _, part := range row.parts {
				if got := e.read(s.path)["error_description"].(string); !strings.Contains(got, part) || strings.Contains(got, "#_=_") {
					t.Errorf("the session tells %q, want %q in it", got, part)
				}
			}
			e.exchanges(0)
		})
	}
	t.Run("what no provider sends is refused, and changes nothing", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s := e.begin(installation, map[string]any{"actor": "admin", "redirect_uri": relayURI})
		q := e.consent(s, authpipetest.Consent{User: "ada"}).Query()
		state, code := q.Get("state"), q.Get("code")
		for name, relayed := range map[string]map[string]any{
			"code and error":         {"code": code, "error": "access_denied"},
			"code and error_code":    {"code": code, "error_code": "200"},
			"code and error_message": {"code": code, "error_message": "x"},
			"a reason alone":         {"error_reason": "user_denied"},
			"state alone":            {},
			"a fragment alone":       {"code": "#_=_"},
			"a code and a space":     {"code": code + " "},
			"a code and a line end":  {"code": code + "\n"},
			"a code and a joiner":    {"code": code + "\u200b"},
			"two codes":              {"code": []any{code, code}},
			"two states":             {"state": []any{state, state}, "code": code},
			"a long error":           {"error": strings.Repeat("A", 2000)},
		} {
			data := map[string]any{"actor": "admin", "state": state}
			for field, value := range relayed {
				data[field] = value
			}
			if _, err := e.do(logical.UpdateOperation, s.path+"/complete", data); err == nil {
				t.Errorf("%s is taken", name)
			}
			e.unharmed(s, "pending")
		}
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": state, "code": code})
	})
}
