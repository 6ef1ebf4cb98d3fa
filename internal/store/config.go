package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Config is the OAuth client that the operator registered with a provider,
// and how the mount uses it. A zero field (a nil pointer) was not set: it has
// the provider's default. What it points to is shared, as with a [Credential].
type Config struct {
	ClientID            string         `json:"client_id"`
	ClientSecret        oauth.Secret   `json:"-"`
	ClientSecretOverlap *time.Duration `json:"client_secret_overlap,omitempty"`
	ClientToken         oauth.Secret   `json:"-"`
	InstallationConfig  string         `json:"installation_config_id,omitempty"`
	UserConfig          string         `json:"user_config_id,omitempty"`
	RedirectURIs        []string       `json:"redirect_uris"`
	PublicURL           string         `json:"public_url,omitempty"`
	ReturnURLs          []string       `json:"return_urls,omitempty"`
	InstallationScopes  []string       `json:"installation_scopes,omitempty"`
	UserScopes          []string       `json:"user_scopes,omitempty"`
	APIVersion          string         `json:"graph_version,omitempty"`
	PKCE                string         `json:"pkce,omitempty"`
	Completion          string         `json:"completion,omitempty"`
	RequireInstallation *bool          `json:"require_installation,omitempty"`
	SessionTTL          time.Duration  `json:"session_ttl,omitempty"`
	CheckInterval       *time.Duration `json:"check_interval,omitempty"`
	Enabled             *bool          `json:"enabled,omitempty"`
	AppName             string         `json:"app_name,omitempty"`
	AuthorizationBase   string         `json:"dialog_url,omitempty"`
	APIBase             string         `json:"graph_url,omitempty"`

	// SecretForeign says that ClientSecret was written for another ClientID, which
	// was changed since: once replaced, it is no fallback.
	SecretForeign bool `json:"secret_foreign,omitempty"`

	// FormerSecret is the secret that ClientSecret replaced, until
	// FormerSecretUntil. FormerAccepted says that the provider still accepted it
	// when it was last asked: it does not say when it stops.
	FormerSecret      oauth.Secret `json:"-"`
	FormerSecretUntil time.Time    `json:"former_secret_until,omitzero"`
	FormerAccepted    bool         `json:"former_accepted,omitempty"`

	// defaultInstallationScopes and defaultUserScopes say that Resolve filled in the
	// scopes.
	defaultInstallationScopes, defaultUserScopes bool

	// accepted is called with the secret that the provider accepted.
	accepted func(ctx context.Context, secret oauth.Secret)
}

// configAtRest is a Config as it is sealed: with the secrets that a Config
// does not marshal.
type configAtRest struct {
	Config
	ClientSecret string `json:"client_secret"`
	FormerSecret string `json:"former_secret,omitempty"`
	ClientToken  string `json:"client_token,omitempty"`
}

// WithoutOldSecret returns c without a former secret whose time is over.
func (c Config) WithoutOldSecret(now time.Time) Config {
	if !now.Before(c.FormerSecretUntil) {
		c.FormerSecret, c.FormerSecretUntil, c.FormerAccepted = oauth.Secret{}, time.Time{}, false
	}
	return c
}

// ReplaceSecret makes secret the client's, and keeps the one that the provider
// accepted last for overlap.
func (c Config) ReplaceSecret(secret oauth.Secret, now time.Time, overlap time.Duration) Config {
	former := c.ClientSecret
	if c.FormerAccepted && now.Before(c.FormerSecretUntil) {
		former = c.FormerSecret
	}
	c.ClientSecret, c.FormerSecret, c.FormerSecretUntil, c.FormerAccepted = secret, oauth.Secret{}, time.Time{}, false
	if !former.IsZero() && former != secret && overlap > 0 {
		c.FormerSecret, c.FormerSecretUntil, c.FormerAccepted = former, now.Add(overlap).UTC(), true
	}
	return c
}

// Resolve returns c with every field that is not set taken from fallback.
func (c Config) Resolve(fallback Config) Config {
	if len(c.InstallationScopes) == 0 {
		c.InstallationScopes, c.defaultInstallationScopes = fallback.InstallationScopes, true
	}
	if len(c.UserScopes) == 0 {
		c.UserScopes, c.defaultUserScopes = fallback.UserScopes, true
	}
	c.APIVersion = cmp.Or(c.APIVersion, fallback.APIVersion)
	c.PKCE = cmp.Or(c.PKCE, fallback.PKCE)
	c.Completion = cmp.Or(c.Completion, fallback.Completion)
	c.RequireInstallation = cmp.Or(c.RequireInstallation, fallback.RequireInstallation)
	c.SessionTTL = cmp.Or(c.SessionTTL, fallback.SessionTTL)
	c.CheckInterval = cmp.Or(c.CheckInterval, fallback.CheckInterval)
	c.ClientSecretOverlap = cmp.Or(c.ClientSecretOverlap, fallback.ClientSecretOverlap)
	c.Enabled = cmp.Or(c.Enabled, fallback.Enabled)
	c.AuthorizationBase = cmp.Or(c.AuthorizationBase, fallback.AuthorizationBase)
	c.APIBase = cmp.Or(c.APIBase, fallback.APIBase)
	return c
}

// ScopesFor returns the scopes that a resolved c has asked for at ref, sorted.
func (c Config) ScopesFor(ref tenant.Ref) []string {
	scopes := c.UserScopes
	if ref.Kind() == tenant.Installation {
		scopes = c.InstallationScopes
	}
	return slices.Compact(slices.Sorted(slices.Values(scopes)))
}

// ExpectedScopes returns the scopes that a token at ref should have. With a
// configuration at the provider, which decides what is granted, these are the
// ones that the operator has set beside it.
func (c Config) ExpectedScopes(ref tenant.Ref) []string {
	byDefault := c.defaultUserScopes
	if ref.Kind() == tenant.Installation {
		byDefault = c.defaultInstallationScopes
	}
	if c.ConfigFor(ref) != "" && byDefault {
		return nil
	}
	return c.ScopesFor(ref)
}

// ConfigFor returns the id of the configuration at the provider that is used at
// ref in place of scopes, or "".
func (c Config) ConfigFor(ref tenant.Ref) string {
	if ref.Kind() == tenant.Installation {
		return c.InstallationConfig
	}
	return c.UserConfig
}

// Client returns the client that a resolved c describes, as calls to the
// provider want it.
func (c Config) Client() oauth.Client {
	client := oauth.Client{
		ID: c.ClientID, Secret: c.ClientSecret, OtherSecret: c.FormerSecret, Token: c.ClientToken, Accepted: c.accepted,
		APIVersion: c.APIVersion, AuthorizationBase: c.AuthorizationBase, APIBase: c.APIBase,
	}
	if c.FormerAccepted {
		client.Secret, client.OtherSecret = client.OtherSecret, client.Secret
	}
	return client
}
