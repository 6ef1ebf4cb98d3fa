package flow_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// declined returns an engine and a session of an installation that the person has
// declined at the provider.
func declined(t *testing.T, completion string) (e *enginetest.Engine, s enginetest.Session, back *url.URL) {
	t.Helper()
	e = enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": completion})
	s = e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
	back = e.Consent(s, authpipetest.Consent{User: "ada", Cancel: true})
	if p := e.Callback(back); p.Status != 400 || p.Returned(t).Query().Get("error") != "access_denied" {
		t.Errorf("a person who declines sees %d\n%s", p.Status, p.HTML)
	}
	failedFor(e, s, "access_denied")
	return e, s, back
}

// TestPersonWhoDeclinesAndThenApprovesIsConnected is F25.
func TestPersonWhoDeclinesAndThenApprovesIsConnected(t *testing.T) {
	t.Run("by the callback, confirmed by the application", func(t *testing.T) {
		e, s, denial := declined(t, "confirm")
		proof := map[string]any{"actor": "admin"}
		e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
		approval := e.Consent(s, authpipetest.Consent{User: "ada"})
		p := e.Callback(approval)
		proof["connect_code"] = p.Returned(t).Query().Get("connect_code")
		if got := e.Read(s.Path); got["status"] != "authorized" || got["error"] != nil || got["error_description"] != nil {
			t.Errorf("the session reads %v", got)
		}
		if again := e.Callback(approval); again != p {
			t.Errorf("the approval again shows %d\n%s", again.Status, again.HTML)
		}
		if old := e.Callback(denial); old.Status != 400 || strings.Contains(old.HTML, "refresh") {
			t.Errorf("the denial that is over shows %d\n%s", old.Status, old.HTML)
		}
		e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
		e.CheckSession(s, "completed")
		e.CheckEvents(0, "connection.created "+enginetest.Installation)
		if got := e.Read("connections/" + enginetest.Installation)["history"].([]map[string]any); len(got) != 1 || got[0]["event"] != "connected" {
			t.Errorf("the history is %v", got)
		}
		exchanges(e, 1)
		e.CheckInvariants("connected after a denial")
	})
	t.Run("by a callback that redeems", func(t *testing.T) {
		e, s, _ := declined(t, "callback")
		approval := e.Consent(s, authpipetest.Consent{User: "ada"})
		p := e.Callback(approval)
		if again := e.Callback(approval); p.Status != 200 || again != p {
			t.Errorf("the browser sees %d, and %d again\n%s", p.Status, again.Status, p.HTML)
		}
		e.CheckSession(s, "completed")
		e.Read("creds/" + enginetest.Installation)
		exchanges(e, 1)
	})
	relay := func(e *enginetest.Engine, s enginetest.Session, c authpipetest.Consent) map[string]any {
		answer := map[string]any{"actor": "admin"}
		for name, values := range e.Consent(s, c).Query() {
			answer[name] = values[0]
		}
		return answer
	}
	t.Run("by a relay", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": enginetest.RelayURI})
		denial := relay(e, s, authpipetest.Consent{User: "ada", Cancel: true})
		for range 2 {
			e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", denial)
		}
		e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": denial["state"], "error_code": "1349126", "error_message": "App not active"})
		failedFor(e, s, "access_denied")
		approval := relay(e, s, authpipetest.Consent{User: "ada"})
		first := e.Must(logical.UpdateOperation, s.Path+"/complete", approval)
		if diff := cmp.Diff(first, e.Must(logical.UpdateOperation, s.Path+"/complete", approval)); diff != "" {
			t.Error("completed again: " + diff)
		}
		e.Refused("session_used", 409, logical.UpdateOperation, s.Path+"/complete", denial)
		e.CheckSession(s, "completed")
		exchanges(e, 1)
	})
	t.Run("by a relay, after a denial at the callback", func(t *testing.T) {
		e, s, _ := declined(t, "confirm")
		e.Must(logical.UpdateOperation, s.Path+"/complete", relay(e, s, authpipetest.Consent{User: "ada"}))
		e.CheckSession(s, "completed")
	})
	t.Run("after a restart", func(t *testing.T) {
		e, s, _ := declined(t, "confirm")
		e.Restart()
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).Returned(t).Query().Get("connect_code")
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	})
}

func TestDenialThatIsRepeatedShowsTheSamePage(t *testing.T) {
	for _, completion := range []string{"confirm", "callback"} {
		e, s, back := declined(t, completion)
		first := e.Callback(back)
		e.Storage.Reset()
		// Cancelled again, in words of its own.
		other := url.Values{"state": {back.Query().Get("state")}, "error": {"access_denied"}, "error_description": {"Still no"}}
		if again, more := e.Callback(back), e.Callback(&url.URL{RawQuery: other.Encode()}); again != first || more != first {
			t.Errorf("the browser sees %d and %d\n%s", again.Status, more.Status, more.HTML)
		}
		if writes := e.Storage.Writes(); len(writes) > 0 {
			t.Errorf("the same denial writes %v", writes)
		}
		failedFor(e, s, "access_denied")
	}
}

