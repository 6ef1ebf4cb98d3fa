package judges

import (
	"context"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/endpoints"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// Facebook's metadata has no token endpoint: the client adds it by hand.
func TestOIDCDiscoversFacebookAndVerifiesItsIDToken(t *testing.T) {
	fb := newSimulator(t, authpipetest.Options{UnknownKeys: true})
	ctx := oidc.ClientContext(t.Context(), fb.client)
	provider, err := oidc.NewProvider(ctx, "https://www.facebook.com")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := provider.Endpoint()
	if endpoint.TokenURL != "" || !strings.HasPrefix(endpoint.AuthURL, "https://www.facebook.com/dialog/oauth") {
		t.Errorf("endpoint %+v", endpoint)
	}
	endpoint.TokenURL = endpoints.Facebook.TokenURL
	config := oauth2.Config{ClientID: appID, Endpoint: endpoint, RedirectURL: callback, Scopes: []string{oidc.ScopeOpenID, "email"}}
	verifier := oauth2.GenerateVerifier()
	back := fb.login(config.AuthCodeURL("s", oidc.Nonce("n-1"), oauth2.S256ChallengeOption(verifier)), "s")
	// a public client: the verifier instead of the secret
	token, err := config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := provider.Verifier(&oidc.Config{ClientID: appID}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Email, Name string }
	if err := idToken.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if err := idToken.VerifyAccessToken(token.AccessToken); err != nil || idToken.Nonce != "n-1" ||
		idToken.Subject != fb.ScopedID(appID, "ada") || claims.Email != "ada@example.com" || claims.Name != "Ada Admin" {
		t.Errorf("%v: ID token %+v, claims %+v", err, idToken, claims)
	}

	// a later login without openid has none
	config.Scopes, config.ClientSecret = []string{"email"}, appSecret
	token, err = config.Exchange(context.WithValue(ctx, oauth2.HTTPClient, fb.client), fb.login(config.AuthCodeURL("s"), "s").Get("code"))
	if err != nil || token.Extra("id_token") != nil {
		t.Errorf("without openid: %v, %v", err, token)
	}
}
