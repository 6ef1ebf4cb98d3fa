package facebook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
)

const redirectURI = "https://e/cb"

// appSecret is too long to be met by chance in a token or a code.
const appSecret = "canary-of-the-app"

// A world is a Facebook and the provider that speaks to it.
type world struct {
	*facebook.Provider
	fb     *authpipetest.Facebook
	clock  *authpipetest.Clock
	client oauth.Client
}

func newWorld(t *testing.T, o authpipetest.Options) world {
	t.Helper()
	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	o.Now = clock.Now
	fb := authpipetest.NewFacebook(o)
	fb.AddApp(authpipetest.App{ID: "123", Secret: appSecret, RedirectURIs: []string{redirectURI}})
	fb.AddUser(authpipetest.User{ID: "ada"})
	base := fb.Start(t)
	return world{
		facebook.New(http.DefaultTransport, clock.Now), fb, clock,
		oauth.Client{ID: "123", Secret: oauth.NewSecret(appSecret), APIVersion: "v27.0", AuthorizationBase: base, APIBase: base},
	}
}

func (w world) code(t *testing.T, r provider.AuthorizationRequest) oauth.Secret {
	t.Helper()
	r.State, r.RedirectURI = oauth.NewSecret("state"), redirectURI
	u, err := w.AuthorizationURL(w.client, r)
	if err != nil {
		t.Fatal(err)
	}
	back, err := w.fb.Authorize(u, authpipetest.Consent{User: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return oauth.NewSecret(back.Query().Get("code"))
}

func (w world) token(t *testing.T) oauth.Token {
	t.Helper()
	token, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: w.code(t, provider.AuthorizationRequest{Scopes: []string{"email"}}), RedirectURI: redirectURI})
	if err == nil {
		token, err = w.Settle(t.Context(), w.client, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTheAuthorizationURL(t *testing.T) {
	p := facebook.New(nil, time.Now)
	u, err := p.AuthorizationURL(oauth.Client{ID: "123", APIVersion: "v27.0", AuthorizationBase: "https://www.facebook.com"}, provider.AuthorizationRequest{
		State: oauth.NewSecret("s"), RedirectURI: "https://e/cb?x=1", Scopes: []string{"email", "openid"}, Reauthorize: true,
		// The verifier and challenge of RFC 7636, appendix B.
		Verifier: oauth.NewSecret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
	})
	want := "https://www.facebook.com/v27.0/dialog/oauth?auth_type=rerequest%2Creauthorize&client_id=123&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256" +
		"&redirect_uri=https%3A%2F%2Fe%2Fcb%3Fx%3D1&response_type=code&scope=email%2Copenid&state=s"
	if err != nil || u != want {
		t.Errorf("%s, %v\nwant %s", u, err, want)
	}
}

func TestPKCEIsBoundWithOpenID(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	if w.BindsPKCE([]string{"email"}) || !w.BindsPKCE([]string{"email", "openid"}) {
		t.Error("PKCE is believed to be bound where it is not")
	}
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	code := w.code(t, provider.AuthorizationRequest{Scopes: []string{"openid"}, Verifier: oauth.NewSecret(verifier)})
	if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI, Verifier: oauth.NewSecret(verifier)}); err != nil {
		t.Errorf("exchanging with the verifier: %v", err)
	}
	for name, verifier := range map[string]oauth.Secret{"that Facebook dropped": oauth.NewSecret(verifier), "that is another's": oauth.NewSecret("another-verifier-that-was-never-sent-by-us")} {
		code = w.code(t, provider.AuthorizationRequest{Scopes: []string{"email"}, Verifier: verifier})
		if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI, Verifier: verifier}); err != nil {
			t.Errorf("a verifier %s: %v", name, err)
		}
	}
}

func TestAGoneGrantIsRevoked(t *testing.T) {
	w := newWorld(t, authpipetest.Options{RevokeAnswersTrue: true})
	token := w.token(t)
	w.fb.SetAppSecret("123", "another")
	if err := w.Revoke(t.Context(), w.client, token); provider.ClassOf(err) != provider.Misconfigured || err == nil {
		t.Errorf("revoking with a wrong secret: %v", err)
	}
	w.fb.SetAppSecret("123", appSecret)
	if err := w.Revoke(t.Context(), w.client, token); err != nil {
		t.Fatal(err)
	}
	if known, _ := w.fb.Inspect(token.AccessToken.Reveal()); known.Valid {
		t.Error("the token still works")
	}
	if _, err := w.Refresh(t.Context(), w.client, token); provider.ClassOf(err) != provider.Revoked {
		t.Errorf("refreshing after that: %v", err)
	}
	if err := w.Revoke(t.Context(), w.client, token); err != nil {
		t.Errorf("revoking again: %v", err)
	}
}
