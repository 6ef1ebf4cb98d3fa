package providertest

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// Run holds the dialect of the factory's fixtures against the contract of package provider.
// Each test has a fixture of its own. Tests of abilities that the server does not have are
// left out.
func Run(t *testing.T, factory Factory) {
	can := factory(t, &Wire{})
	_, revokes := can.Provider.(provider.Revoker)
	_, batches := can.Provider.(provider.BatchInspector)
	for _, test := range []struct {
		name    string
		applies bool
		run     func(*testing.T, world)
	}{
		{"what is known without a call", true, testDescription},
		{"authorization URL", true, testAuthorizationURL},
		{"connecting", true, testConnecting},
		{"a code that is refused", true, testRefusedCode},
		{"PKCE", can.Provider.BindsPKCE(can.boundScopes()), testPKCE},
		{"refreshing", true, testRefreshing},
		{"rotation of refresh tokens", can.Rotates, testRotation},
		{"a dead grant", true, testDeadGrant},
		{"an expired token", !can.Lasting, testExpiredToken},
		{"a token from elsewhere", true, testForeignToken},
		{"trouble on the way", true, testTrouble},
		{"a context that ends", true, testContext},
		{"the time limit of a call", true, testDeadline},
		{"secrets in errors", true, testSecrets},
		{"a wrong client secret", true, testWrongSecret},
		{"the other client secret", true, testOtherSecret},
		{"verifying the client", true, testVerify},
		{"what is known by the last answer", true, testWitness},
		{"revocation", revokes, testRevocation},
		{"a batch", batches, testBatch},
		{"notifications", true, testNotifications},
		{"concurrent calls", true, testConcurrent},
	} {
		if !test.applies {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			wire := &Wire{}
			test.run(t, world{factory(t, wire), t, wire})
		})
	}
}

