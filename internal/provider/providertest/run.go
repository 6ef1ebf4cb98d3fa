package providertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
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

func testRefreshing(t *testing.T, w world) {
	token := w.token("ada")
	for range 3 {
		w.ripen(token)
		fresh, err := w.Provider.Refresh(t.Context(), w.Client, token)
		if err != nil {
			t.Fatal(err)
		}
		if !fresh.Live(w.Now()) || fresh.ExpiryUnknown || fresh.Account != token.Account || fresh.Refreshable() != token.Refreshable() {
			t.Errorf("the fresh token is %+v, of %+v", fresh, token)
		}
		for _, scope := range w.Scopes {
			if !slices.Contains(fresh.Scopes, scope) {
				t.Errorf("scope %s is missing among %v", scope, fresh.Scopes)
			}
		}
		if _, err := w.Provider.Inspect(t.Context(), w.Client, fresh); err != nil {
			t.Errorf("inspecting the fresh token: %v", err)
		}
		token = fresh
	}
}

func testRotation(t *testing.T, w world) {
	token := w.token("ada")
	fresh, err := w.Provider.Refresh(t.Context(), w.Client, token)
	if err != nil || fresh.RefreshToken == token.RefreshToken {
		t.Fatalf("the refresh token stays (%v)", err)
	}

	w.ripen(fresh)

	// The answer is lost, and the old refresh token is all there is.
	w.wire.Strike(lost)
	again, err := w.Provider.Refresh(t.Context(), w.Client, fresh)
	if err == nil || provider.ClassOf(err) != provider.Transient {
		t.Fatalf("with lost answers: %v, %v", again, err)
	}
	w.wire.Strike(nil)
	if again, err = w.Provider.Refresh(t.Context(), w.Client, fresh); err != nil {
		t.Fatalf("after a lost answer: %v", err)
	}

	w.ripen(again)

	// Once the server has answered, the token is not lost to a later failure.
	var once sync.Once
	w.wire.Strike(func(r *http.Request, server http.RoundTripper) (resp *http.Response, err error) {
		err = context.DeadlineExceeded
		once.Do(func() { resp, err = server.RoundTrip(r) })
		return resp, err
	})
	if _, err = w.Provider.Refresh(t.Context(), w.Client, again); err != nil {
		t.Errorf("a token that was received is lost: %v", err)
	}
}

func dead(err error) bool {
	class := provider.ClassOf(err)
	return err != nil && (class == provider.NeedsReauth || class == provider.Revoked)
}

func testDeadGrant(t *testing.T, w world) {
	ada, uma := w.token("ada"), w.token("uma")
	w.End("ada")
	for op, call := range map[string]func(context.Context, oauth.Client, oauth.Token) (oauth.Token, error){
		"refresh": w.Provider.Refresh, "inspect": w.Provider.Inspect, "settle": w.Provider.Settle,
	} {
		_, err := call(t.Context(), w.Client, ada)
		var e *provider.Error
		switch {
		case !dead(err), !errors.As(err, &e):
			t.Errorf("%s of a dead grant: %v", op, err)
		case e.Owner() == provider.ConcernsApp, e.Help() != provider.RemedyPerson:
			t.Errorf("%s of a dead grant concerns %s, and %s helps", op, e.Owner(), e.Help())
		}
		if _, err := call(t.Context(), w.Client, uma); err != nil {
			t.Errorf("%s of another's: %v", op, err)
		}
	}
}

func testExpiredToken(t *testing.T, w world) {
	token := w.token("ada")
	if token.ExpiresAt.IsZero() {
		t.Fatal("the server's tokens do not expire: say so in the fixture")
	}
	w.Advance(token.ExpiresAt.Sub(w.Now()) + time.Minute)
	known, err := w.Provider.Inspect(t.Context(), w.Client, token)
	if !token.Refreshable() {
		if _, refreshErr := w.Provider.Refresh(t.Context(), w.Client, token); !dead(err) || !dead(refreshErr) {
			t.Errorf("inspecting and refreshing an expired token: %v, %v", err, refreshErr)
		}
		return
	}
	if err != nil || known.Live(w.Now()) || known.RefreshToken != token.RefreshToken {
		t.Fatalf("a token whose refresh token lives: %+v, %v", known, err)
	}
	if fresh, err := w.Provider.Refresh(t.Context(), w.Client, known); err != nil || !fresh.Live(w.Now()) {
		t.Errorf("refreshing it: %+v, %v", fresh, err)
	}
}

