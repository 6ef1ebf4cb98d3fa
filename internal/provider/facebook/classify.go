package facebook

import (
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
		Op: r.op, Code: int(g.Code), Subcode: int(g.Subcode), TraceID: clean(g.TraceID, r.secrets...),
		Message: clean(g.Message, r.secrets...),
	}
	g.judge(e, r, status)
	if version := strings.Trim(versionInURL.FindString(r.url), "/"); version != "" && g.says(unknownPath) {
		e.Message = "the provider does not know graph_version " + version + ": " + e.Message
	}
	switch {
	case e.Class == provider.Transient: // a server that fails says nothing of the code
	case g.Subcode == subcodeCodeExpired:
		e.Err = provider.ErrCodeExpired
	case g.Subcode == subcodeCodeUsed:
		e.Err = provider.ErrCodeUsed
	}
	if r.token && g.mismatchesRedirect() {
		e.Err = provider.ErrRedirectMismatch
	}
	return e
}

// mismatchesRedirect reports whether a code is refused for its redirect_uri. The
// subcode is not always there; code 191 is for one that was left out.
func (g *graphError) mismatchesRedirect() bool {
	return g.Subcode == subcodeRedirectMismatch || g.Code == 100 && g.says("redirect_uri is identical") || g.Code == 191 && g.says("Missing redirect_uri")
}

// unknownPath is how a version or a path that does not exist is refused.
const unknownPath = "Unknown path components"

// says reports whether the text contains one of these, whatever their case.
func (g *graphError) says(texts ...string) bool {
	message := strings.ToLower(g.Message)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(message, strings.ToLower(text)) })
}

// anyCode reports whether the code is one of these.
func (g *graphError) anyCode(codes ...number) bool { return slices.Contains(codes, g.Code) }

// businessLimit reports whether it is a limit of a business use case.
func (g *graphError) businessLimit() bool { return 80000 <= g.Code && g.Code <= 80014 }

// session returns the subcode of code 190 that the error has. Facebook also
// gives it as the code itself.
func (g *graphError) session() (subcode number, ok bool) {
	switch {
	case g.Code == 190:
		return g.Subcode, true
	case 450 <= g.Code && g.Code <= 468:
		return g.Code, true
	}
	return 0, g.anyCode(102, 3962)
}

// Subcodes of code 190: the person took the app's permissions away, the token has
// expired, the person is not confirmed (so Facebook calls the system user of a removed business
// integration), has no role on the page any more, or has not used the app for 90
// days (Meta: "Handle Errors"; the last by reports).
const (
	subcodeNotInstalled = 458
	subcodeExpired      = 463
	subcodeUnconfirmed  = 464
	subcodeInactive     = 493
	subcodeNoPageRole   = 492
)

// wrongKind reports whether it is the kind of the token that is refused: such a
// token is not dead.
func (g *graphError) wrongKind() bool {
	return g.Code == 190 && strings.Contains(g.Message, "must be called with a")
}

// anyToken is what an access token looks like. An answer might show one that
// the call knows nothing of: another token of the same batch, or a fresh one.
var anyToken = regexp.MustCompile(`EAA[A-Za-z0-9_-]{16,}`)

// clean is [provider.Text] without any token.
func clean(s string, secrets ...oauth.Secret) string { return provider.Text(s, anyToken, secrets...) }