// TestFailedSessionDoesNotResume brings an approval to sessions
// that failed, some of them by access_denied too, and not because the person
// declined.
func TestFailedSessionDoesNotResume(t *testing.T) {
	for name, row := range map[string]struct {
		code string
		fail func(e *enginetest.Engine, s enginetest.Session)
	}{
		"five wrong connect codes": {"access_denied", func(e *enginetest.Engine, s enginetest.Session) {
			e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"}))
			for range 5 {
				e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
			}
		}},
		"another actor": {"actor_mismatch", func(e *enginetest.Engine, s enginetest.Session) {
			e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		}},
		"a cancellation": {"cancelled", func(e *enginetest.Engine, s enginetest.Session) { e.Must(logical.DeleteOperation, s.Path, nil) }},
		"a denial, then a cancellation": {"cancelled", func(e *enginetest.Engine, s enginetest.Session) {
			e.Callback(e.Consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
			e.Must(logical.DeleteOperation, s.Path, nil)
		}},
		"a denial, then the end of its time": {"session_expired", func(e *enginetest.Engine, s enginetest.Session) {
			e.Callback(e.Consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
			e.Clock.Advance(10 * time.Minute)
		}},
		"a denial, then a code of another session": {"session_used", func(e *enginetest.Engine, s enginetest.Session) {
			e.Callback(e.Consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
			code := e.Consent(e.Begin(enginetest.Installation, map[string]any{"actor": "boss"}), authpipetest.Consent{User: "ada"})
			e.Callback(code)
			e.Callback(&url.URL{RawQuery: url.Values{"state": {enginetest.StateOf(t, s)}, "code": {code.Query().Get("code")}}.Encode()})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
			row.fail(e, s)
			back := e.Consent(s, authpipetest.Consent{User: "ada"})
			if p := e.Callback(back); p.Status != 400 || strings.Contains(p.HTML, "<code>") {
				t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
			}
			if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": back.Query().Get("state"), "code": back.Query().Get("code")}); err == nil {
				t.Error("it is completed")
			}
			failedFor(e, s, row.code)
			exchanges(e, 0)
		})
	}
	t.Run("of another actor, after the approval", func(t *testing.T) {
		e, s, _ := declined(t, "confirm")
		e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": "x"})
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).Returned(t).Query().Get("connect_code")
		e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
		failedFor(e, s, "actor_mismatch")
		exchanges(e, 0)
	})
}

func TestRelayedURLLosesFragment(t *testing.T) {
	for _, fragment := range []string{"#_=_", "#", "#/home?x=y", "#_=_#_=_"} {
		for _, field := range []string{"state", "code"} {
			e := enginetest.New(t, authpipetest.Options{})
			s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": enginetest.RelayURI})
			q := e.Consent(s, authpipetest.Consent{User: "ada"}).Query()
			plain := map[string]any{"actor": "admin", "state": q.Get("state"), "code": q.Get("code")}
			copied := map[string]any{"actor": "admin", "state": q.Get("state"), "code": q.Get("code")}
			copied[field] = q.Get(field) + fragment
			first := e.Must(logical.UpdateOperation, s.Path+"/complete", copied)
			if diff := cmp.Diff(first, e.Must(logical.UpdateOperation, s.Path+"/complete", plain)); diff != "" {
				t.Errorf("%s%s and without: %s", field, fragment, diff)
			}
			exchanges(e, 1)

			// The same at the callback, of a URL that was copied and encoded.
			s = e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
			q = e.Consent(s, authpipetest.Consent{User: "ada"}).Query()
			code := e.Callback(&url.URL{RawQuery: q.Encode()}).ConnectCode(t)
			q.Set(field, q.Get(field)+fragment)
			if again := e.Callback(&url.URL{RawQuery: q.Encode()}); again.ConnectCode(t) != code {
				t.Errorf("the callback shows another code for %s%s", field, fragment)
			}
			e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code + fragment})
		}
	}
}

// TestParkedCodeIsRecognizedWithFragment has a thief append what is stripped.
func TestParkedCodeIsRecognizedWithFragment(t *testing.T) {
	e, victim, back, _ := parked(t, nil)
	own, state := e.BeginState(eve, nil)
	e.Refused("session_used", 409, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "eve", "state": state, "code": back.Query().Get("code") + "#_=_"})
	failedFor(e, victim, "session_used")
	exchanges(e, 0)
}

func TestRelayedDenialFailsSession(t *testing.T) {
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
			e := enginetest.New(t, authpipetest.Options{})
			s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": enginetest.RelayURI})
			row.relayed["actor"], row.relayed["state"] = "admin", enginetest.StateOf(t, s)
			for range 2 {
				text := e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", row.relayed)
				if strings.Contains(text, "#_=_") {
					t.Errorf("it is answered %s", text)
				}
			}
			failedFor(e, s, "access_denied")
			for _, part := range row.parts {
				if got := e.Read(s.Path)["error_description"].(string); !strings.Contains(got, part) || strings.Contains(got, "#_=_") {
					t.Errorf("the session tells %q, want %q in it", got, part)
				}
			}
			exchanges(e, 0)
		})
	}
	t.Run("what no provider sends is refused, and changes nothing", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": enginetest.RelayURI})
		q := e.Consent(s, authpipetest.Consent{User: "ada"}).Query()
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
			if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", data); err == nil {
				t.Errorf("%s is taken", name)
			}
			e.CheckSession(s, "pending")
		}
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": state, "code": code})
	})
}