func testForeignToken(t *testing.T, w world) {
	if _, err := w.Provider.Settle(t.Context(), w.Client, w.Foreign(t)); err == nil || provider.ClassOf(err) != provider.Caller {
		t.Errorf("another client's token: %v", err)
	}
	const madeUp = "a-token-that-was-never-issued-0123456789"
	_, err := w.Provider.Settle(t.Context(), w.Client, oauth.Token{AccessToken: oauth.NewSecret(madeUp), Type: "bearer", ExpiryUnknown: true})
	var e *provider.Error
	if !errors.As(err, &e) || e.Class == provider.Transient || e.Class == provider.Misconfigured {
		t.Fatalf("a made-up token: %v", err)
	}
	if why := w.Provider.ExplainImport(e, oauth.NewSecret(madeUp)); strings.Contains(why.Text, madeUp) {
		t.Errorf("the explanation shows the token: %s", why.Text)
	}
}

// A call is one that a dialect makes of its server.
type call struct {
	name string
	make func(context.Context, oauth.Client) error
	// statusOnly says that the call wants no more of an answer than its status.
	statusOnly bool
	// secrets are those of the call, besides the client's.
	secrets []oauth.Secret
}

// calls are every call that the dialect makes, each with what it needs.
func (w world) calls() []call {
	w.t.Helper()
	p, token := w.Provider, w.token("uma")
	grant := w.approved("ada", w.Scopes)
	of := []oauth.Secret{token.AccessToken, token.RefreshToken}
	all := []call{
		{"exchange", func(ctx context.Context, c oauth.Client) error { _, err := p.Exchange(ctx, c, grant); return err }, false, []oauth.Secret{grant.Code, grant.Verifier}},
		{"settle", func(ctx context.Context, c oauth.Client) error { _, err := p.Settle(ctx, c, token); return err }, false, of},
		{"inspect", func(ctx context.Context, c oauth.Client) error { _, err := p.Inspect(ctx, c, token); return err }, false, of},
		{"probe", p.Probe, false, nil},
	}
	if batch, ok := p.(provider.BatchInspector); ok {
		all = append(all, call{"inspect all", func(ctx context.Context, c oauth.Client) error {
			answers := batch.InspectAll(ctx, c, []oauth.Token{token, token})
			return errors.Join(answers[0].Err, answers[1].Err)
		}, false, of})
	}
	if pager, ok := p.(provider.Pager); ok {
		all = append(all, call{"pages", func(ctx context.Context, c oauth.Client) error { _, err := pager.Pages(ctx, c, token); return err }, false, of})
	}
	all = append(all, call{"refresh", func(ctx context.Context, c oauth.Client) error { _, err := p.Refresh(ctx, c, token); return err }, false, of})
	if revoker, ok := p.(provider.Revoker); ok { // the last
		all = append(all, call{"revoke", func(ctx context.Context, c oauth.Client) error { return revoker.Revoke(ctx, c, token) }, true, of})
	}
	return all
}

func testTrouble(t *testing.T, w world) {
	ofBodies, others := troubles()
	for _, c := range w.calls() {
		strike := func(name string, fault Fault) {
			w.wire.Strike(fault)
			defer w.wire.Strike(nil)
			err := c.make(t.Context(), w.Client)
			var e *provider.Error
			if !errors.As(err, &e) || e.Class != provider.Transient {
				t.Errorf("%s, %s: the class is %q: %v", c.name, name, provider.ClassOf(err), err)
			}
			w.checkSecrets(c.name+", "+name, err, c.secrets)
		}
		for name, fault := range others {
			strike(name, fault)
		}
		if !c.statusOnly {
			for name, fault := range ofBodies {
				strike(name, fault)
			}
		}
		if err := c.make(t.Context(), w.Client); err != nil { // nothing of it has been spent
			t.Errorf("%s, after the trouble: %v", c.name, err)
		}
	}
}

func testContext(t *testing.T, w world) {
	for _, c := range w.calls() {
		ctx, cancel := context.WithCancel(t.Context())
		w.wire.Strike(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
			cancel() // while the server is silent
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		if err := c.make(ctx, w.Client); err == nil || provider.ClassOf(err) != provider.Transient {
			t.Errorf("%s: the error is %v", c.name, err)
		}
		cancel()
	}
}

func testDeadline(t *testing.T, w world) {
	end := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), end)
	defer cancel()
	for _, c := range w.calls() {
		before := w.wire.Requests()
		if err := c.make(ctx, w.Client); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, request := range w.wire.sent()[before:] {
			if !request.deadline.Equal(end) {
				t.Errorf("%s: a request may take until %v, and the call until %v", c.name, request.deadline, end)
			}
		}
		if w.wire.Requests() == before {
			t.Errorf("%s sends no request", c.name)
		}
	}
}

// checkSecrets checks that err, however it is printed, shows none of secrets or the client's.
func (w world) checkSecrets(what string, err error, secrets []oauth.Secret) {
	w.t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		text += fmt.Sprintf(" %v %#v", e, e)
	}
	for _, secret := range append([]oauth.Secret{w.Client.Secret, w.Client.OtherSecret}, secrets...) {
		plain := secret.Reveal()
		if plain != "" && (strings.Contains(text, plain) || strings.Contains(text, url.QueryEscape(plain)) || strings.Contains(text, url.PathEscape(plain))) {
			w.t.Errorf("%s: the error shows a secret: %s", what, text)
		}
	}
}

