package facebook

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// issuer is what Facebook's ID tokens name, wherever they are asked for (Meta:
// "OIDC Token with Manual Flow").
const issuer = "https://www.facebook.com"

// keysFor returns the keys that an ID token will be verified with, nil if none
// is asked for. They are fetched before the code is sent: once it is spent,
// nothing may stand in the way.
func (p *Provider) keysFor(ctx context.Context, c oauth.Client, g provider.Grant) (*oidc.StaticKeySet, error) {
	if g.Nonce.IsZero() {
		return nil, nil
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	err := p.call(ctx, request{
		op: "fetching the keys of ID tokens", method: http.MethodGet, url: c.AuthorizationBase + "/.well-known/oauth/openid/jwks/",
	}, &set)
	keys := &oidc.StaticKeySet{}
	for _, text := range set.Keys {
		// A key of a type that is not understood is to be ignored (RFC 7517, section
		// 5).
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) == nil && key.Valid() {
			keys.PublicKeys = append(keys.PublicKeys, key.Public().Key)
		}
	}
	return keys, err
}

// verifyIDToken holds the ID token that came with t against what was asked for
// (OpenID Connect Core 1.0, section 3.1.3.7): signature, issuer, audience,
// time, and the nonce of this session.
func (p *Provider) verifyIDToken(ctx context.Context, c oauth.Client, g provider.Grant, keys *oidc.StaticKeySet, t *oauth2.Token) error {
	if g.Nonce.IsZero() {
		return nil
	}
	refused := &provider.Error{Class: provider.Caller, Op: "verifying the ID token", Message: "it is missing, not signed by the provider, or not for this client and session"}
	raw, ok := t.Extra("id_token").(string)
	if !ok {
		return refused
	}
	verifier := oidc.NewVerifier(issuer, keys, &oidc.Config{ClientID: c.ID, SupportedSigningAlgs: []string{oidc.RS256}, Now: p.now})
	id, err := verifier.Verify(ctx, raw)
	if err != nil || !oauth.NewSecret(id.Nonce).Equal(g.Nonce) {
		return refused
	}
	return nil
}
