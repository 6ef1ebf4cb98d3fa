package backend_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestCallbackPageNamesWhatThePersonJoins: in a session fixation the victim follows
// the attacker's link and is asked for the code. The page must not help with that.
func TestCallbackPageNamesWhatThePersonJoins(t *testing.T) {
	for name, row := range map[string]struct{ app, want string }{
		"with the application's name":    {"Blumen & Söhne <GmbH>", "Your account at <bdi>Facebook</bdi> is about to be used by <bdi>Blumen &amp; Söhne &lt;GmbH&gt;</bdi> for the organization <bdi>org_evil</bdi>."},
		"without the application's name": {"", "Your account at <bdi>Facebook</bdi> is about to be used for the organization <bdi>org_evil</bdi>."},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": row.app, "require_installation": false})
			s := e.begin("org_evil/facebook/users/mallory", nil)
			p := e.callback(e.consent(s, authpipetest.Consent{User: "uma"}))
			if !strings.Contains(p.html, row.want) {
				t.Errorf("the page does not say %q: %s", row.want, p.html)
			}
			before, hidden, found := strings.Cut(p.html, "<details>")
			if !found || strings.Contains(before, "<code>") || !strings.Contains(hidden, "<summary>I started this connection</summary>") ||
				!strings.Contains(hidden, "only where you yourself started") {
				t.Errorf("the code is not behind a disclosure: %s", p.html)
			}
			if !strings.Contains(before, "Did somebody send you a link to get here? Then close this page") {
				t.Errorf("the page does not warn: %s", before)
			}
			if strings.Contains(p.html, "<script") || strings.Contains(p.html, "<details open") {
				t.Errorf("the page has %s", p.html)
			}
		})
	}
}

// TestReturningCallbackPageDoesNotNameTheTenant, because the person confirms
// nothing there: the application does.
func TestReturningCallbackPageDoesNotNameTheTenant(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": "Bakery"})
	s := e.begin(installation, map[string]any{"actor": "admin", "return_url": returnURL})
	p := e.callback(e.consent(s, authpipetest.Consent{User: "ada"}))
	if strings.Contains(p.html, "org_acme") || strings.Contains(p.html, "<details>") || !strings.Contains(p.html, "<bdi>Bakery</bdi>") || !strings.Contains(p.html, "<bdi>Facebook</bdi>") {
		t.Errorf("the page has %s", p.html)
	}
}

// TestCallbackPageNamesNothingToAStranger: an unknown state shows neither the
// application nor the provider.
func TestCallbackPageNamesNothingToAStranger(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": "Bakery"})
	s := e.begin(installation, map[string]any{"actor": "admin"})
	if p := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})); !strings.Contains(p.html, "Bakery") {
		t.Fatalf("the session's own browser sees %s", p.html)
	}
	for _, query := range []string{"", "state=x&code=y", "state=" + stateOf(t, s) + "&code=another", "state=" + stateOf(t, s) + "&error=access_denied"} {
		if p := e.callback(&url.URL{RawQuery: query}); p.status != 400 || strings.Contains(p.html, "Bakery") || strings.Contains(p.html, "Facebook") || strings.Contains(p.html, "org_acme") {
			t.Errorf("%q shows %d\n%s", query, p.status, p.html)
		}
	}
}

// TestCallbackPageIsInTheBrowsersLanguage holds the page to the header that Vault
// passes on from a tuned mount.
func TestCallbackPageIsInTheBrowsersLanguage(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for want, headers := range map[string]map[string][]string{
		`<html lang="en" dir="ltr">`: nil,
		`<html lang="ar" dir="rtl">`: {"Accept-Language": {"ar-EG,ar;q=0.9,en;q=0.5"}},
		`<html lang="de" dir="ltr">`: {"Accept-Language": {"fi", "de-AT;q=0.9"}},
	} {
		resp, err := e.HandleRequest(t.Context(), &logical.Request{
			Operation: logical.ReadOperation, Path: "callback/facebook", Headers: headers, Storage: e.storage, Unauthenticated: true,
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

func TestAppNameOfAnyScriptSurvives(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for _, name := range []string{"مخبز", "บริษัท", "👩‍👩‍👧 & Co.", strings.Repeat("ü", 64), ""} {
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": name})
		if got := e.read("config/facebook")["app_name"]; got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	for _, name := range []string{strings.Repeat("ü", 65), "a\nb", "a\u202eb", "a\x00", "\xff"} {
		e.refused("invalid_request", 400, logical.UpdateOperation, "config/facebook", map[string]any{"app_name": name})
	}
}
