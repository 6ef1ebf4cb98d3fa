package facebook_test

import (
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/providertest"
)

func TestFacebookConforms(t *testing.T) {
	providertest.Run(t, func(t testing.TB, wire *providertest.Wire) providertest.Fixture {
		const base = "https://graph.example.com"
		clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
		fb := authpipetest.NewFacebook(authpipetest.Options{Now: clock.Now})
		fb.AddApp(authpipetest.App{ID: "123", Secret: appSecret, RedirectURIs: []string{redirectURI}})
		fb.AddApp(authpipetest.App{ID: "124", Secret: "secret-of-another-app", RedirectURIs: []string{redirectURI}})
		for _, account := range []string{"ada", "uma"} {
			fb.AddUser(authpipetest.User{ID: account})
		}
		wire.Connect(fb.Transport())
		p := facebook.New(wire, clock.Now)
		client := oauth.Client{ID: "123", Secret: oauth.NewSecret(appSecret), APIVersion: "v27.0", AuthorizationBase: base, APIBase: base}
		authorize := func(t testing.TB, u, account string) oauth.Secret {
			back, err := fb.Authorize(u, authpipetest.Consent{User: account})
			if err != nil || back.Query().Get("code") == "" {
				t.Fatalf("authorizing: %v, %v", back, err)
			}
			return oauth.NewSecret(back.Query().Get("code"))
		}
		return providertest.Fixture{
			Provider: p, Client: client, RedirectURI: redirectURI, Scopes: []string{"email"}, BoundScopes: []string{"openid"},
			CodeLife: 10 * time.Minute, Explains: true,
			Now: clock.Now, Advance: func(d time.Duration) { clock.Advance(d) }, Authorize: authorize,
			Account: func(account string) string { return fb.ScopedID("123", account) },
			End:     func(account string) { fb.RemoveApp("123", account) },
			Foreign: func(t testing.TB) oauth.Token {
				another := client
				another.ID, another.Secret = "124", oauth.NewSecret("secret-of-another-app")
				u, err := p.AuthorizationURL(another, provider.AuthorizationRequest{RedirectURI: redirectURI, Scopes: []string{"email"}})
				if err != nil {
					t.Fatal(err)
				}
				token, err := p.Exchange(t.Context(), another, provider.Grant{Code: authorize(t, u, "ada"), RedirectURI: redirectURI})
				if err != nil {
					t.Fatal(err)
				}
				return token
			},
		}
	})
}
