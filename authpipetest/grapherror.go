package authpipetest

import (
	"fmt"
	"net/http"
	"strings"
)

// GraphError is the error object of the Graph API ("Handle Errors"). It is an error.
type GraphError struct {
	Message     string `json:"message"`
	Type        string `json:"type"`                    // OAuthException, GraphMethodException, …
	Code        int    `json:"code,omitempty"`          // zero: absent
	Subcode     int    `json:"error_subcode,omitempty"` // zero: absent
	IsTransient *bool  `json:"is_transient,omitempty"`  // nil: absent
	UserTitle   string `json:"error_user_title,omitempty"`
	UserMsg     string `json:"error_user_msg,omitempty"`
	TraceID     string `json:"fbtrace_id"` // filled in as the error is sent
}

// Error is the message with its code and subcode.
func (e *GraphError) Error() string {
	return fmt.Sprintf("%s (%s, code %d, subcode %d)", e.Message, e.Type, e.Code, e.Subcode)
}

// Error codes ("Handle Errors"); these are Facebook's.
const (
	codeUnknown        = 1
	codeAppPermission  = 10
	codeInvalid        = 100
	codeApplication    = 101
	codeSession        = 102
	codeTokenRequired  = 104
	codeToken          = 190
	codeRedirectURI    = 191
	codePermission     = 200
	codeQuery          = 2500
	subcodeNoObject    = 33
	subcodeCodeExpired = 36007
	subcodeMismatch    = 36008
	subcodeCodeUsed    = 36009
)

// refusal is a GraphError on its way out: with the HTTP status, and the word of the WWW-Authenticate header.
type refusal struct {
	GraphError
	status    int
	challenge string // empty: no header
}

// Error is the error's.
func (r refusal) Error() string { return r.GraphError.Error() }

// oauthError is the common kind of refusal.
func oauthError(code int, format string, args ...any) refusal {
	return refusal{
		GraphError: GraphError{Message: fmt.Sprintf(format, args...), Type: "OAuthException", Code: code},
		status:     http.StatusBadRequest,
		challenge:  "invalid_request",
	}
}

// methodError is how the Graph API refuses a call that is no matter of authorization.
func methodError(code, subcode int, format string, args ...any) refusal {
	return refusal{
		GraphError: GraphError{Message: fmt.Sprintf(format, args...), Type: "GraphMethodException", Code: code, Subcode: subcode},
		status:     http.StatusBadRequest,
	}
}

// codeError refuses an authorization code.
func codeError(subcode int, message string) refusal {
	r := oauthError(codeInvalid, "%s", message)
	r.Subcode, r.challenge = subcode, "invalid_code"
	return r
}

// tokenError refuses an access token.
func tokenError(subcode int, message string) refusal {
	r := oauthError(codeToken, "%s", message)
	r.Subcode, r.challenge = subcode, "invalid_token"
	return r
}

// flawed refuses a token for what is wrong with it.
func flawed(flaw *GraphError) refusal {
	return refusal{GraphError: *flaw, status: http.StatusBadRequest, challenge: "invalid_token"}
}

func unknownPath(c *call) refusal {
	return oauthError(codeQuery, "Unknown path components: /%s", c.path)
}

func noSuchField(name, node string) refusal {
	return oauthError(codeInvalid, "(#100) Tried accessing nonexisting field (%s) on node type (%s)", name, node)
}

// unsupported refuses a call to the root of the API.
func unsupported(c *call) refusal {
	return methodError(codeInvalid, 0, "Unsupported %s request. Please read the Graph API documentation at "+
		"https://developers.facebook.com/docs/graph-api", strings.ToLower(c.method()))
}

func noSuchObject(c *call, id string) refusal {
	return methodError(codeInvalid, subcodeNoObject, "Unsupported %s request. Object with ID '%s' does not exist, cannot be loaded "+
		"due to missing permissions, or does not support this operation. Please read the Graph API documentation at "+
		"https://developers.facebook.com/docs/graph-api", strings.ToLower(c.method()), id)
}

func (f *Facebook) permissionError(message string) refusal {
	r := oauthError(codePermission, "%s", message)
	r.status = f.options().PermissionErrorStatus
	return r
}