func testSecrets(t *testing.T, w world) {
	for name, format := range map[string]string{
		"an error of RFC 6749": `{"error":"invalid_request","error_description":%q}`,
		"an error's code":      `{"error":%q}`,
		"an error object":      `{"error":{"message":%q,"type":%[1]q,"code":100,"fbtrace_id":%[1]q}}`,
		"a page":               `<html>%s</html>`,
	} {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusInternalServerError} {
			w.wire.Strike(nil)
			for _, c := range w.calls() {
				w.wire.Strike(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
					return answered(status, "application/json", fmt.Sprintf(format, request(r)))(r, server)
				})
				w.checkSecrets(fmt.Sprintf("%s, %s with status %d", c.name, name, status), c.make(t.Context(), w.Client), c.secrets)
			}
		}
	}
}

// asksClient reports whether the call depends on the client's secret at every server.
func (c call) asksClient() bool { return c.name != "pages" && c.name != "settle" }

func testWrongSecret(t *testing.T, w world) {
	calls := w.calls()
	wrong := w.Client
	wrong.Secret = oauth.NewSecret("a-secret-that-was-never-the-clients")
	for _, c := range calls {
		if !c.asksClient() {
			continue
		}
		err := c.make(t.Context(), wrong)
		if err == nil || provider.ClassOf(err) != provider.Misconfigured {
			t.Errorf("%s: the class is %s: %v", c.name, provider.ClassOf(err), err)
		}
		w.checkSecrets(c.name, err, append(c.secrets, wrong.Secret))
	}
	for _, c := range calls {
		if err := c.make(t.Context(), w.Client); err != nil {
			t.Errorf("%s, with the right one: %v", c.name, err)
		}
	}
}

func testOtherSecret(t *testing.T, w world) {
	both, accepted := w.Client, oauth.Secret{}
	both.Secret, both.OtherSecret = oauth.NewSecret("a-secret-that-was-reset"), w.Client.Secret
	both.Accepted = func(_ context.Context, secret oauth.Secret) { accepted = secret }
	for _, c := range w.calls() {
		if !c.asksClient() {
			continue
		}
		accepted = oauth.Secret{}
		if err := c.make(t.Context(), both); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if accepted != w.Client.Secret {
			t.Errorf("%s does not say which secret was accepted", c.name)
		}
	}
}

func testVerify(t *testing.T, w world) {
	found := func(c oauth.Client, check string) (f provider.Finding, ok bool) {
		findings := w.Provider.Verify(t.Context(), c)
		i := slices.IndexFunc(findings, func(f provider.Finding) bool { return f.Check == check })
		if i < 0 {
			return f, false
		}
		return findings[i], true
	}
	if f, ok := found(w.Client, "client_secret"); !ok || !f.OK || f.Detail == "" {
		t.Errorf("the right secret: %+v, %v", f, ok)
	}
	wrong := w.Client
	wrong.Secret = oauth.NewSecret("a-secret-that-was-never-the-clients")
	if f, ok := found(wrong, "client_secret"); !ok || f.OK || strings.Contains(f.Detail, wrong.Secret.Reveal()) {
		t.Errorf("a wrong secret: %+v, %v", f, ok)
	}
	wrong.OtherSecret = w.Client.Secret
	accepted := oauth.Secret{}
	wrong.Accepted = func(_ context.Context, secret oauth.Secret) { accepted = secret }
	if f, ok := found(wrong, "former_client_secret"); !ok || !f.OK || accepted != w.Client.Secret {
		t.Errorf("the former secret: %+v, %v", f, ok)
	}
	if v, ok := w.Provider.(provider.RedirectVerifier); ok {
		uris := []string{w.RedirectURI, w.RedirectURI + "/elsewhere", w.RedirectURI}
		findings := v.VerifyRedirects(t.Context(), w.Client, uris)
		if len(findings) != len(uris) {
			t.Fatalf("%d findings of %d redirect URIs", len(findings), len(uris))
		}
		for i, want := range []bool{true, false, true} {
			if findings[i].OK != want || !strings.Contains(findings[i].Detail, uris[i]) {
				t.Errorf("of %s: %+v", uris[i], findings[i])
			}
		}
	}
}

func testWitness(t *testing.T, w world) {
	if _, known := w.Provider.Skew(); known || w.Provider.Served() != "" {
		t.Error("something is known of a server that has not answered")
	}
	if err := w.Provider.Probe(t.Context(), w.Client); err != nil {
		t.Fatal(err)
	}
	if ahead, known := w.Provider.Skew(); known && ahead.Abs() > time.Second {
		t.Errorf("our clock is taken to be %v ahead", ahead)
	}
	if served := w.Provider.Served(); served != "" && served != w.Client.APIVersion {
		t.Errorf("version %s answered, and %s was asked", served, w.Client.APIVersion)
	}
}

