package paths_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestCallbackPageHeadersAreSafe(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
	back := e.Consent(s, authpipetest.Consent{User: "ada", Cancel: true})
	q := back.Query()
	q.Set("error_description", `"><script>alert(1)</script>`)
	q.Set("error_reason", "x\r\nSet-Cookie: a=b")
	resp, err := e.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.ReadOperation, Path: "callback/facebook", Storage: e.Storage, Unauthenticated: true,
		Data: map[string]any{"state": q.Get("state"), "error": q.Get("error"), "error_description": q.Get("error_description"), "error_reason": q.Get("error_reason"), "unheard_of": "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	html := string(resp.Data[logical.HTTPRawBody].([]byte))
	for _, bad := range []string{"script", "alert", "Set-Cookie", "access_denied</", q.Get("state")} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %q:\n%s", bad, html)
		}
	}
	_, style, _ := strings.Cut(html, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	policy := strings.ReplaceAll(html, "&#43;", "+")
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(strings.ReplaceAll(policy, "&#39;", "'"), want) {
		t.Errorf("the page's policy does not allow its own style %s:\n%s", want, html)
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
		if got := resp.Headers[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %v", name, got)
		}
	}
	if got := e.Read(s.Path)["error_description"].(string); strings.ContainsAny(got, "\r\n") || !strings.Contains(got, "access_denied") {
		t.Errorf("the session tells %q", got)
	}
	u, err := url.Parse(enginetest.Page{HTML: html}.Returned(t).String())
	if err != nil || u.Host != "app.example.com" || u.Query().Get("error") != "access_denied" {
		t.Errorf("the browser is returned to %v, %v", u, err)
	}
}

func TestCallbackPageIsNotWrapped(t *testing.T) {
	e, _, back, _ := enginetest.Authorized(t)
	_, err := e.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.ReadOperation, Path: "callback/facebook", Storage: e.Storage, Unauthenticated: true,
		Data: map[string]any{"state": back.Query().Get("state"), "code": "c"}, WrapInfo: &logical.RequestWrapInfo{TTL: time.Hour},
	})
	enginetest.CheckCode(t, err, "invalid_request", 400)
}

func TestCallbackAlwaysAnswersWithAPage(t *testing.T) {
	e, _, back, _ := enginetest.Authorized(t)
	state := back.Query().Get("state")
	for name, data := range map[string]map[string]any{
		"a parameter twice":       {"state": []any{state, state}, "code": "c"},
		"a number":                {"state": state, "code": 1.0},
		"an object":               {"state": state, "code": map[string]any{"a": "b"}},
		"what stands in the path": {"provider": "google", "state": state, "code": "c"},
		"nothing":                 {},
	} {
		resp, err := e.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "callback/facebook", Storage: e.Storage, Unauthenticated: true, Data: data})
		if err != nil || resp.IsError() || resp.Data[logical.HTTPStatusCode] != 400 {
			t.Errorf("%s is answered %v, %v", name, resp, err)
		}
	}
}
