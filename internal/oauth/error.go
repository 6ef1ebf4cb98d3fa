package oauth

import (
	"errors"
	"fmt"
)

// A Code is the code of an [Error]. The codes are part of the engine's API: an
// error's text begins with its code.
type Code string

// The codes, in the order of the API's error table.
const (
	InvalidRequest       Code = "invalid_request"
	NotFound             Code = "not_found"
	NeedsReauth          Code = "needs_reauth"
	Revoked              Code = "revoked"
	Failed               Code = "failed"
	Suspended            Code = "suspended"
	InstallationRequired Code = "installation_required"
	AccountMismatch      Code = "account_mismatch"
	ActorMismatch        Code = "actor_mismatch"
	SessionUsed          Code = "session_used"
	SessionExpired       Code = "session_expired"
	AccessDenied         Code = "access_denied"
	Pending              Code = "pending"
	Misconfigured        Code = "misconfigured"
	Throttled            Code = "throttled"
	Unavailable          Code = "unavailable"

	// Interrupted and Cancelled are errors of a session only. Completing such a
	// session fails with SessionUsed.
	Interrupted Code = "interrupted"
	Cancelled   Code = "cancelled"
)

// An Error is an error for the caller of the API. Its message says what happened
// and what to do. It never holds a secret, because Vault writes errors to its
// audit log in the clear.
type Error struct {
	Code    Code
	Message string
	// Err is the cause, if there is one. It is for errors.Is and As; its text is
	// not shown.
	Err error
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error with a formatted message. Its cause is the error that
// format has %w for.
func Errorf(c Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: c, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Invalid returns an InvalidRequest error with the field and the rule that it
// breaks: "must be …".
func Invalid(field, rule string, args ...any) *Error {
	return Errorf(InvalidRequest, `field %q `+rule, append([]any{field}, args...)...)
}

// CodeOf returns the code of the first Error in err's chain, or "".
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