func testRevocation(t *testing.T, w world) {
	revoker := w.Provider.(provider.Revoker)
	token, other, uma := w.token("ada"), w.token("ada"), w.token("uma")
	for _, when := range []string{"a living grant", "a grant that is gone"} {
		if err := revoker.Revoke(t.Context(), w.Client, token); err != nil {
			t.Errorf("revoking %s: %v", when, err)
		}
	}
	if _, err := w.Provider.Inspect(t.Context(), w.Client, token); !dead(err) {
		t.Errorf("the token lives on: %v", err)
	}
	if _, err := w.Provider.Refresh(t.Context(), w.Client, token); !dead(err) {
		t.Errorf("it can be refreshed: %v", err)
	}
	if _, err := w.Provider.Inspect(t.Context(), w.Client, other); dead(err) == revoker.RevokesAlone(token) {
		t.Errorf("RevokesAlone is %v, and the account's other grant: %v", revoker.RevokesAlone(token), err)
	}
	if _, err := w.Provider.Inspect(t.Context(), w.Client, uma); err != nil {
		t.Errorf("another account's grant: %v", err)
	}
	w.End("uma")
	if err := revoker.Revoke(t.Context(), w.Client, uma); err != nil {
		t.Errorf("revoking a grant that its owner has ended: %v", err)
	}
}

func testBatch(t *testing.T, w world) {
	batch := w.Provider.(provider.BatchInspector)
	ada, uma := w.token("ada"), w.token("uma")
	madeUp := ada
	madeUp.AccessToken = oauth.NewSecret("a-token-that-was-never-issued-0123456789")
	tokens := []oauth.Token{uma, madeUp, ada, uma, ada}
	if len(tokens) > batch.BatchLimit() {
		t.Fatalf("a batch has room for %d", batch.BatchLimit())
	}
	answers := batch.InspectAll(t.Context(), w.Client, tokens)
	if len(answers) != len(tokens) {
		t.Fatalf("%d answers of %d tokens", len(answers), len(tokens))
	}
	for i, token := range tokens {
		if token.AccessToken == madeUp.AccessToken {
			if answers[i].Err == nil || provider.ClassOf(answers[i].Err) == provider.Transient {
				t.Errorf("answer %d, of a token that was never issued: %v", i, answers[i].Err)
			}
		} else if answers[i].Err != nil || answers[i].Token.Account != token.Account || answers[i].Token.AccessToken != token.AccessToken {
			t.Errorf("answer %d: %v, %v", i, answers[i].Token, answers[i].Err)
		}
	}
	w.wire.Strike(unanswered(context.DeadlineExceeded))
	for i, answer := range batch.InspectAll(t.Context(), w.Client, tokens) {
		if answer.Err == nil || provider.ClassOf(answer.Err) != provider.Transient {
			t.Errorf("answer %d of a batch that was not answered: %v", i, answer.Err)
		}
	}
	if len(batch.InspectAll(t.Context(), w.Client, nil)) != 0 {
		t.Error("no tokens have answers")
	}
}

func testNotifications(t *testing.T, w world) {
	if opener, ok := w.Provider.(provider.SignedRequests); ok {
		for _, signed := range []string{"", ".", "a.b", "a.e30", strings.Repeat("a", 1<<20)} {
			if _, err := opener.OpenSignedRequest(w.Client, signed); !errors.Is(err, provider.ErrUnverified) {
				t.Errorf("a forged request: %v", err)
			}
		}
	}
	if opener, ok := w.Provider.(provider.Notifier); ok {
		for _, signature := range []string{"", "sha256=", "sha256=" + strings.Repeat("0", 64)} {
			if _, err := opener.OpenDelivery(w.Client, []byte(`{}`), signature); !errors.Is(err, provider.ErrUnverified) {
				t.Errorf("a forged delivery: %v", err)
			}
		}
	}
	if n := w.wire.Requests(); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// testConcurrent is for the race detector.
func testConcurrent(t *testing.T, w world) {
	tokens := []oauth.Token{w.token("ada"), w.token("uma"), w.token("ada"), w.token("uma")}
	errs := make([]error, len(tokens))
	var group sync.WaitGroup
	for i, token := range tokens {
		group.Go(func() {
			fresh, err := w.Provider.Refresh(t.Context(), w.Client, token)
			if err == nil {
				_, err = w.Provider.Inspect(t.Context(), w.Client, fresh)
			}
			errs[i] = errors.Join(err, w.Provider.Probe(t.Context(), w.Client))
			w.Provider.Skew()
			w.Provider.Served()
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
