package paths_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestCallbackPageShowsNoBrowserInput(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	denied := func(q url.Values) (enginetest.Page, map[string]any) {
		t.Helper()
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
		q.Set("state", enginetest.StateOf(t, s))
		p := e.Callback(&url.URL{RawQuery: q.Encode()})
		p.HTML = strings.ReplaceAll(p.HTML, s.ID, "SESSION")
		return p, e.Read(s.Path)
	}
	plain, _ := denied(url.Values{"error": {"access_denied"}})
	if to := plain.Returned(t); to.Query().Get("error") != "access_denied" {
		t.Errorf("the browser is returned to %s", to)
	}
	for _, text := range enginetest.NastyTexts {
		for _, field := range []string{"error", "error_reason", "error_description", "error_code", "error_message", "unheard_of", "<b>"} {
			q := url.Values{"error": {"access_denied"}}
			q.Set(field, text)
			e.Log.Reset()
			p, read := denied(q)
			if p != plain {
				t.Errorf("%s=%q changes the page:\n%s", field, text, p.HTML)
			}
			said := fmt.Sprint(read["error_description"]) + e.Log.String()
			if strings.ContainsAny(strings.ReplaceAll(said, "\n20", ""), "\r\x00\x1b\u202e\u2028\t") || strings.Contains(said, "\nSet-Cookie") || strings.Contains(said, "\nLocation") {
				t.Errorf("%s=%q is told as %q", field, text, said)
			}
		}
	}
}

// TestCallbackPageDoesNotEchoState has a browser bring the secrets that it knows in
// places that are shown.
func TestCallbackPageDoesNotEchoState(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, field := range []string{"error", "error_reason", "error_description", "error_code", "error_message"} {
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
		state := enginetest.StateOf(t, s)
		e.Callback(&url.URL{RawQuery: url.Values{"state": {state}, field: {"x " + state + " y"}}.Encode()})
		if got := fmt.Sprint(e.Read(s.Path)); strings.Contains(got, state) {
			t.Errorf("a state in %s is echoed: %s", field, got)
		}
	}
}

func TestCallbackPageEscapesIDsAndNames(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	for _, text := range append(enginetest.NastyTexts, "a/b", "a,b", "..", "a..b", ".", "-", "a b", "é", "a;b", "a?b", "a#b", "a%b", `a\b`, "a*b", "<", "") {
		for _, path := range []string{"connect/" + text + "/facebook/installation", "connect/org_acme/facebook/users/" + text, "sessions/org_acme/" + text, "sessions/" + text + "/" + strings.Repeat("A", 43),
			"creds/org_acme/facebook/users/" + text, "connections/org_acme/facebook/pages/" + text, "callback/" + text,
		} {
			for _, op := range []logical.Operation{logical.ReadOperation, logical.UpdateOperation} {
				e.Storage.Reset()
				resp, err := e.Do(op, path, map[string]any{})
				if err == nil && resp != nil && resp.Data[logical.HTTPStatusCode] == nil {
					t.Errorf("%s %q is answered %v", op, path, resp.Data)
				}
				if err != nil && len(text) > 3 && strings.Contains(err.Error(), text) {
					t.Errorf("%s %q is echoed: %v", op, path, err)
				}
				if writes := e.Storage.Writes(); len(writes) > 0 {
					t.Errorf("%s %q writes %v", op, path, writes)
				}
			}
		}
		if _, err := e.Do(logical.UpdateOperation, "connect/"+enginetest.Uma, map[string]any{"actor": text}); err == nil && strings.ContainsAny(text, "\r\n\x00\t\u202e\u2028") {
			t.Errorf("the actor %q is taken", text)
		}
	}
}

var attribute = regexp.MustCompile(`\s(src|href|action|data|poster|background|srcset|ping|formaction|on[a-z]+)\s*=`)

