package backend_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestCallbackPageNamesWhatThePersonJoins: in a session fixation the victim follows
// the attacker's link and is asked for the code. The page must not help with that.
func TestCallbackPageNamesWhatThePersonJoins(t *testing.T) {
	for name, row := range map[string]struct{ app, want string }{
		"with the application's name":    {"Blumen & Söhne <GmbH>", "Your account at Facebook is about to be used by Blumen &amp; Söhne &lt;GmbH&gt; for the organization “org_evil”."},
		"without the application's name": {"", "Your account at Facebook is about to be used for the organization “org_evil”."},
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

// TestCallbackPageOfAReturningBrowserNamesNothing: it is shown for a moment, and to
// no stranger.
func TestCallbackPageOfAReturningBrowserNamesNothing(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"app_name": "Bakery"})
	s := e.begin(installation, map[string]any{"actor": "admin", "return_url": returnURL})
	p := e.callback(e.consent(s, authpipetest.Consent{User: "ada"}))
	if strings.Contains(p.html, "org_acme") || strings.Contains(p.html, "Bakery") || strings.Contains(p.html, "<details>") {
		t.Errorf("the page has %s", p.html)
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