func testDescription(t *testing.T, w world) {
	p, d := w.Provider, w.Provider.Defaults()
	if p.DisplayName() == "" {
		t.Error("the provider has no name")
	}
	if d.CodeLife <= 0 || d.CodeLife > w.CodeLife {
		t.Errorf("codes are believed to live %v, and live %v", d.CodeLife, w.CodeLife)
	}
	if versions := p.Versions(); versions == nil && d.APIVersion != "" || versions != nil && !slices.Contains(versions, d.APIVersion) {
		t.Errorf("the default version is %q of %v", d.APIVersion, versions)
	}
	for _, scope := range slices.Concat(d.InstallationScopes, d.UserScopes) {
		if known := p.Scopes(); known != nil && !slices.Contains(known, scope) {
			t.Errorf("the default scope %s is not known", scope)
		}
		if rule := p.CheckScope(scope); rule != "" {
			t.Errorf("the default scope %s %s", scope, rule)
		}
	}
	if err := p.CheckClient(w.Client); err != nil {
		t.Errorf("the client is refused: %v", err)
	}
	if why := p.ExplainImport(&provider.Error{Class: provider.Transient}, oauth.NewSecret("token")); why.Malformed || why.Text != "" {
		t.Errorf("an outage is explained as %q", why.Text)
	}
	if n := w.wire.Requests(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func testAuthorizationURL(t *testing.T, w world) {
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636, appendix B
	text, err := w.Provider.AuthorizationURL(w.Client, provider.AuthorizationRequest{
		State: oauth.NewSecret(state), RedirectURI: w.RedirectURI, Scopes: w.Scopes, Verifier: oauth.NewSecret(verifier), Nonce: oauth.NewSecret("nonce-1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, w.Client.AuthorizationBase+"/") {
		t.Fatalf("%s: %v", text, err)
	}
	q := u.Query()
	for field, want := range map[string]string{
		"client_id": w.Client.ID, "redirect_uri": w.RedirectURI, "state": state, "response_type": "code",
		"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256",
	} {
		if got := q.Get(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	for _, scope := range w.Scopes {
		if !strings.Contains(q.Get("scope"), scope) {
			t.Errorf("scope is %q, without %s", q.Get("scope"), scope)
		}
	}
	if strings.Contains(text, verifier) || strings.Contains(text, url.QueryEscape(w.Client.Secret.Reveal())) {
		t.Error("the URL shows the verifier or the client's secret")
	}
	if n := w.wire.Requests(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func testConnecting(t *testing.T, w world) {
	for _, account := range []string{"ada", "uma"} {
		token := w.token(account)
		switch {
		case token.AccessToken.IsZero(), token.Type == "":
			t.Errorf("there is no token: %+v", token)
		case token.Account != w.Account(account):
			t.Errorf("the token is of account %q, want %q", token.Account, w.Account(account))
		case token.ExpiryUnknown || !token.Live(w.Now()):
			t.Errorf("a settled token ends at %v, and it is %v", token.ExpiresAt, w.Now())
		case token.IssuedAt.IsZero():
			t.Error("it is not known when the token was issued")
		case !slices.IsSorted(token.Scopes):
			t.Errorf("the scopes are not sorted: %v", token.Scopes)
		}
		for _, scope := range w.Scopes {
			if !slices.Contains(token.Scopes, scope) {
				t.Errorf("scope %s is missing among %v", scope, token.Scopes)
			}
		}
		if known, err := w.Provider.Inspect(t.Context(), w.Client, token); err != nil || known.AccessToken != token.AccessToken ||
			known.RefreshToken != token.RefreshToken || known.Account != token.Account {
			t.Errorf("inspecting it: %v, %v", known, err)
		}
	}
}

// refused checks the error of a code that the server refuses, of which causes are possible.
func (w world) refused(what string, err error, causes ...error) {
	w.t.Helper()
	var e *provider.Error
	switch {
	case !errors.As(err, &e):
		w.t.Errorf("%s: the error is %v", what, err)
	case e.Class == provider.Transient, e.Class == provider.Throttled, e.Class == provider.NeedsReauth, e.Class == provider.Revoked:
		w.t.Errorf("%s: the class is %s: %v", what, e.Class, err)
	case w.Explains && len(causes) > 0 && !slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(err, cause) }):
		w.t.Errorf("%s: the error is %v, want %v", what, err, causes)
	case !w.Explains && !errors.Is(err, provider.ErrCodeRefused):
		w.t.Errorf("%s: the error is %v, want %v", what, err, provider.ErrCodeRefused)
	}
}

func testRefusedCode(t *testing.T, w world) {
	grant := w.approved("ada", w.Scopes)
	if _, err := w.Provider.Exchange(t.Context(), w.Client, grant); err != nil {
		t.Fatal(err)
	}
	_, err := w.Provider.Exchange(t.Context(), w.Client, grant)
	w.refused("a code that was used", err, provider.ErrCodeUsed)

	grant = w.approved("uma", w.Scopes)
	elsewhere := grant
	elsewhere.RedirectURI += "/elsewhere"
	_, err = w.Provider.Exchange(t.Context(), w.Client, elsewhere)
	w.refused("another redirect URI", err, provider.ErrRedirectMismatch)

	grant = w.approved("uma", w.Scopes)
	w.Advance(w.CodeLife + time.Second)
	_, err = w.Provider.Exchange(t.Context(), w.Client, grant)
	w.refused("an old code", err, provider.ErrCodeExpired)

	grant.Code = oauth.NewSecret("a-code-that-was-never-issued")
	_, err = w.Provider.Exchange(t.Context(), w.Client, grant)
	w.refused("a made-up code", err)
}

func testPKCE(t *testing.T, w world) {
	scopes := w.boundScopes()
	if _, err := w.Provider.Exchange(t.Context(), w.Client, w.approved("ada", scopes)); err != nil {
		t.Errorf("with the verifier: %v", err)
	}
	grant := w.approved("ada", scopes)
	grant.Verifier = oauth.NewSecret(strings.Repeat("v", 43))
	if _, err := w.Provider.Exchange(t.Context(), w.Client, grant); err == nil || provider.ClassOf(err) == provider.Transient {
		t.Errorf("with another verifier: %v", err)
	}
}