// TestCallbackPageLoadsNothingAndSendsNoReferrer is about frames and the
// Referer header (RFC 9700, sections 4.2 and 4.16).
func TestCallbackPageLoadsNothingAndSendsNoReferrer(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	shown := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	returned := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
	for name, back := range map[string]*url.URL{
		"that shows a code":   e.Consent(shown, authpipetest.Consent{User: "ada"}),
		"that goes on":        e.Consent(returned, authpipetest.Consent{User: "ada"}),
		"of a stranger":       {RawQuery: "state=x&code=y"},
		"of an empty request": {},
	} {
		html := e.Callback(back).HTML
		for _, want := range []string{`<meta name="referrer" content="no-referrer">`, `default-src &#39;none&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;`} {
			if !strings.Contains(html, want) {
				t.Errorf("the page %s lacks %s", name, want)
			}
		}
		policy, script := strings.Index(html, "Content-Security-Policy"), strings.Index(html, "<style")
		if policy < 0 || policy > script || strings.Contains(html, "<script") {
			t.Errorf("the page %s has something before its policy:\n%s", name, html)
		}
		for _, found := range attribute.FindAllString(html, -1) {
			if found != " href=" || name != "that goes on" || !strings.Contains(html, `rel="noreferrer"`) {
				t.Errorf("the page %s has%s:\n%s", name, found, html)
			}
		}
		for _, secret := range []string{back.Query().Get("state"), back.Query().Get("code")} {
			if len(secret) > 1 && strings.Contains(html, secret) {
				t.Errorf("the page %s shows what the browser brought", name)
			}
		}
	}
}

// junk returns what strangers bring to the callback, and how many storage
// operations may be spent on it.
func junk(r *rand.Rand) (data map[string]any, operations int) {
	text := func(n int, alphabet string) string {
		var b strings.Builder
		for range n {
			b.WriteByte(alphabet[r.IntN(len(alphabet))])
		}
		return b.String()
	}
	const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	state := text(42, base64url) + text(1, "AEIMQUYcgkosw048") // 256 bits
	switch r.IntN(10) {
	case 0:
		return map[string]any{"state": state, "code": text(300, base64url)}, 1 // looked up, and not found
	case 1:
		return map[string]any{"state": state, "error": "access_denied", "error_description": enginetest.NastyTexts[r.IntN(len(enginetest.NastyTexts))]}, 1
	case 2:
		return map[string]any{"state": text(43, "\x00\x01\xff<>\"'/+=%"), "code": "c"}, 0
	case 3:
		return map[string]any{"state": text(r.IntN(43), base64url), "code": "c"}, 0
	case 4:
		return map[string]any{"state": text(100_000, base64url), "code": "c"}, 0
	case 5:
		return map[string]any{"state": state, "code": text(1+4096+r.IntN(4096), base64url)}, 0
	case 6:
		return map[string]any{"state": []any{state, state}, "code": "c"}, 0
	case 7:
		nested := any(state)
		for range 300 {
			nested = map[string]any{"state": []any{nested}}
		}
		return map[string]any{"state": nested, "code": nested}, 0
	case 8:
		many := map[string]any{"state": state}
		for range 1000 {
			many[text(8, base64url)] = text(8, "\x00\xff")
		}
		return many, 0
	}
	return map[string]any{"state": state, "code": "c", "error": "e"}, 0
}

func TestJunkCallbacksChangeNothing(t *testing.T) {
	e, s, _, code := enginetest.Authorized(t)
	contents := func() string {
		var b bytes.Buffer
		keys, err := e.Storage.Keys(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			entry, err := e.Storage.Storage.Get(context.Background(), key)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s=%x\n", key, entry.Value)
		}
		return b.String()
	}
	before, calls := contents(), e.Facebook.Count("")
	e.Log.Reset()
	r := rand.New(rand.NewPCG(9700, 0))
	var first []byte
	n := 1_000
	if enginetest.Full {
		n = 10_000
	}
	for range n {
		data, operations := junk(r)
		e.Storage.Reset()
		resp, err := e.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "callback/facebook", Storage: e.Storage, Unauthenticated: true, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Storage.Operations(); len(got) != operations {
			t.Fatalf("%.200v costs %v", data, got)
		}
		html := resp.Data[logical.HTTPRawBody].([]byte)
		if first == nil {
			first = html
		}
		if resp.Data[logical.HTTPStatusCode] != 400 || !bytes.Equal(html, first) {
			t.Fatalf("%.200v is shown\n%s", data, html)
		}
	}
	if contents() != before {
		t.Error("storage is not what it was")
	}
	if n := e.Facebook.Count("") - calls; n != 0 {
		t.Errorf("the provider was called %d times", n)
	}
	if e.Log.Len() > 0 {
		t.Errorf("the log was written to: %.300s", e.Log.String())
	}
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}
