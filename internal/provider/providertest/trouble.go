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
		try := func(name string, fault Fault) {
			w.wire.Inject(fault)
			defer w.wire.Inject(nil)
			err := c.make(t.Context(), w.Client)
			var e *provider.Error
			if !errors.As(err, &e) || e.Class != provider.Transient {
				t.Errorf("%s, %s: the class is %q: %v", c.name, name, provider.ClassOf(err), err)
			}
			w.checkSecrets(c.name+", "+name, err, c.secrets)
		}
		for name, fault := range others {
			try(name, fault)
		}
		if !c.statusOnly {
			for name, fault := range ofBodies {
				try(name, fault)
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
		w.wire.Inject(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
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
			w.wire.Inject(nil)
			for _, c := range w.calls() {
				w.wire.Inject(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
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
