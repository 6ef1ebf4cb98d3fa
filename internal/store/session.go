package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// ID is base64url(SHA-256(state)): whoever has the state finds the record,
	// and the record does not tell the state.
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
	// provider then failed to tell about the token.
	Token oauth.Token `json:"token,omitzero"`
	// RetryAt is when the code or token may be sent to the provider again, after a rate
	// limit that named a time. Zero: at once.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// CallbackHash tells a callback that comes again from another one.
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

	// Life is the tenant's life that the session was begun or read in: see
	// [Store.Life].
	Life int `json:"-"`
}

// A Caller is who made a request to the engine, as Vault tells.
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
	Verifier    string `json:"verifier,omitempty"`
	Nonce       string `json:"nonce,omitempty"`
	ConnectKey  string `json:"connect_key"`
	Code        string `json:"code,omitempty"`
	AccessToken string `json:"access_token,omitempty"`
}

// SessionKept is how long after its beginning, at the most, a session is of use
// to anybody: an hour until it expires, a quarter more while its end can be
// read, and what the sweep takes. The key that it was sealed with is kept as
// long.
const SessionKept = 90 * time.Minute

// NewSession schedules the session's end for reapAt and stores it. Its index
// entry stands in its due entry, which is written first.
func (s *Store) NewSession(ctx context.Context, session Session, reapAt time.Time) error {
	unlock, err := s.sealing(ctx, session.Ref.Tenant)
	if err != nil {
		return err
	}
	defer unlock()
	if session.Open, err = s.openKey(ctx, session); err != nil {
		return err
	}
	due, err := s.scheduleWith(ctx, reapAt, session.ExpiresAt, DueSession, session.ID, session.Open)
	if err != nil {
		return err
	}
	session.Due = due.key()
	switch _, err := s.Tenant(ctx, session.Ref.Tenant); {
	case errors.Is(err, ErrNotFound):
		if err := s.keepNewTenant(ctx, session.Ref.Tenant, reapAt); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if err := s.ensureKeyring(ctx, session.Ref.Tenant); err != nil {
		return err
	}
	if err := s.putHint(ctx, session.Open); err != nil {
		return err
	}
	return s.putSession(ctx, session)
}

// Session returns the session with that id, or ErrNotFound. Of a tenant that is
// being deleted, or was since, there are none.
func (s *Store) Session(ctx context.Context, id string) (Session, error) {
	key := sessionKey(id)
	b, err := s.get(ctx, key)
	if err != nil {
		return Session{}, err
	}
	if b == nil {
		return Session{}, ErrNotFound
	}
	owner, sealed, ok := cutTenant(b)
	if !ok {
		return Session{}, corrupt(key, errVersion)
	}
	life := s.Life(owner)
	if err := s.deleting(ctx, s.Tenant, owner); err != nil {
		return Session{}, cmp.Or(notDeleting(err), ErrNotFound)
	}
	var r sessionAtRest
	switch err := s.openSealed(ctx, owner, key, sealed, &r); {
	case errors.Is(err, ErrCorrupt):
		// It lies there from before its tenant was deleted.
		return Session{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	case err != nil:
		return Session{}, err
	}
	session := r.Session
	session.Life = life
	session.Verifier, session.ConnectKey, session.Code = oauth.NewSecret(r.Verifier), oauth.NewSecret(r.ConnectKey), oauth.NewSecret(r.Code)
	session.Token.AccessToken, session.Nonce = oauth.NewSecret(r.AccessToken), oauth.NewSecret(r.Nonce)
	return session, nil
}

// TakeSession stores what take makes of the session, under the session's lock:
// of two who would take the same step, one finds it taken. The session is
// returned as it then is. If take returns an error nothing is stored; it is
// returned with the session as it was.
func (s *Store) TakeSession(ctx context.Context, id string, take func(*Session) error) (Session, error) {
	defer s.records.lock(sessionKey(id))()
	session, err := s.Session(ctx, id)
	if err != nil {
		return Session{}, err
	}
	taken := session
	if err := take(&taken); err != nil {
		return session, err
	}
	unlock, err := s.sealing(ctx, taken.Ref.Tenant)
	if err != nil {
		return session, err
	}
	defer unlock()
	if taken.Life != s.Life(taken.Ref.Tenant) {
		return session, ErrNotFound // its tenant was deleted between
	}
	if err := s.putSession(ctx, taken); err != nil {
		return session, err
	}
	if taken.Open != "" && !session.closed() && taken.closed() {
		_ = s.storage.Delete(ctx, taken.Open) // a hint, as in UpdateCredential
	}
	return taken, nil
}

// ReapSession deletes the session's index entry, the records of the codes that it
// owns, the session, and then its entry in the due index.
func (s *Store) ReapSession(ctx context.Context, due Due) error {
	defer s.records.lock(sessionKey(due.ID))()
	if err := s.deleteOpenOf(ctx, due); err != nil {
		return err
	}
	if err := s.deleteCodes(ctx, due.ID); err != nil {
		return err
	}
	if err := s.storage.Delete(ctx, sessionKey(due.ID)); err != nil {
		return err
	}
	return s.storage.Delete(ctx, due.key())
}

// putSession is called while sealing.
func (s *Store) putSession(ctx context.Context, session Session) error {
	owner := string(session.Ref.Tenant)
	head := append([]byte{formatVersion, byte(len(owner))}, owner...)
	b, err := s.sealed(ctx, session.Ref.Tenant, sessionKey(session.ID), head, sessionAtRest{
		session, session.Verifier.Reveal(), session.Nonce.Reveal(), session.ConnectKey.Reveal(), session.Code.Reveal(), session.Token.AccessToken.Reveal(),
	})
	if err != nil {
		return err
	}
	return s.put(ctx, sessionKey(session.ID), b)
}

// cutTenant splits a stored session: version ‖ length ‖ tenant ‖ sealed. The
// callback brings a state and no tenant, so the record must name it.
func cutTenant(b []byte) (owner tenant.ID, sealed []byte, ok bool) {
	if len(b) < 2 || b[0] != formatVersion || len(b) < 2+int(b[1]) {
		return "", nil, false
	}
	end := 2 + int(b[1])
	return tenant.ID(b[2:end]), b[end:], true
}
