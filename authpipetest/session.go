package authpipetest

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // expiry is told in Pacific time, wherever the test runs
)

// Subcodes of error 190, why a token is no longer good ("Handle Errors").
const (
	SubcodeAppNotInstalled    = 458 // the person removed the app
	SubcodeCheckpoint         = 459 // the person has to visit www.facebook.com first
	SubcodeSessionInvalidated = 460 // the password was changed
	SubcodeExpired            = 463
	SubcodeUnconfirmed        = 464 // the account is not confirmed
	SubcodeRevoked            = 466 // ended by the app, by way of the API
	SubcodeLoggedOut          = 467
	SubcodeNoPageRole         = 492 // the giver of a page token has no role on the page any more
)

// sessionErrors are the messages in their public reports. {app}, {user}, {expired} and {now} are put in.
var sessionErrors = map[int]string{
	SubcodeAppNotInstalled:    "Error validating access token: The user has not authorized application {app}.",
	SubcodeCheckpoint:         "Error validating access token: You cannot access the app till you log in to www.facebook.com and follow the instructions given.",
	SubcodeSessionInvalidated: "Error validating access token: The session has been invalidated because the user changed their password or Facebook has changed the session for security reasons.",
	SubcodeExpired:            "Error validating access token: Session has expired on {expired}. The current time is {now}.",
	SubcodeUnconfirmed:        "Error validating access token: Sessions for the user {user} are not allowed because the user is not a confirmed user.",
	SubcodeLoggedOut:          "Error validating access token: The session is invalid because the user logged out.",
	SubcodeNoPageRole:         "Error validating access token: User associated with the Page access token does not have an appropriate role on the Page.",
}

// sessionError is the error 190 of that subcode for the token.
func (f *Facebook) sessionError(t *token, subcode int) *GraphError {
	message, known := sessionErrors[subcode]
	if !known {
		message = "Error validating access token."
	}
	now := f.options().Now()
	expired := now
	if !t.expires.IsZero() && t.expires.Before(now) {
		expired = t.expires
	}
	message = strings.NewReplacer("{app}", t.app, "{user}", f.ScopedID(t.app, t.person),
		"{expired}", pacific(expired), "{now}", pacific(now)).Replace(message)
	return &GraphError{Message: message, Type: "OAuthException", Code: codeToken, Subcode: subcode}
}

// KillToken has a token refused with the error given, whatever it would be worth otherwise. An empty message stands for
// Facebook's own message of that subcode. Only this token is touched: page tokens made of it live on.
func (f *Facebook) KillToken(value string, code, subcode int, message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.books.tokens[value]
	if t == nil {
		return
	}
	t.dead = f.sessionError(t, subcode)
	t.dead.Code = code
	if message != "" {
		t.dead.Message = message
	}
}

// pacific is a time as Facebook tells it in an error: Tuesday, 03-May-16 11:00:00 PDT.
func pacific(t time.Time) string {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		panic(fmt.Sprintf("loading the embedded time zone: %v", err))
	}
	return t.In(zone).Format("Monday, 02-Jan-06 15:04:05 MST")
}
