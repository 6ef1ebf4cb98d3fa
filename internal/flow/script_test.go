package flow_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// names are of people and pages in several scripts, and as some systems write
// them. Each must come out as it went in, to the byte.
var names = map[string]string{
	"Arabic, with marks of direction": "\u0645\u062d\u0645\u062f \u200f\u0639\u0644\u064a\u061c",
	"Persian, with a non-joiner":      "\u0645\u06cc\u200c\u0631\u0648\u0645",
	"Hebrew, with points":             "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd",
	"Thai, with marks above":          "\u0e19\u0e49\u0e33\u0e1c\u0e36\u0e49\u0e07",
	"Hindi, with joiners":             "\u0915\u094d\u200d\u0937\u0924\u094d\u0930\u093f\u092f",
	"a family, joined":                "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \u2764\ufe0f",
	"a flag of tags":                  "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
	"composed":                        "Zo\u00eb \u00c5",
	"decomposed":                      "Zoe\u0308 A\u030a",
	"marks upon marks":                "Z\u0351\u036b\u0343\u036a\u0302",
	"Han and Hangul":                  "\u5c71\u7530\u3000\u592a\u90ce \u1112\u1161\u11ab",
	"a space that does not break":     "Jean\u00a0Luc",
	"markup":                          "<b>Ada</b> & \"Co\"",
}

func TestNameKeepsAnyScript(t *testing.T) {
	for script, name := range names {
		t.Run(script, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Facebook.AddPage(authpipetest.Page{ID: "777", Name: name})
			begun, err := e.HandleRequest(t.Context(), &logical.Request{
				Operation: logical.UpdateOperation, Path: "connect/" + enginetest.Installation, Storage: e.Storage, DisplayName: "token-" + name, Data: map[string]any{"actor": name},
			})
			if err != nil {
				t.Fatal(err)
			}
			s := enginetest.Session{ID: begun.Data["session_id"].(string), URL: begun.Data["authorization_url"].(string), Path: "sessions/org_acme/" + begun.Data["session_id"].(string)}
			if got := e.Read(s.Path)["actor"]; got != name {
				t.Errorf("the session is of %q", got)
			}
			p := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"}))
			got := e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": name, "connect_code": p.ConnectCode(t)})
			if by := got["connected_by"].(map[string]any); by["actor"] != name || by["display_name"] != "token-"+name {
				t.Errorf("it was connected by %q", by)
			}
			e.Read("creds/" + enginetest.Page777)
			pages := e.Must(logical.ListOperation, "connections/org_acme/facebook/pages/", nil)["key_info"].(map[string]any)
			if got := pages["777"].(map[string]any)["name"]; got != name {
				t.Errorf("the page is called %q", got)
			}

			declined := e.Begin(enginetest.Installation, map[string]any{"actor": name})
			q := url.Values{"state": {enginetest.StateOf(t, declined)}, "error": {"access_denied"}, "error_description": {name}}
			e.Callback(&url.URL{RawQuery: q.Encode()})
			if got := e.Read(declined.Path)["error_description"].(string); !strings.Contains(got, name) {
				t.Errorf("the denial reads %q", got)
			}

			_, after := e.Events(0)
			clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654, Message: name}})
			e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
			clear()
			if got := fmt.Sprint(e.Read("connections/" + enginetest.Installation)["last_error"]); !strings.Contains(got, name) {
				t.Errorf("the error reads %q", got)
			}
			events := e.Must(logical.ReadOperation, "events", map[string]any{"after": after})["events"].([]map[string]any)
			if len(events) != 1 || !strings.Contains(events[0]["reason"].(string), name) {
				t.Errorf("what happened is %q", events)
			}
		})
	}
}

func TestActorIsComparedByBytes(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": names["composed"]})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": names["decomposed"], "connect_code": code})
}

func TestActorWithControlCharactersIsRefused(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, control := range []string{"\x00", "\t", "\n", "\r", "\x1b", "\x7f", "\u0085", "\u009b", "\u2028", "\u2029", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"} {
		text := e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "ad" + control + "a"})
		if !strings.Contains(text, `"actor"`) || strings.Contains(text, control) {
			t.Errorf("%q is answered %q", control, text)
		}
	}
}

func TestReasonIsCutBetweenCharacters(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	long := strings.Repeat("\u0e19\u0e49\u0e33", 100)
	e.Callback(&url.URL{RawQuery: url.Values{"state": {enginetest.StateOf(t, s)}, "error_description": {long}, "error": {"access_denied"}}.Encode()})
	if got := e.Read(s.Path)["error_description"].(string); !strings.Contains(got, ", "+string([]rune(long)[:100])+")") {
		t.Errorf("the session reads %q", got)
	}
}
