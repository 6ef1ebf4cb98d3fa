// Package providertest holds a dialect against the contract of package provider, as the
// engine relies on it: [Run] is its conformance suite.
package providertest

import (
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// A Fixture is a server where one client and the accounts "ada" and "uma" are known, and
// the dialect that speaks to it.
type Fixture struct {
	Provider    provider.Provider
	Client      oauth.Client
	RedirectURI string
	// Scopes are asked for in each authorization request. BoundScopes, if there are any,
	// are asked for in those that the server binds a PKCE challenge in.
	Scopes, BoundScopes []string
	// CodeLife is how long the server's codes last.
	CodeLife time.Duration
	// Explains says that the server says why it refuses a code.
	Explains bool
	// Rotates says that each refresh brings another refresh token and spends the one that
	// was sent, except for a while in which the answer may have been lost.
	Rotates bool
	// Lasting says that the server's tokens do not expire.
	Lasting bool

	Now     func() time.Time
	Advance func(time.Duration)
	// Authorize approves the authorization request as the account, and returns the code.
	Authorize func(t testing.TB, authorizationURL, account string) oauth.Secret
	// Account returns the server's id of the account.
	Account func(account string) string
	// End takes the account's grants away, as its owner does.
	End func(account string)
	// Foreign returns a living token of another client.
	Foreign func(t testing.TB) oauth.Token
}

// boundScopes returns scopes that the server binds a PKCE challenge with, if any.
func (f Fixture) boundScopes() []string {
	if f.BoundScopes != nil {
		return f.BoundScopes
	}
	return f.Scopes
}

// A Factory makes a fixture whose server is reached through wire, which it connects.
type Factory func(t testing.TB, wire *Wire) Fixture

// A world is a fixture on its wire.
type world struct {
	Fixture
	t    testing.TB
	wire *Wire
}

const state = "state-of-the-suite"

// approved returns what is needed to redeem a code that the account has just approved.
func (w world) approved(account string, scopes []string) provider.Grant {
	w.t.Helper()
	r := provider.AuthorizationRequest{State: oauth.NewSecret(state), RedirectURI: w.RedirectURI, Scopes: scopes}
	if w.Provider.BindsPKCE(scopes) {
		r.Verifier = oauth.NewSecret(oauth2.GenerateVerifier())
	}
	u, err := w.Provider.AuthorizationURL(w.Client, r)
	if err != nil {
		w.t.Fatalf("the authorization URL: %v", err)
	}
	return provider.Grant{Code: w.Authorize(w.t, u, account), RedirectURI: w.RedirectURI, Verifier: r.Verifier}
}

// token returns a settled token of the account that can be refreshed.
func (w world) token(account string) oauth.Token {
	w.t.Helper()
	token, err := w.Provider.Exchange(w.t.Context(), w.Client, w.approved(account, w.Scopes))
	if err == nil {
		token, err = w.Provider.Settle(w.t.Context(), w.Client, token)
	}
	if err != nil {
		w.t.Fatalf("connecting %s: %v", account, err)
	}
	w.ripen(token)
	return token
}

// ripen waits until the token can be refreshed.
func (w world) ripen(token oauth.Token) {
	if early := token.RefreshAfter.Sub(w.Now()); early > 0 {
		w.Advance(early)
	}
}
