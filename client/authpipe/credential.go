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

// A Credential is one that works, as far as the engine knows. It is shared by all who asked for it and must not be changed. It may
// be printed and logged: what is secret shows as "[redacted]".
type Credential struct {
	Ref      string // what it is called: <tenant>/<provider>/users/<user> and so on
	Source   For    // whose it is: ForInstallation or ForUser, of a page too; zero of a static one
	Type     string // TypeOAuthToken, TypeAPIKey or TypeWebhookSecret
	Provider string
	Tenant   string
	User     string
	Page     string

	AccessToken Secret // zero of a static one
	TokenType   string // "bearer"
	// AppSecretProof proves to Facebook that the token's user has the app secret, without having it. Zero where the engine
	// has none to make it with.
	AppSecretProof Secret
	// Static is the API key or webhook secret; zero of a token.
	Static Secret

	ProviderUserID string   // the provider's id of the account
	BusinessID     string   // the business that the token is for, if it is for one
	Scopes         []string // what was granted
	MissingScopes  []string // what was asked for and not granted

	// ExpiresAt is when the token ends by the engine's clock. Zero: it does not. Do not go by it, ask again: the cache answers
	// at once, and never with a token that has ended.
	ExpiresAt           time.Time
	DataAccessExpiresAt time.Time // when the app's access to the person's data ends; zero: never

	Status   string   // "active", or what keeps it from being refreshed while its token lives
	Warnings []string // what the engine says about it

	ref   ref
	until time.Duration // by the client's clock, when the token ends; forever if it does not
}

// String implements [fmt.Stringer]: the ref, and nothing secret.
func (c Credential) String() string { return "credential " + c.Ref }

// GoString implements [fmt.GoStringer].
func (c Credential) GoString() string { return c.String() }

// LogValue implements [slog.LogValuer].
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(slog.String("ref", c.Ref), slog.String("status", c.Status), slog.Time("expires_at", c.ExpiresAt))
}

// is tells whether both are the same token, with the same proof.
func (c *Credential) is(d *Credential) bool {
	return c.AccessToken.Equal(d.AccessToken) && c.AppSecretProof.Equal(d.AppSecretProof) && c.Static.Equal(d.Static)
}

// credentialData is what creds/ answers.
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

// credential makes what the engine answered about r a Credential. An answer about another credential, as a careless proxy's
// cache would give, is none. The errors do not quote the answer.
func (d *credentialData) credential(r ref, warnings []string) (*Credential, error) {
	said := ref{tenant: d.Tenant, provider: d.Provider, user: d.User, page: d.Page}
	if r.name != "" {
		said.name = d.Name
	}
	switch {
	case said != r:
		return nil, errors.New("the answer is about another credential")
	case r.name != "" && d.Static == "":
		return nil, errors.New("the answer has no credential in it")
	case r.name == "" && d.AccessToken == "":
		return nil, errors.New("the answer has no access_token in it")
	}
	return &Credential{
		Ref: r.String(), Source: r.source(), Type: d.Type, Provider: d.Provider, Tenant: d.Tenant, User: d.User, Page: d.Page,
		AccessToken: NewSecret(d.AccessToken), TokenType: d.TokenType, AppSecretProof: NewSecret(d.AppSecretProof), Static: NewSecret(d.Static),
		ProviderUserID: d.ProviderUserID, BusinessID: d.BusinessID, Scopes: d.Scopes, MissingScopes: d.MissingScopes,
		ExpiresAt: d.ExpiresAt, DataAccessExpiresAt: d.DataAccessExpiresAt, Status: d.Status, Warnings: warnings, ref: r,
	}, nil
}
