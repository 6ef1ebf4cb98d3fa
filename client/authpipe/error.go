package authpipe

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

// A Code names a way in which the engine refuses. Each is an error to compare with:
//
//	if errors.Is(err, authpipe.ErrThrottled) { … }
type Code string

// Error implements error.
func (c Code) Error() string { return string(c) }

// The engine's codes. The first six are told of a credential, the next ones while connecting, the last of the provider.
const (
	ErrInvalidRequest Code = "invalid_request"
	ErrNotFound       Code = "not_found"
	ErrNeedsReauth    Code = "needs_reauth"
	ErrRevoked        Code = "revoked"
	ErrFailed         Code = "failed"
	ErrSuspended      Code = "suspended"

	ErrInstallationRequired Code = "installation_required"
	ErrAccountMismatch      Code = "account_mismatch"
	ErrActorMismatch        Code = "actor_mismatch"
	ErrSessionUsed          Code = "session_used"
	ErrSessionExpired       Code = "session_expired"
	ErrAccessDenied         Code = "access_denied"
	ErrPending              Code = "pending"

	ErrMisconfigured Code = "misconfigured"
	ErrThrottled     Code = "throttled"
	// ErrUnavailable is the provider's, or Vault's own: sealed, restarting, out of reach, or over a rate limit quota. Nothing was
	// changed; try again.
	ErrUnavailable Code = "unavailable"

	// ErrNoMount is Vault's and not the engine's: there is no authpipe at [Options].Mount, or not any more.
	ErrNoMount Code = "no_mount"

	// ErrPermissionDenied is Vault's and not the engine's: no policy of the caller's token lets it, or the token is none (any
	// more). Only the former takes a credential out of service at once.
	ErrPermissionDenied Code = "permission_denied"
)

var codes = []Code{
	ErrInvalidRequest, ErrNotFound, ErrNeedsReauth, ErrRevoked, ErrFailed, ErrSuspended,
	ErrInstallationRequired, ErrAccountMismatch, ErrActorMismatch, ErrSessionUsed, ErrSessionExpired, ErrAccessDenied, ErrPending,
	ErrMisconfigured, ErrThrottled, ErrUnavailable,
}

// ErrClosed is returned once [Client.Close] was called.
var ErrClosed = errors.New("the client is closed")

// An Error is a refusal by the engine or by Vault, or a failure to reach them. It holds no secret, printed or as JSON: nothing of
// what a peer sent is in it, except the words of a refusal.
type Error struct {
	Op      string // what was attempted: "reading creds/org_acme/facebook/installation"
	Code    Code   // zero: Vault answered something that no code stands for
	Status  int    // Vault's HTTP status; zero if no answer came
	Message string // what happened and what to do, in the engine's words
	// Err is context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF or a [syscall.Errno], if that is why Vault could not be
	// asked. Zero: there is nothing more to know. Other errors are not kept: their texts quote what the peer sent.
	Err error

	deadToken bool // ErrPermissionDenied because Vault does not know the token (any more)
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Op
	for _, part := range []string{string(e.Code), e.Message} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}

// Is tells whether target is the error's [Code].
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code != "" && code == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A NeedsReauthError is returned if only a person can help: the credential is dead (ErrNeedsReauth), was taken away
// (ErrRevoked), or expired while refreshing failed (ErrFailed).
type NeedsReauthError struct {
	Ref string // the credential that was asked for
	// Path is what mends it, below the mount: connect/<ref>. Of a page it is that of the credential above. Hand it to
	// [Client.Connect] in parts.
	Path string
	Err  *Error // its Code tells which of the three
}

// Error implements error.
func (e *NeedsReauthError) Error() string { return e.Err.Error() }

// Unwrap returns the engine's error.
func (e *NeedsReauthError) Unwrap() error { return e.Err }

// A NotConnectedError is returned if there is no such credential (ErrNotFound).
type NotConnectedError struct {
	Ref string // the credential that was asked for; with ForAny the installation's, since neither is there
	// Path is where to connect it, below the mount. Zero for a static credential, which is written and not connected.
	Path string
	Err  *Error
}

// Error implements error.
func (e *NotConnectedError) Error() string { return e.Err.Error() }

// Unwrap returns the engine's error.
func (e *NotConnectedError) Unwrap() error { return e.Err }

// typed gives an error about a credential the type that its code has.
func typed(r ref, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case ErrNeedsReauth, ErrRevoked, ErrFailed:
		return &NeedsReauthError{Ref: r.String(), Path: r.connectPath(), Err: e}
	case ErrNotFound:
		return &NotConnectedError{Ref: r.String(), Path: r.connectPath(), Err: e}
	}
	return err
}

// definitive reports whether err is a refusal that does not change soon, as opposed to an outage. It takes a credential out of service
// although its token may live: the engine said so, or Vault said that a policy forbids it or that the mount is gone. A Vault token that
// has ended is an outage.
func definitive(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.deadToken && slices.Contains([]Code{
		ErrInvalidRequest, ErrNotFound, ErrNeedsReauth, ErrRevoked, ErrFailed, ErrSuspended, ErrPermissionDenied, ErrNoMount,
	}, e.Code)
}

// failure makes an Error of what Vault's client returned.
func failure(op string, err error) error {
	var answered *api.ResponseError
	if !errors.As(err, &answered) {
		why, kept := describe(err)
		return &Error{Op: op, Code: ErrUnavailable, Message: "Vault cannot be reached: " + why, Err: kept}
	}
	e := &Error{Op: op, Status: answered.StatusCode}
	if e.Code, e.Message = codeIn(answered.Errors); e.Code == "" {
		e.Code = codeOf(answered)
		e.deadToken = e.Code == ErrPermissionDenied && says(answered, "invalid token")
		if e.Message = strings.Join(answered.Errors, "; "); answered.RawError || e.Message == "" {
			// The page of a proxy: it may quote anything.
			e.Message = fmt.Sprintf("Vault answered %d %s", e.Status, http.StatusText(e.Status))
		}
	}
	return e
}

// codeIn finds a code in the texts of a refusal: it begins a line, but for what Vault puts before it ("1 error occurred:",
// and an asterisk).
func codeIn(texts []string) (Code, string) {
	for _, text := range texts {
		for line := range strings.Lines(text) {
			word, message, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "* "), ": ")
			if ok && slices.Contains(codes, Code(word)) {
				return Code(word), message
			}
		}
	}
	return "", ""
}

// codeOf is the code of what Vault refuses by itself. Its 429 is its own quota, not the provider's limit. A mount whose plugin did
// not start is an outage.
func codeOf(answered *api.ResponseError) Code {
	status := answered.StatusCode
	switch {
	case status == http.StatusForbidden:
		return ErrPermissionDenied
	case status == http.StatusNotFound && says(answered, "backend is nil"):
		return ErrUnavailable
	case status == http.StatusNotFound && (says(answered, "no handler for route") || says(answered, "unsupported path")):
		return ErrNoMount
	case status >= http.StatusInternalServerError, status == http.StatusPreconditionFailed, status == http.StatusTooManyRequests:
		return ErrUnavailable
	}
	return ""
}

// says reports whether Vault itself, and not a proxy's page, answered with these words.
func says(answered *api.ResponseError, words string) bool {
	return !answered.RawError && slices.ContainsFunc(answered.Errors, func(text string) bool { return strings.Contains(text, words) })
}
