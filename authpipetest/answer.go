package authpipetest

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// answer is a response before it is written.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // fails only if the client has gone
}

// answer encodes a body of the Graph API, or err if it is a refusal.
func (gr *graph) answer(c *call, body any, err error) answer {
	a := answer{status: http.StatusOK, header: gr.header(c)}
	maps.Copy(a.header, c.header)
	var refused refusal
	if errors.As(err, &refused) {
		a.status = refused.status
		if refused.challenge != "" {
			a.header.Set("WWW-Authenticate", `OAuth "Facebook Platform" "`+refused.challenge+`" "`+refused.Message+`"`)
		}
		refused.TraceID = a.header.Get("X-Fb-Trace-Id")
		body = map[string]GraphError{"error": refused.GraphError}
	}
	a.body = encode(body)
	return a
}

// header has the headers of every answer of the Graph API. Date is by the simulator's clock.
func (gr *graph) header(c *call) http.Header {
	h := noStore(gr.options().Now())
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Content-Type", "application/json; charset=UTF-8")
	if !gr.options().NoVersionHeader {
		h.Set("Facebook-Api-Version", gr.versionFor(c))
	}
	h.Set("X-Fb-Request-Id", "A"+random(alphanumerics, 22))
	h.Set("X-Fb-Rev", "1030000000")
	h.Set("X-Fb-Trace-Id", "A"+random(alphanumerics, 22))
	return h
}

func noStore(now time.Time) http.Header {
	h := http.Header{}
	h.Set("Cache-Control", "private, no-cache, no-store, must-revalidate")
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	h.Set("Expires", "Sat, 01 Jan 2000 00:00:00 GMT")
	h.Set("Pragma", "no-cache")
	return h
}

// jsonAnswer makes a JSON answer that does not come from the Graph API.
func jsonAnswer(now time.Time, body any) answer {
	a := answer{status: http.StatusOK, header: noStore(now), body: encode(body)}
	a.header.Set("Content-Type", "application/json; charset=utf-8")
	return a
}

//go:embed html/*.html
var htmlFiles embed.FS

var (
	peopleTemplate  = pageTemplate("people.html")
	consentTemplate = pageTemplate("consent.html")
	errorTemplate   = pageTemplate("error.html")
	indexTemplate   = pageTemplate("index.html")
)

func pageTemplate(name string) *template.Template {
	return template.Must(template.ParseFS(htmlFiles, "html/layout.html", "html/"+name))
}

func htmlAnswer(now time.Time, status int, t *template.Template, shown any) answer {
	var body bytes.Buffer
	if err := t.Execute(&body, shown); err != nil {
		panic("writing a page: " + err.Error()) // a bug in a template
	}
	a := answer{status: status, header: noStore(now), body: body.Bytes()}
	a.header.Set("Content-Type", "text/html; charset=utf-8")
	// no form-action: browsers apply it to the redirect after the form too
	a.header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	return a
}

// encode writes JSON on one line, without escaping the & of URLs.
func encode(body any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic("encoding an answer: " + err.Error()) // a bug: bodies are the simulator's own types
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// unix is a time in the form of the Graph API: the zero time is 0, which means never.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// member and object make JSON objects whose members stay in order.
type member struct {
	name  string
	value any
}

type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(m.name))
		b.WriteByte(':')
		b.Write(encode(m.value))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (o object) has(name string) bool {
	return slices.ContainsFunc(o, func(m member) bool { return m.name == name })
}

// GraphError is the error object of the Graph API ("Handle Errors"). It is an error.
type GraphError struct {
	Message     string `json:"message"`
	Type        string `json:"type"`                    // OAuthException, GraphMethodException, …
	Code        int    `json:"code,omitempty"`          // zero: absent
	Subcode     int    `json:"error_subcode,omitempty"` // zero: absent
	IsTransient *bool  `json:"is_transient,omitempty"`  // nil: absent
	UserTitle   string `json:"error_user_title,omitempty"`
	UserMsg     string `json:"error_user_msg,omitempty"`
	TraceID     string `json:"fbtrace_id"` // set when the error is sent
}

// Error returns the message with type, code and subcode.
func (e *GraphError) Error() string {
	return fmt.Sprintf("%s (%s, code %d, subcode %d)", e.Message, e.Type, e.Code, e.Subcode)
}

// Facebook's error codes ("Handle Errors").
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

// refusal is a GraphError with its HTTP status and the code of the WWW-Authenticate header.
type refusal struct {
	GraphError
	status    int
	challenge string // empty: no header
}

// Error returns the text of the GraphError.
func (r refusal) Error() string { return r.GraphError.Error() }

// oauthError makes the most common kind of refusal.
func oauthError(code int, format string, args ...any) refusal {
	return refusal{
		GraphError: GraphError{Message: fmt.Sprintf(format, args...), Type: "OAuthException", Code: code},
		status:     http.StatusBadRequest,
		challenge:  "invalid_request",
	}
}

// methodError refuses a call for a reason other than authorization.
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

// invalidToken refuses a token for the reason given.
func invalidToken(reason *GraphError) refusal {
	return refusal{GraphError: *reason, status: http.StatusBadRequest, challenge: "invalid_token"}
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

func (gr *graph) permissionError(message string) refusal {
	r := oauthError(codePermission, "%s", message)
	r.status = gr.options().PermissionErrorStatus
	return r
}
