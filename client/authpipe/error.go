package authpipe

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

// A Code is the code of an [Error]. Each is an error to compare with:
//
//	if errors.Is(err, authpipe.ErrThrottled) { … }
type Code string

// Error implements error.
func (c Code) Error() string { return string(c) }

// The codes of errors. The first six are about a credential, the next ones about connecting, the rest about the provider or Vault.
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
	// ErrUnavailable is returned if the provider or Vault is unavailable: Vault is sealed, restarting, out of reach, or over a rate
	// limit quota. No change was made; try again.
	ErrUnavailable Code = "unavailable"

	// ErrNoMount is returned by Vault, not the engine, if there is no authpipe at [Options].Mount (any more).
	ErrNoMount Code = "no_mount"

	// ErrPermissionDenied is returned by Vault, not the engine, if no policy of the client's token allows the request, or the token
	// is not valid (any more). Only the first takes a credential out of service at once.
	ErrPermissionDenied Code = "permission_denied"
)

var codes = []Code{
	ErrInvalidRequest, ErrNotFound, ErrNeedsReauth, ErrRevoked, ErrFailed, ErrSuspended,
	ErrInstallationRequired, ErrAccountMismatch, ErrActorMismatch, ErrSessionUsed, ErrSessionExpired, ErrAccessDenied, ErrPending,
	ErrMisconfigured, ErrThrottled, ErrUnavailable,
}

// ErrClosed is returned after [Client.Close].
var ErrClosed = errors.New("the client is closed")

// An Error is a refusal by the engine or by Vault, or a failure to reach them. It holds no secret, printed or as JSON: of a peer's
// response it quotes only the text of a refusal.
type Error struct {
	Op      string // what failed: "reading creds/org_acme/facebook/installation"
	Code    Code   // zero: the response has no code, and its status stands for none
	Status  int    // Vault's HTTP status; zero: there was no response
	Message string // what happened and what to do, as the engine writes it
	// Err is context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF or a [syscall.Errno], if the request failed with that.
	// Other causes are not kept, because their texts quote what the peer sent.
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

// Is reports whether target is the error's [Code].
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code != "" && code == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A NeedsReauthError is returned if the person has to connect again: the credential is dead (ErrNeedsReauth), was revoked
// (ErrRevoked), or expired while refreshing failed (ErrFailed).
type NeedsReauthError struct {
	Ref string // the requested credential
	// Path is the path below the mount that connects it again, connect/<ref>; for a page, that of the credential above it. To
	// [Client.Connect] it is given in parts.
	Path string
	Err  *Error // its Code is one of the three
}

// Error implements error.
func (e *NeedsReauthError) Error() string { return e.Err.Error() }

// Unwrap returns the engine's error.
func (e *NeedsReauthError) Unwrap() error { return e.Err }

// A NotConnectedError is returned if there is no such credential (ErrNotFound).
type NotConnectedError struct {
	Ref string // the requested credential; with ForAny the installation's, since neither exists
	// Path is the path below the mount that connects it. Zero for a static credential, which is written, not connected.
	Path string
	Err  *Error
}

// Error implements error.
func (e *NotConnectedError) Error() string { return e.Err.Error() }

// Unwrap returns the engine's error.
func (e *NotConnectedError) Unwrap() error { return e.Err }

// typed converts an error about r to the type for its code.
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
// even if its token has not expired: the engine refuses it, or a policy forbids it, or the mount is gone. A Vault token that has
// ended is an outage.
func definitive(err error) bool {
	var e *Error
	return errors.As(err, &e) && !e.deadToken && slices.Contains([]Code{
		ErrInvalidRequest, ErrNotFound, ErrNeedsReauth, ErrRevoked, ErrFailed, ErrSuspended, ErrPermissionDenied, ErrNoMount,
	}, e.Code)
}

// failure converts an error of Vault's client.
func failure(op string, err error) error {
	var resp *api.ResponseError
	if !errors.As(err, &resp) {
		why, kept := describe(err)
		return &Error{Op: op, Code: ErrUnavailable, Message: "Vault cannot be reached: " + why, Err: kept}
	}
	e := &Error{Op: op, Status: resp.StatusCode}
	if e.Code, e.Message = codeIn(resp.Errors); e.Code == "" {
		e.Code = codeOf(resp)
		e.deadToken = e.Code == ErrPermissionDenied && contains(resp, "invalid token")
		if e.Message = strings.Join(resp.Errors, "; "); resp.RawError || e.Message == "" {
			// The page of a proxy: it may quote anything.
			e.Message = fmt.Sprintf("Vault responded with %d %s", e.Status, http.StatusText(e.Status))
		}
	}
	return e
}

// codeIn finds a code in the texts of a refusal: it begins a line, after Vault's own prefix ("1 error occurred:" and an asterisk).
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

// codeOf returns the code of a refusal by Vault itself. Its 429 is its own quota, not the provider's limit. A mount whose plugin did
// not start is an outage.
func codeOf(resp *api.ResponseError) Code {
	status := resp.StatusCode
	switch {
	case status == http.StatusForbidden:
		return ErrPermissionDenied
	case status == http.StatusNotFound && contains(resp, "backend is nil"):
		return ErrUnavailable
	case status == http.StatusNotFound && (contains(resp, "no handler for route") || contains(resp, "unsupported path")):
		return ErrNoMount
	case status >= http.StatusInternalServerError, status == http.StatusPreconditionFailed, status == http.StatusTooManyRequests:
		return ErrUnavailable
	}
	return ""
}

// contains reports whether a response of Vault itself, not a proxy's page, contains these words.
func contains(resp *api.ResponseError, words string) bool {
	return !resp.RawError && slices.ContainsFunc(resp.Errors, func(text string) bool { return strings.Contains(text, words) })
}
