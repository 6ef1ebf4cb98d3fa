package flow_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// FuzzCallback brings anything to the callback, without a state that is known
// and with one. Whatever it is, the answer is a page that shows none of it, and
// without a state nothing is stored.
func FuzzCallback(f *testing.F) {
	for _, text := range append(enginetest.NastyTexts, "", "access_denied", "AQcode", strings.Repeat("A", 43)) {
		f.Add(false, text, text, "", "")
		f.Add(true, "", text, "", "")
		f.Add(true, "", "", text, text)
	}
	e := enginetest.New(f, authpipetest.Options{})
	f.Fuzz(func(t *testing.T, known bool, state, code, failure, description string) {
		e.T = t
		defer func() { e.T = f }()
		var s enginetest.Session
		if known {
			s = e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			state = u.Query().Get("state")
		}
		e.Storage.Reset()
		data := map[string]any{"state": state, "code": code, "error": failure, "error_description": description}
		resp, err := e.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "callback/facebook", Storage: e.Storage, Unauthenticated: true, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		status, html := resp.Data[logical.HTTPStatusCode], string(resp.Data[logical.HTTPRawBody].([]byte))
		if status != 200 && status != 400 {
			t.Errorf("status %v", status)
		}
		for _, brought := range []string{state, code, failure, description} {
			if len(brought) > 12 && strings.ContainsAny(brought, "<>&\"%_") && strings.Contains(html, brought) {
				t.Errorf("the page shows %q:\n%s", brought, html)
			}
		}
		if !known {
			if len(e.Storage.Operations()) > 1 || len(e.Storage.Writes()) > 0 || status != 400 {
				t.Errorf("a stranger is answered %v for %v", status, e.Storage.Operations())
			}
			return
		}
		read := e.Read(s.Path)
		// A browser may have appended a fragment to either.
		code, _, _ = strings.Cut(code, "#")
		failure, _, _ = strings.Cut(failure, "#")
		switch accepted := status == 200; {
		case accepted != (read["status"] == "authorized"):
			t.Errorf("the browser is told %v, and the session is %v", status, read["status"])
		case accepted && (code == "" || len(code) > 4096 || failure != ""):
			t.Errorf("the code %q beside the error %q is parked", code, failure)
		}
		if said, _ := read["error_description"].(string); strings.ContainsAny(said, "\r\n\x00\x1b") || strings.Contains(said, state) || len(said) > 1000 {
			t.Errorf("the session tells %q", said)
		}
	})
}

// FuzzReturnURL configures anything as a return URL. What is accepted is read
// in one way only, and a session returns there and nowhere else.
func FuzzReturnURL(f *testing.F) {
	for _, u := range []string{
		enginetest.ReturnURL, "https://app.example.com", "https://app.example.com:8443/a?b=c", "http://127.0.0.1:3000/x", "http://[::1]:80/", "http://localhost/", "https://app.example.com/a;b,c'(d)", "https://app.example.com/?x@evil.example",
		"https://app.example%E3%80%82com/", "https://app.example.com\\@evil.example/", "https://user@app.example.com/", "https:app.example.com", "//app.example.com", "https://a..b/", "https://a:/", "javascript:alert(1)",
	} {
		f.Add(u)
	}
	e := enginetest.New(f, authpipetest.Options{})
	f.Fuzz(func(t *testing.T, u string) {
		e.T = t
		defer func() { e.T = f }()
		if _, err := e.Do(logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": []string{u}}); err != nil {
			enginetest.CheckCode(t, err, "invalid_request", 400)
			return
		}
		stored := e.Read("config/facebook")["return_urls"].([]string)
		if len(stored) == 0 {
			return // blank is none
		}
		if len(stored) != 1 || stored[0] != strings.TrimSpace(u) {
			t.Fatalf("%q is stored as %q", u, stored)
		}
		u = stored[0]
		// As a browser cuts it, by hand: the host is what stands before the path.
		scheme, rest, _ := strings.Cut(u, "://")
		host := rest[:strings.IndexFunc(rest+"/", func(r rune) bool { return strings.ContainsRune("/?#\\", r) })]
		parsed, err := url.Parse(u)
		if err != nil || !strings.EqualFold(parsed.Scheme, scheme) || parsed.Host != host || strings.ContainsAny(host, "@%") || strings.ContainsAny(u, " \t\r\n\x00\"<>\\#") {
			t.Fatalf("%q is taken, with the host %q", u, host)
		}
		if !strings.EqualFold(scheme, "https") && !(strings.EqualFold(scheme, "http") && (parsed.Hostname() == "localhost" || parsed.Hostname() == "::1" || strings.HasPrefix(parsed.Hostname(), "127.") || strings.Contains(parsed.Hostname(), ":"))) {
			t.Fatalf("%q is taken", u)
		}
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": u})
		state, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		html := e.Callback(&url.URL{RawQuery: url.Values{"state": {state.Query().Get("state")}, "error": {"access_denied"}}.Encode()}).HTML
		if to := (enginetest.Page{HTML: html}).Returned(t); to.Host != parsed.Host || to.Path != parsed.Path || !to.Query().Has("session_id") {
			t.Errorf("from %q the browser is returned to %s", u, to)
		}
	})
}
