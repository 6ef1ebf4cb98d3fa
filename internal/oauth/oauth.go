// Package oauth has the types that all other packages of the engine share: the
// client registered with a provider, the token it is granted, secrets that do not
// print, and the errors of the engine's API.
//
// The names are RFC 6749's. The package imports no other package of the engine,
// and makes no requests.
package oauth

import (
	"context"
	"time"
)

// A Client is the OAuth client (the "app") that is registered with a provider, in
// whose name calls to the provider are made (RFC 6749, section 2).
type Client struct {
	// ID is the client identifier (RFC 6749, section 2.2).
	ID string
	// Secret is the client password (RFC 6749, section 2.3.1) that the provider
	// accepted last. OtherSecret is tried if it is refused; "": there is none.
	Secret, OtherSecret Secret
	// Accepted, if it is not nil, is called when the provider accepts OtherSecret
	// in place of Secret.
	Accepted func(ctx context.Context, secret Secret) `json:"-"`
	// Token is the provider's substitute for the secret, for programs that cannot
	// keep a secret. "": none is known.
	Token Secret
	// APIVersion is the version of the provider's API in calls. "": the API has no
	// versions.
	APIVersion string
	// AuthorizationBase and APIBase are the base URLs of the provider's
	// authorization endpoint and API, without a trailing slash.
	AuthorizationBase, APIBase string
}

// A Token is an access token (RFC 6749, section 1.4) with its properties.
type Token struct {
	// AccessToken is the token itself.
	AccessToken Secret `json:"-"`
	// RefreshToken brings another token when this one has ended (RFC 6749, section
	// 1.5). "": the provider gave none.
	RefreshToken Secret `json:"-"`
	// Type is how the token is presented, "bearer" (RFC 6749, section 7.1).
	Type string `json:"token_type"`
	// Account is the provider's id of the person or system user that granted
	// the token. It may depend on the client.
	Account string `json:"account"`
	// Kind is the provider's word for the kind of token. "": not known.
	Kind string `json:"kind,omitempty"`
	// Business is the provider's id of the business that the token is for. "":
	// for none, or not known.
	Business string `json:"business,omitempty"`
	// Scopes are the scopes granted, sorted (RFC 6749, section 3.3).
	Scopes []string `json:"scopes,omitempty"`
	// Granular lists the scopes that were granted for some of the provider's
	// objects only. Any other scope was granted for all.
	Granular []GranularScope `json:"granular,omitempty"`
	// IssuedAt is when the provider issued the token, if it says so, else when the
	// engine received it.
	IssuedAt time.Time `json:"issued_at"`
	// ExpiresAt is when the token expires. Zero: never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// RefreshAfter is the time before which the provider refuses to refresh the token.
	// Zero: it does not.
	RefreshAfter time.Time `json:"refresh_after,omitzero"`
	// DataAccessExpiresAt is when the token's access to the person's data ends,
	// although the token stays valid. Zero: the provider has no such limit.
	DataAccessExpiresAt time.Time `json:"data_access_expires_at,omitzero"`
	// ExpiryUnknown is set until the provider was asked when the token expires:
	// ExpiresAt is not valid.
	ExpiryUnknown bool `json:"expiry_unknown,omitempty"`
}

// A GranularScope is a scope that was granted for some objects only.
type GranularScope struct {
	Scope string `json:"scope"`
	// Targets are the provider's ids of the objects, sorted.
	Targets []string `json:"targets"`
}

// Live reports whether the token has not expired at now.
func (t Token) Live(now time.Time) bool {
	return t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt)
}

// Refreshable reports whether a refresh token can bring another token, even once t has
// expired.
func (t Token) Refreshable() bool { return !t.RefreshToken.IsZero() }

// Outlives reports whether t is valid for longer than u.
func (t Token) Outlives(u Token) bool {
	if u.ExpiresAt.IsZero() {
		return false
	}
	return t.ExpiresAt.IsZero() || t.ExpiresAt.After(u.ExpiresAt)
}
