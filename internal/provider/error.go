package provider

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// A Class says what an error of the provider means for the credential, and whose
// action can help.
type Class string

const (
	// Transient: the provider could not be reached or failed; try again later.
	// Whatever is not known to be something else is transient.
	Transient Class = "transient"
	// Throttled: too many calls; the provider is to be left alone for a while.
	Throttled Class = "throttled"
	// NeedsReauth: the token is dead and only its owner can get another.
	NeedsReauth Class = "needs_reauth"
	// Revoked: the owner or their organization took the grant away.
	Revoked Class = "revoked"
	// Permission: the token lives but does not cover the call.
	Permission Class = "permission"
	// Misconfigured: the provider refuses this client, whatever the token.
	Misconfigured Class = "misconfigured"
	// Caller: the call itself was wrong.
	Caller Class = "caller"
)

// A Concern says what a refusal is about: where it has to be remembered.
type Concern string

const (
	// ConcernsApp: every call of this client, or of all clients, fares the same.
	ConcernsApp Concern = "app"
	// ConcernsAccount: every call for this person or system user, whatever the
	// token.
	ConcernsAccount Concern = "account"
	// ConcernsPage and ConcernsBusiness: every call for this page, or for this
	// business or one of its objects.
	ConcernsPage     Concern = "page"
	ConcernsBusiness Concern = "business"
	// ConcernsToken: this token alone.
	ConcernsToken Concern = "token"
	// ConcernsRequest: this one call.
	ConcernsRequest Concern = "request"
)

// A Remedy says what ends the trouble.
type Remedy string

const (
	// RemedyTime: it passes by itself.
	RemedyTime Remedy = "time"
	// RemedyPerson: the person, or an admin of their organization, has to act at
	// the provider or to connect again.
	RemedyPerson Remedy = "person"
	// RemedyOperator: the provider's configuration in the engine has to change.
	RemedyOperator Remedy = "operator"
	// RemedyDeveloper: the app has to change at the provider, or the caller's code.
	RemedyDeveloper Remedy = "developer"
)

// defaults are the answers of a class where nothing more is known.
var defaults = map[Class]struct {
	concerns Concern
	remedy   Remedy
}{
	Transient:     {ConcernsApp, RemedyTime},
	Throttled:     {ConcernsApp, RemedyTime},
	NeedsReauth:   {ConcernsToken, RemedyPerson},
	Revoked:       {ConcernsToken, RemedyPerson},
	Permission:    {ConcernsAccount, RemedyPerson},
	Misconfigured: {ConcernsApp, RemedyOperator},
	Caller:        {ConcernsRequest, RemedyDeveloper},
}

var (
	// ErrCodeUsed is returned if an authorization code was redeemed before.
	ErrCodeUsed = errors.New("authorization code has been used")
	// ErrCodeExpired is returned if an authorization code or a device code is too
	// old.
	ErrCodeExpired = errors.New("authorization code has expired")
	// ErrRedirectMismatch is returned if an authorization code was issued for
	// another redirect URI than it was presented with, or for none.
	ErrRedirectMismatch = errors.New("authorization code was issued for another redirect URI")
	// ErrCodeRefused is returned if an authorization code is refused and the server
	// does not say why: it was used, is too old, or was issued for another redirect URI
	// or code verifier (RFC 6749, section 5.2, "invalid_grant").
	ErrCodeRefused = errors.New("authorization code was refused")
	// ErrPending is returned if the person has not approved a device login yet.
	ErrPending = errors.New("authorization is pending")
	// ErrCircuitOpen is returned instead of a call while calls to the provider, or for
	// the account, are paused.
	ErrCircuitOpen = errors.New("calls to the provider are paused")
	// ErrOutlived is returned if a token still works although the provider has
	// revoked it: only its owner can end the grant, at the provider.
	ErrOutlived = errors.New("token outlives its revocation")
	// ErrDataAccessOver is returned if the token lives, and the app may not use the
	// person's data any more until they confirm it.
	ErrDataAccessOver = errors.New("access to the person's data is over")
	// ErrTokenExpired is returned if the provider says that the token has expired.
	ErrTokenExpired = errors.New("access token has expired")
	// ErrSlowDown is returned if a device login is polled too often; it is
	// pending.
	ErrSlowDown = errors.New("polling too often")
)

