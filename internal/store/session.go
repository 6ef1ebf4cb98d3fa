package store

import (
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// SessionStatus is how far a session has come.
type SessionStatus string

// The states of a session. Expired is never stored: it is what a pending or
// authorized session becomes by itself.
const (
	SessionPending    SessionStatus = "pending"    // the resource owner has not come back yet
	SessionAuthorized SessionStatus = "authorized" // the code is parked
	SessionRedeeming  SessionStatus = "redeeming"  // a request is exchanging the code
	SessionCompleted  SessionStatus = "completed"
	SessionFailed     SessionStatus = "failed"
	SessionExpired    SessionStatus = "expired"
)

// A Session is one run of the authorization code grant (RFC 6749, section
// 4.1), from authorization URL to stored credential.
type Session struct {
	// ID is base64url(SHA-256(state)): the state leads to the record, and the record
	// does not show the state.
	ID     string        `json:"id"`
	Ref    tenant.Ref    `json:"ref"`
	Actor  string        `json:"actor"`
	Status SessionStatus `json:"status"`
	// Error and Message say why a session failed.
	Error   oauth.Code `json:"error,omitempty"`
	Message string     `json:"message,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is when an unfinished session is given up.
	ExpiresAt time.Time `json:"expires_at"`

	RedirectURI        string       `json:"redirect_uri"`
	ReturnURL          string       `json:"return_url,omitempty"`
	Scopes             []string     `json:"scopes"`
	Completion         string       `json:"completion"`
	AllowAccountChange bool         `json:"allow_account_change,omitempty"`
	StartedBy          Caller       `json:"started_by"`
	Verifier           oauth.Secret `json:"-"`

	// Nonce binds the ID token to the session; "": none is asked for.
	Nonce oauth.Secret `json:"-"`

	// SDK says that the code comes from the provider's JavaScript SDK, which hands
	// it to the application's page: there is no redirect URI.
	SDK bool `json:"sdk,omitempty"`

	// Device says that the session is a login on a device (RFC 8628): Code is
	// then its device code, parked from the first. It may be polled from PollAt
	// on, every Interval.
	Device   bool          `json:"device,omitempty"`
	PollAt   time.Time     `json:"poll_at,omitzero"`
	Interval time.Duration `json:"interval,omitempty"`

	// ConnectKey makes the connect code out of the authorization code, so that
	// a callback that comes twice shows the same page without either code
	// being kept.
	ConnectKey oauth.Secret `json:"-"`
	// Code is the parked authorization code, while the session is authorized.
	// A device's stays until the session ends.
	Code oauth.Secret `json:"-"`
	// Token is parked in place of the code once that was redeemed, if the
	// provider then failed to describe the token.
	Token oauth.Token `json:"token,omitzero"`
	// RetryAt is when the code or token may be sent to the provider again, after a rate
	// limit that named a time. Zero: at once.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// CallbackHash distinguishes a callback that comes again from another one.
	CallbackHash []byte `json:"callback_hash,omitempty"`
	// ConnectCodeHash is SHA-256 of the connect code, WrongTries how often
	// another one was offered.
	ConnectCodeHash []byte `json:"connect_code_hash,omitempty"`
	WrongTries      int    `json:"wrong_tries,omitempty"`

	// Denied says that the session failed because the person declined at the
	// provider. They may go back and approve.
	Denied bool `json:"denied,omitempty"`
	// CodeReused says that its code was presented in another session, or that a
	// code of another session was presented in this one.
	CodeReused bool `json:"code_reused,omitempty"`

	// Due is the key of the session's entry in the due index.
	Due string `json:"due"`
	// Open is the key of its index entry among the open sessions of its actor and
	// ref.
	Open string `json:"open,omitempty"`

	// DeletionCount is that of its tenant when the session was begun or read: see
	// [Tenants.DeletionCount].
	DeletionCount int `json:"-"`
}

// A Caller is the caller of a request to the engine, as Vault names it.
type Caller struct {
	Actor       string `json:"actor,omitempty"`
	EntityID    string `json:"entity_id,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
}

// Ended reports whether the session was completed or has failed.
func (s *Session) Ended() bool { return s.Status == SessionCompleted || s.Status == SessionFailed }

// closed reports whether it has ended for good.
func (s *Session) closed() bool { return s.Ended() && !s.Denied }

// Fail ends the session with an error and destroys what it had parked.
func (s *Session) Fail(code oauth.Code, message string) {
	s.Status, s.Error, s.Message, s.Denied = SessionFailed, code, message, false
	s.Unpark()
}

// Unpark destroys the parked code and token.
func (s *Session) Unpark() { s.Code, s.Token = oauth.Secret{}, oauth.Token{} }

// sessionAtRest is a Session as it is sealed: with the secrets that a Session
// does not marshal.
type sessionAtRest struct {
	Session
	Verifier     string `json:"verifier,omitempty"`
	Nonce        string `json:"nonce,omitempty"`
	ConnectKey   string `json:"connect_key"`
	Code         string `json:"code,omitempty"`
	AccessToken  string `json:"access_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
}
