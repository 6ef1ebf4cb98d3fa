package providertest_test

import (
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/providertest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/providertest/plain"
)

const redirectURI = "https://e/cb"

// TestPlainDialectConforms runs the suite on a server that does no more than the RFCs say.
func TestPlainDialectConforms(t *testing.T) {
	for name, o := range map[string]plain.Options{
		"rotating refresh tokens":        {Grace: 30 * time.Second},
		"the same token, with more life": {SameToken: true},
		"a refresh not before its time":  {Grace: 30 * time.Second, NotBefore: 10 * time.Minute},
	} {
		for _, revokes := range []bool{true, false} {
			t.Run(map[bool]string{true: name, false: name + ", no revocation"}[revokes], func(t *testing.T) {
				providertest.Run(t, func(t testing.TB, wire *providertest.Wire) providertest.Fixture { return fixture(t, wire, o, revokes) })
			})
		}
	}
}

func fixture(t testing.TB, wire *providertest.Wire, o plain.Options, revokes bool) providertest.Fixture {
	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	o.Now = clock.Now
	server := plain.NewServer(o)
	server.AddClient("client", "secret/of+the client", redirectURI)
	server.AddClient("another", "secret-of-another", redirectURI)
	wire.Connect(server.Transport())
	var p provider.Provider = plain.New(wire, clock.Now)
	if revokes {
		p = plain.NewRevoking(wire, clock.Now)
	}
	authorize := func(t testing.TB, u, account string) oauth.Secret {
		back, err := server.Authorize(u, account)
		if err != nil || back.Query().Get("code") == "" {
			t.Fatalf("authorizing: %v, %v", back, err)
		}
		return oauth.NewSecret(back.Query().Get("code"))
	}
	d := p.Defaults()
	f := providertest.Fixture{
		Provider:    p,
		Client:      oauth.Client{ID: "client", Secret: oauth.NewSecret("secret/of+the client"), AuthorizationBase: d.AuthorizationBase, APIBase: d.APIBase},
		RedirectURI: redirectURI, Scopes: []string{"mail:read", "profile"}, CodeLife: plain.CodeLife, Rotates: !o.SameToken,
		Now: clock.Now, Advance: func(d time.Duration) { clock.Advance(d) }, Authorize: authorize,
		Account: func(account string) string { return account }, End: server.End,
	}
	f.Foreign = func(t testing.TB) oauth.Token {
		another := f.Client
		another.ID, another.Secret = "another", oauth.NewSecret("secret-of-another")
		verifier := oauth.NewSecret(oauth2.GenerateVerifier())
		u, err := p.AuthorizationURL(another, provider.AuthorizationRequest{RedirectURI: redirectURI, Verifier: verifier})
		if err != nil {
			t.Fatal(err)
		}
		token, err := p.Exchange(t.Context(), another, provider.Grant{Code: authorize(t, u, "ada"), RedirectURI: redirectURI, Verifier: verifier})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	return f
}
