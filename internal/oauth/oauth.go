// Package oauth holds the words that every other room of the engine speaks:
// the client registered with a provider, the token it is granted, secrets that
// do not print, and the errors of the engine's API.
//
// The names are RFC 6749's. The package imports nothing of the engine and
// calls nobody.
package oauth

import (
	"context"
	"time"
)

// A Client is the OAuth client (the "app") as one provider knows it: what a
// call to the provider needs to be made on the client's behalf (RFC 6749,
// section 2).
type Client struct {
	// ID is the client identifier (RFC 6749, section 2.2).
	ID string
	// Secret is the client password (RFC 6749, section 2.3.1) that the provider
	// accepted last. OtherSecret is tried where it is refused; "": there is none.
	Secret, OtherSecret Secret
	// Accepted, if it is not nil, is told that the provider accepted OtherSecret
	// in place of Secret.
	Accepted func(ctx context.Context, secret Secret) `json:"-"`
	// Token is what the provider gives a client in place of its secret, for
	// programs that cannot keep one. "": none is known.
	Token Secret
	// APIVersion is the version of the provider's API that calls name, "v27.0"
	// for Facebook's Graph API.
	APIVersion string
	// AuthorizationBase and APIBase are URLs without a trailing slash, below
	// which the provider's authorization endpoint and API stand.
	AuthorizationBase, APIBase string
}

// A Token is an access token (RFC 6749, section 1.4) and what is known of it.
type Token struct {
	// AccessToken is the token itself.
	AccessToken Secret `json:"-"`
	// Type is how the token is presented, "bearer" (RFC 6749, section 7.1).
	Type string `json:"token_type"`
	// Account is the provider's id of the person or system user who granted
	// the token. At Facebook it is scoped to the app.
	Account string `json:"account"`
	// Kind is what the token stands for, in the provider's word: "USER", "PAGE",
	// "SYSTEM_USER" at Facebook. "": not known.
	Kind string `json:"kind,omitempty"`
	// Business is the provider's id of the business that the token is for. "":
	// it is for none, or not known.
	Business string `json:"business,omitempty"`
	// Scopes are the scopes granted, sorted (RFC 6749, section 3.3).
	Scopes []string `json:"scopes,omitempty"`
	// Granular says of some scopes for which of the provider's objects they were
	// granted. A scope that is not here was granted for all.
	Granular []GranularScope `json:"granular,omitempty"`
	// IssuedAt is when the provider says it issued the token, else when the
	// engine received it.
	IssuedAt time.Time `json:"issued_at"`
	// ExpiresAt is when the token ceases to work. Zero: it does not expire.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// DataAccessExpiresAt is when the token stops opening the person's data
	// although it stays valid. Zero: the provider has no such thing.
	DataAccessExpiresAt time.Time `json:"data_access_expires_at,omitzero"`
	// ExpiryUnknown says that the provider has not yet told when the token
	// expires: ExpiresAt means nothing until it was asked.
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

// Outlives reports whether t is valid for longer than u.
func (t Token) Outlives(u Token) bool {
	if u.ExpiresAt.IsZero() {
		return false
	}
	return t.ExpiresAt.IsZero() || t.ExpiresAt.After(u.ExpiresAt)
}