// An Error is a provider's refusal or failure, classified.
type Error struct {
	Class Class
	// Concerns and Remedy say what the refusal is about and what helps. "": what
	// Class means by itself; see [Error.Owner] and [Error.Help].
	Concerns Concern
	Remedy   Remedy
	// Uncertain says that the same answer is also given for another reason. It is
	// confirmed before anything is decided for good.
	Uncertain bool
	// Op is what was being done, as a gerund: "exchanging the code".
	Op string
	// Code, Subcode and TraceID are the provider's own, for its support desk.
	// Zero: it gave none.
	Code, Subcode int
	TraceID       string
	// Message is the provider's text, cut to a decent length and without any
	// secret of the call.
	Message string
	// Until is when a throttled call may be tried again. Zero: not known.
	Until time.Time
	// Account is the provider's id of the account that the call was made for, where
	// that came out on the way. "": the caller knows it, or it is not known.
	Account string
	// Err is what went wrong below, or one of this package's sentinels.
	Err error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s", e.Op, e.Message)
	if e.Code != 0 {
		s += fmt.Sprintf(" (code %d", e.Code)
		if e.Subcode != 0 {
			s += fmt.Sprintf(", subcode %d", e.Subcode)
		}
		if e.TraceID != "" {
			s += ", trace " + e.TraceID
		}
		s += ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Owner returns what the refusal is about.
func (e *Error) Owner() Concern { return cmp.Or(e.Concerns, defaults[e.Class].concerns) }

// Help returns what ends the trouble.
func (e *Error) Help() Remedy { return cmp.Or(e.Remedy, defaults[e.Class].remedy) }

// Passes reports whether the trouble ends by itself.
func (e *Error) Passes() bool { return e.Help() == RemedyTime }

// Reclassified returns a copy of e with another class and owner. "": what class
// means by itself.
func (e *Error) Reclassified(class Class, concerns Concern) *Error {
	c := *e
	c.Class, c.Concerns, c.Remedy, c.Uncertain = class, concerns, "", false
	return &c
}

// ClassOf returns the class of the first Error in err's chain, and Transient
// if it has none: what is not understood must not cost a credential its life.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Transient
}

// Refusal returns err as the caller of the engine's API gets it. An error
// without an [Error] in its chain is returned as it is.
func Refusal(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case errors.Is(e, ErrCodeUsed):
		return oauth.Errorf(oauth.SessionUsed, "%w; begin again", e)
	case errors.Is(e, ErrCodeExpired), errors.Is(e, ErrCodeRefused):
		return oauth.Errorf(oauth.SessionExpired, "%w; begin again", e)
	case errors.Is(e, ErrOutlived):
		return oauth.Errorf(oauth.Unavailable, "%w; delete again afterwards, or with force=true", e)
	case errors.Is(e, ErrPending), errors.Is(e, ErrSlowDown):
		return &oauth.Error{Code: oauth.Pending, Message: "the person has not approved at the provider yet; complete again after the interval", Err: e}
	}
	switch e.Class {
	case Throttled:
		if e.Until.IsZero() {
			return oauth.Errorf(oauth.Throttled, "%w; the provider does not say until when, try again in some minutes", e)
		}
		return oauth.Errorf(oauth.Throttled, "%w; try again after %s", e, e.Until.UTC().Format(time.RFC3339))
	case Misconfigured:
		return oauth.Errorf(oauth.Misconfigured, "%w; the provider refuses this client: check the client's id, secret, redirect URIs and API version in the provider's config", e)
	case NeedsReauth, Permission:
		return oauth.Errorf(oauth.NeedsReauth, "%w; the person must connect again", e)
	case Revoked:
		return oauth.Errorf(oauth.Revoked, "%w; the person must connect again", e)
	case Caller:
		return oauth.Errorf(oauth.InvalidRequest, "%w", e)
	}
	return oauth.Errorf(oauth.Unavailable, "%w; nothing was changed, try again", e)
}
