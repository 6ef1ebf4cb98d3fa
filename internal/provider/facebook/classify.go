package facebook

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// graphError is Facebook's error object (Meta: "Handle Errors").
type graphError struct {
	Message     string `json:"message"`
	Type        string `json:"type"`
	Code        number `json:"code"`
	Subcode     number `json:"error_subcode"`
	IsTransient bool   `json:"is_transient"`
	TraceID     string `json:"fbtrace_id"`
}

// number is an integer that may come as a string.
type number int

// UnmarshalJSON implements [json.Unmarshaler].
func (n *number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	i, err := strconv.Atoi(strings.Trim(string(b), `"`))
	*n = number(i)
	return err
}

// Subcodes of code 100: three of the token endpoint, and "object does not
// exist, cannot be loaded due to missing permissions, …".
const (
	subcodeNoObject         = 33
	subcodeCodeExpired      = 36007
	subcodeRedirectMismatch = 36008
	subcodeCodeUsed         = 36009
)

// versionInURL is where a call's URL names the version of the API.
var versionInURL = regexp.MustCompile(`/v[0-9]+\.[0-9]+/`)

func (g *graphError) classified(r request, status int) *provider.Error {
	e := &provider.Error{
		Class: g.class(r, status),
		Op:    r.op, Code: int(g.Code), Subcode: int(g.Subcode), TraceID: clean(g.TraceID, r.secrets...),
		Message: clean(g.Message, r.secrets...),
	}
	if version := strings.Trim(versionInURL.FindString(r.url), "/"); version != "" && strings.Contains(g.Message, "Unknown path components") {
		e.Message = "the provider does not know graph_version " + version + ": " + e.Message
	}
	switch g.Subcode {
	case subcodeInactive:
		e.Err = provider.ErrDataAccessOver
	case subcodeCodeExpired:
		e.Err = provider.ErrCodeExpired
	case subcodeCodeUsed:
		e.Err = provider.ErrCodeUsed
	}
	if r.token && g.mismatchesRedirect() {
		e.Err = provider.ErrRedirectMismatch
	}
	return e
}

// class decides by endpoint and code, and by text only where nothing else
// tells. The order matters: throttling first, for a throttled call says
// nothing about its token; unknown last, and never the credential's fault.
func (g *graphError) class(r request, status int) provider.Class {
	switch {
	case g.throttled():
		return provider.Throttled
	case g.says("appsecret_proof", "app secret proof"):
		// Missing, or made with another secret; the codes differ.
		return provider.Misconfigured
	case g.outOfService():
		return provider.Misconfigured
	case g.lacksPermission():
		return provider.Permission
	case status >= http.StatusInternalServerError:
		return provider.Transient
	case g.wrongKind() && r.client:
		return provider.Misconfigured
	case g.wrongKind():
		return provider.Caller
	case g.IsTransient || g.Code == 101 && g.says("due to a system error"):
		return provider.Transient
	case r.token && (g.Code == 1 && g.says("client secret", "code_verifier", "code verifier") || g.Code == 191 || g.mismatchesRedirect()):
		// Documented as an unknown error, code 1 is also how the token endpoint
		// refuses a client secret or a PKCE verifier. With any other text it comes and
		// goes, or refuses the one token.
		return provider.Misconfigured
	case g.Code == 1 || g.Code == 2:
		return provider.Transient
	case g.Code == 2500 && !g.says("Unknown path components"):
		return provider.Transient // it comes and goes
	case g.Code == 3 || g.Code == 101 || g.Code == 104 || g.Code == 191 || g.Code == 2500 || g.Code == 2635:
		return provider.Misconfigured
	case g.Code == 100:
		return provider.Caller
	case r.client && g.refusesAppToken():
		return provider.Misconfigured
	case g.Code == 10 || 200 <= g.Code && g.Code < 300:
		return provider.Permission
	}
	return g.tokenClass()
}

// mismatchesRedirect reports whether a code is refused for its redirect_uri. The
// subcode is not always there; code 191 is for one that was left out.
func (g *graphError) mismatchesRedirect() bool {
	return g.Subcode == subcodeRedirectMismatch || g.Code == 100 && g.says("redirect_uri is identical") || g.Code == 191 && g.says("Missing redirect_uri")
}

