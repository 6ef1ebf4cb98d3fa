package paths_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestCallbackPageNamesTenantAndRef: in a session fixation the victim follows
// the attacker's link and is asked for the code. The page must not help with that.
func TestCallbackPageNamesTenantAndRef(t *testing.T) {
	for name, row := range map[string]struct{ app, want string }{
		"with the application's name":    {"Blumen & Söhne <GmbH>", "Your account at <bdi>Facebook</bdi> is about to be used by <bdi>Blumen &amp; Söhne &lt;GmbH&gt;</bdi> for the organization <bdi>org_evil</bdi>."},
		"without the application's name": {"", "Your account at <bdi>Facebook</bdi> is about to be used for the organization <bdi>org_evil</bdi>."},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": row.app, "require_installation": false})
			s := e.Begin("org_evil/facebook/users/mallory", nil)
			p := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"}))
			if !strings.Contains(p.HTML, row.want) {
				t.Errorf("the page does not say %q: %s", row.want, p.HTML)
			}
			before, hidden, found := strings.Cut(p.HTML, "<details>")
			if !found || strings.Contains(before, "<code>") || !strings.Contains(hidden, "<summary>I started this connection</summary>") ||
				!strings.Contains(hidden, "only where you yourself started") {
				t.Errorf("the code is not behind a disclosure: %s", p.HTML)
			}
			if !strings.Contains(before, "Did somebody send you a link to get here? Then close this page") {
				t.Errorf("the page does not warn: %s", before)
			}
			if strings.Contains(p.HTML, "<script") || strings.Contains(p.HTML, "<details open") {
				t.Errorf("the page has %s", p.HTML)
			}
		})
	}
}

// TestReturningCallbackPageDoesNotNameTheTenant, because the person confirms
// nothing there: the application does.
func TestReturningCallbackPageDoesNotNameTheTenant(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": "Bakery"})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
	p := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"}))
	if strings.Contains(p.HTML, "org_acme") || strings.Contains(p.HTML, "<details>") || !strings.Contains(p.HTML, "<bdi>Bakery</bdi>") || !strings.Contains(p.HTML, "<bdi>Facebook</bdi>") {
		t.Errorf("the page has %s", p.HTML)
	}
}

// TestCallbackPageNamesNothingToAStranger: an unknown state shows neither the
// application nor the provider.
func TestCallbackPageNamesNothingToAStranger(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": "Bakery"})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	if p := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})); !strings.Contains(p.HTML, "Bakery") {
		t.Fatalf("the session's own browser sees %s", p.HTML)
	}
	for _, query := range []string{"", "state=x&code=y", "state=" + enginetest.StateOf(t, s) + "&code=another", "state=" + enginetest.StateOf(t, s) + "&error=access_denied"} {
		if p := e.Callback(&url.URL{RawQuery: query}); p.Status != 400 || strings.Contains(p.HTML, "Bakery") || strings.Contains(p.HTML, "Facebook") || strings.Contains(p.HTML, "org_acme") {
			t.Errorf("%q shows %d\n%s", query, p.Status, p.HTML)
		}
	}
}

// TestCallbackPageIsInTheBrowsersLanguage holds the page to the header that Vault
// passes on from a tuned mount.
func TestCallbackPageIsInTheBrowsersLanguage(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for want, headers := range map[string]map[string][]string{
		`<html lang="en" dir="ltr">`: nil,
		`<html lang="ar" dir="rtl">`: {"Accept-Language": {"ar-EG,ar;q=0.9,en;q=0.5"}},
		`<html lang="de" dir="ltr">`: {"Accept-Language": {"fi", "de-AT;q=0.9"}},
	} {
		resp, err := e.HandleRequest(t.Context(), &logical.Request{
			Operation: logical.ReadOperation, Path: "callback/facebook", Headers: headers, Storage: e.Storage, Unauthenticated: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if html := string(resp.Data[logical.HTTPRawBody].([]byte)); !strings.Contains(html, want) {
			t.Errorf("with %v the page is not %s:\n%s", headers, want, html)
		}
		if resp.Headers["Vary"][0] != "Accept-Language" {
			t.Errorf("with %v the answer has the headers %v", headers, resp.Headers)
		}
	}
}

func TestAppNameKeepsAnyScript(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, name := range []string{"مخبز", "บริษัท", "👩‍👩‍👧 & Co.", strings.Repeat("ü", 64), ""} {
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": name})
		if got := e.Read("config/facebook")["app_name"]; got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	for _, name := range []string{strings.Repeat("ü", 65), "a\nb", "a\u202eb", "a\x00", "\xff"} {
		e.Refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", map[string]any{"app_name": name})
	}
}
