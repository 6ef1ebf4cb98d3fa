package authpipe

import (
	"errors"
	"log/slog"
	"time"
)

// Types of credential.
const (
	TypeOAuthToken    = "oauth_token"
	TypeAPIKey        = "api_key"
	TypeWebhookSecret = "webhook_secret"
)

// A Credential is one that works, as far as the engine knows. All its readers share it, so it must not be changed. It may be printed
// and logged: its secrets show as "[redacted]".
type Credential struct {
	Ref      string // its name: <tenant>/<provider>/users/<user> and so on
	Source   For    // ForInstallation or ForUser, for a page too; zero for a static credential
	Type     string // TypeOAuthToken, TypeAPIKey or TypeWebhookSecret
	Provider string
	Tenant   string
	User     string
	Page     string

	AccessToken Secret // zero for a static credential
	TokenType   string // "bearer"
	// AppSecretProof proves to Facebook that a request comes from the app, without the app secret. Zero: the engine has no app
	// secret to make it with.
	AppSecretProof Secret
	// Static is the API key or webhook secret; zero for a token.
	Static Secret

	ProviderUserID string   // the provider's id of the account
	BusinessID     string   // the business that the token is for, if any
	Scopes         []string // the granted ones
	MissingScopes  []string // those that were requested and not granted

	// ExpiresAt is when the token expires by Vault's clock. Zero: never. Do not keep the credential until then, but call
	// [Client.Credential] each time: it costs next to nothing, and never returns an expired token.
	ExpiresAt           time.Time
	DataAccessExpiresAt time.Time // when the app's access to the person's data ends; zero: never

	Status   string   // "active", or why it cannot be refreshed while its token still works
	Warnings []string // the engine's warnings about it

	ref   ref
	until time.Duration // by the client's clock, when the token expires; forever if it does not
}

// String implements [fmt.Stringer]: the ref, without a secret.
func (c Credential) String() string { return "credential " + c.Ref }

// GoString implements [fmt.GoStringer].
func (c Credential) GoString() string { return c.String() }

// LogValue implements [slog.LogValuer].
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(slog.String("ref", c.Ref), slog.String("status", c.Status), slog.Time("expires_at", c.ExpiresAt))
}

// same reports whether both have the same token and the same proof.
func (c *Credential) same(d *Credential) bool {
	return c.AccessToken.Equal(d.AccessToken) && c.AppSecretProof.Equal(d.AppSecretProof) && c.Static.Equal(d.Static)
}

// credentialData is the response of creds/.
type credentialData struct {
	Provider string `json:"provider"`
	Tenant   string `json:"tenant_id"`
	User     string `json:"user_id"`
	Page     string `json:"page_id"`
	Name     string `json:"name"`

	Type           string   `json:"credential_type"`
	AccessToken    string   `json:"access_token"`
	TokenType      string   `json:"token_type"`
	AppSecretProof string   `json:"appsecret_proof"`
	Static         string   `json:"credential"`
	ProviderUserID string   `json:"provider_user_id"`
	BusinessID     string   `json:"business_id"`
	Scopes         []string `json:"scopes"`
	MissingScopes  []string `json:"missing_scopes"`
	Status         string   `json:"status"`

	ExpiresAt           time.Time `json:"expires_at"`
	DataAccessExpiresAt time.Time `json:"data_access_expires_at"`

	TTL int64 `json:"ttl"`
}

// credential converts the engine's response about r. It refuses a response about another credential, such as a misconfigured
// caching proxy would send. The errors do not quote the response.
func (d *credentialData) credential(r ref, warnings []string) (*Credential, error) {
	got := ref{tenant: d.Tenant, provider: d.Provider, user: d.User, page: d.Page}
	if r.name != "" {
		got.name = d.Name
	}
	switch {
	case got != r:
		return nil, errors.New("the response is about another credential")
	case r.name != "" && d.Static == "":
		return nil, errors.New("the response has no credential in it")
	case r.name == "" && d.AccessToken == "":
		return nil, errors.New("the response has no access_token in it")
	}
	return &Credential{
		Ref: r.String(), Source: r.source(), Type: d.Type, Provider: d.Provider, Tenant: d.Tenant, User: d.User, Page: d.Page,
		AccessToken: NewSecret(d.AccessToken), TokenType: d.TokenType, AppSecretProof: NewSecret(d.AppSecretProof), Static: NewSecret(d.Static),
		ProviderUserID: d.ProviderUserID, BusinessID: d.BusinessID, Scopes: d.Scopes, MissingScopes: d.MissingScopes,
		ExpiresAt: d.ExpiresAt, DataAccessExpiresAt: d.DataAccessExpiresAt, Status: d.Status, Warnings: warnings, ref: r,
	}, nil
}