// refusesAppToken reports whether it refuses the token of a call that is made
// with the app's own.
func (g *graphError) refusesAppToken() bool {
	subcode, ok := g.session()
	return ok && subcode != subcodeNotInstalled
}

// says reports whether the text contains one of these, whatever their case.
func (g *graphError) says(texts ...string) bool {
	message := strings.ToLower(g.Message)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(message, strings.ToLower(text)) })
}

// outOfService reports whether the whole app is refused: it was removed,
// blocked or deactivated, or does not take calls from this address. Nobody's
// login mends that.
func (g *graphError) outOfService() bool {
	switch g.Code {
	case 5:
		return g.says("source IP address")
	case 200:
		return g.says("Provide valid app ID", "API access blocked", "API access deactivated", "disabled for non-active apps")
	}
	return false
}

// lacksPermission reports whether the text says that a permission is missing,
// where the code says something else: an invalid parameter (code 100) or a dead
// token (code 190).
func (g *graphError) lacksPermission() bool {
	return g.Code == 100 && g.says("missing permission") || g.Code == 190 && g.says("must be granted", "impersonating a user's page")
}

// session returns the subcode of code 190 that the error has. Facebook also
// gives it as the code itself.
func (g *graphError) session() (subcode number, ok bool) {
	switch {
	case g.Code == 190:
		return g.Subcode, true
	case 450 <= g.Code && g.Code <= 468:
		return g.Code, true
	}
	return 0, g.Code == 102 || g.Code == 3962
}

// throttled knows the codes of the app, user, page, ads and business use case
// rate limits (Meta: "Rate Limits").
func (g *graphError) throttled() bool {
	switch g.Code {
	case 4, 17, 32, 341, 613:
		return true
	}
	return 80000 <= g.Code && g.Code <= 80014
}

// Subcodes of code 190: the person took the app's permissions away, is not
// confirmed (so Facebook calls the system user of a removed business
// integration), has no role on the page any more, or has not used the app for 90
// days (Meta: "Handle Errors"; the last by reports).
const (
	subcodeNotInstalled = 458
	subcodeUnconfirmed  = 464
	subcodeInactive     = 493
	subcodeNoPageRole   = 492
)

// tokenClass is the class of what is said of a token, by an error or within an
// inspection. A lost page role is not mended by a new login, and a person who was
// away has lost no more than what the token opens of their data.
func (g *graphError) tokenClass() provider.Class {
	switch {
	case g.throttled():
		return provider.Throttled
	case g.wrongKind():
		return provider.Caller
	case g.lacksPermission():
		return provider.Permission
	}
	switch subcode, ok := g.session(); {
	case !ok:
		return provider.Transient
	case subcode == subcodeNotInstalled:
		return provider.Revoked
	case subcode == subcodeNoPageRole, subcode == subcodeInactive:
		return provider.Permission
	}
	return provider.NeedsReauth
}

// wrongKind reports whether it is the kind of the token that is refused: such a
// token is not dead.
func (g *graphError) wrongKind() bool {
	return g.Code == 190 && strings.Contains(g.Message, "must be called with a")
}

// maxMessage is how much of a provider's text is kept, in bytes.
const maxMessage = 300

// anyToken is what an access token looks like. An answer might show one that
// the call knows nothing of: another token of the same batch, or a fresh one.
var anyToken = regexp.MustCompile(`EAA[A-Za-z0-9_-]{16,}`)

// clean makes a provider's text fit to show: one line, not long, and without
// the secrets of the call that it answers or any token.
func clean(s string, secrets ...oauth.Secret) string {
	for _, secret := range secrets {
		for _, form := range []string{secret.Reveal(), url.QueryEscape(secret.Reveal())} {
			if form != "" {
				s = strings.ReplaceAll(s, form, secret.String())
			}
		}
	}
	s = strings.Map(func(r rune) rune {
		if oauth.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = anyToken.ReplaceAllLiteralString(s, oauth.NewSecret("").String())
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}
