// Package callbackpage renders the page that a browser sees when the provider
// sends it back: what became of the connection, in the browser's language.
package callbackpage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var (
	pageTemplate = template.Must(template.New("callback").Parse(pageHTML))

	// policy stands in the page's head, because Vault drops a plugin's headers
	// unless the mount is tuned. It allows the page's own style and nothing else.
	policy = func() string {
		sum := sha256.Sum256([]byte(pageCSS))
		return "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}()
)

// A Response is the page as an HTTP response. Its content type is text/html in UTF-8.
type Response struct {
	Status int
	Header http.Header
	HTML   []byte
}

// A view is what the template shows.
type view struct {
	Policy                     string
	Style                      template.CSS
	Language, Direction        string
	Application, Provider      string
	Icon                       string
	Title                      string
	Sentences                  []sentence
	Warning, Started, TypeCode string
	ConnectCode                string
	ReturnURL, Continue        string
}

// Render returns the page for the outcome of a callback. acceptLanguage has the
// request's Accept-Language headers. The page gives no reason for a failure that
// only the application can act on: the session has it.
func Render(page flow.CallbackPage, acceptLanguage []string) (Response, error) {
	l := match(acceptLanguage)
	v := view{
		Policy: policy, Style: template.CSS(pageCSS),
		Language: l.tag, Direction: l.direction,
		Application: page.Application, Provider: page.Provider,
		ReturnURL: page.ReturnURL, Continue: l.Continue,
	}
	status := http.StatusOK
	if page.Error != "" {
		status = http.StatusBadRequest
	}
	var texts []string
	v.Icon, v.Title, texts = outcome(page, l)
	if page.ReturnURL != "" {
		texts = []string{l.Returning} // it is shown for a moment
	} else if v.Icon == "confirm" {
		v.Warning, v.Started, v.TypeCode = l.Warning, l.Started, l.TypeCode
		v.ConnectCode = page.ConnectCode.Reveal()
	}
	names := map[string]string{"application": page.Application, "provider": page.Provider, "organization": string(page.Tenant)}
	for _, text := range texts {
		v.Sentences = append(v.Sentences, fill(text, names))
	}
	var html bytes.Buffer
	if err := pageTemplate.Execute(&html, v); err != nil {
		return Response{}, err
	}
	return Response{Status: status, Header: header(l), HTML: html.Bytes()}, nil
}

// outcome returns the page's icon, its title, and what it says: what happened, then
// what the person can do.
func outcome(page flow.CallbackPage, l language) (icon, title string, texts []string) {
	switch {
	case page.Unknown:
		return "failed", l.NotConnected, []string{l.Invalid, l.BeginAgain}
	case page.Error == oauth.AccessDenied:
		return "failed", l.NotConnected, []string{l.Denied, l.BeginAgain}
	case page.Error == oauth.SessionExpired:
		return "failed", l.NotConnected, []string{l.Expired, l.BeginAgain}
	case page.Error == oauth.Throttled, page.Error == oauth.Unavailable:
		// The session is still authorized, and the same callback tries again.
		return "later", l.NotConnected, []string{l.Later, l.TryLater}
	case page.Error != "":
		return "failed", l.NotConnected, []string{l.Failed, l.BeginAgain}
	case page.ConnectCode.IsZero():
		return "connected", l.Connected, []string{l.AccountConnected, l.Close}
	case page.ReturnURL != "":
		return "returning", l.AlmostConnected, nil
	case page.Application != "":
		return "confirm", l.AlmostConnected, []string{l.JoiningBy}
	default:
		return "confirm", l.AlmostConnected, []string{l.Joining}
	}
}

// header has what a browser reads only if the mount's allowed_response_headers
// let it pass.
func header(l language) http.Header {
	return http.Header{
		"Content-Language":        {l.tag},
		"Content-Security-Policy": {policy + "; frame-ancestors 'none'"},
		"Referrer-Policy":         {"no-referrer"},
		"Vary":                    {"Accept-Language"},
		"X-Content-Type-Options":  {"nosniff"},
		"X-Frame-Options":         {"DENY"},
	}
}
