package flow

import (
	"crypto/sha256"
	"strings"
	"unicode"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// An Answer is what the provider sent to the redirect URI (RFC 6749, sections
// 4.1.2 and 4.1.2.1, and the additions of some providers). Anyone can send one.
type Answer struct {
	State            oauth.Secret
	Code             oauth.Secret
	Error            string
	ErrorReason      string
	ErrorDescription string
	ErrorCode        string
	ErrorMessage     string
}

// Longer answers are not looked up. Codes are a few hundred characters long.
const (
	maxCode  = 4096
	maxError = 1024
)

// trimmed returns the answer without the fragment of a copied URL: some providers redirect
// to one that has a fragment, such as #_=_. A state or a code contains no #, but the text of
// an error may, before a word.
func (a Answer) trimmed() Answer {
	a.State, a.Code = withoutFragment(a.State), withoutFragment(a.Code)
	for _, s := range []*string{&a.Error, &a.ErrorReason, &a.ErrorCode} {
		*s, _, _ = strings.Cut(*s, "#")
	}
	for _, s := range []*string{&a.ErrorDescription, &a.ErrorMessage} {
		if i := strings.LastIndex(*s, "#"); i >= 0 && !strings.ContainsFunc((*s)[i:], isWordRune) {
			*s = (*s)[:i]
		}
	}
	return a
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func withoutFragment(s oauth.Secret) oauth.Secret {
	before, _, _ := strings.Cut(s.Reveal(), "#")
	return oauth.NewSecret(before)
}

// denied reports whether the answer brings an error and no code.
func (a Answer) denied() bool { return a.Error != "" || a.ErrorCode != "" || a.ErrorMessage != "" }

// wellFormed reports whether the answer is one that a provider could have
// sent: a state, and either a code or an error.
func (a Answer) wellFormed() bool {
	for _, s := range []string{a.Error, a.ErrorReason, a.ErrorDescription, a.ErrorCode, a.ErrorMessage} {
		if len(s) > maxError {
			return false
		}
	}
	// A state has the form of a session's id.
	return isSessionID(a.State.Reveal()) && isCode(a.Code.Reveal()) && a.Code.IsZero() == a.denied()
}

// isCode reports whether s is empty or can be an authorization code: visible characters of
// ASCII (RFC 6749, appendix A.11, allows spaces too). Two spellings that a provider reads
// as one code must not be two codes here.
func isCode(s string) bool {
	return len(s) <= maxCode && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// hash is equal for equal answers.
func (a Answer) hash() []byte {
	text := "code\x00" + a.Code.Reveal()
	if a.denied() {
		text = strings.Join([]string{"error", a.Error, a.ErrorReason, a.ErrorDescription, a.ErrorCode, a.ErrorMessage}, "\x00")
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// reason says why the resource owner came back without a code. The browser brought these
// words: they may be logged, but not shown on a page.
func (a Answer) reason() string {
	var said []string
	for _, s := range []string{a.Error, a.ErrorReason, a.ErrorDescription, a.ErrorCode, a.ErrorMessage} {
		s = strings.Map(func(r rune) rune {
			if oauth.IsControl(r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(s, ""))
		// The browser may have put the state into any field. No state is stored or logged,
		// not even one that is spent.
		s = strings.ReplaceAll(s, a.State.Reveal(), a.State.String())
		if s != "" {
			said = append(said, firstRunes(s, maxReason))
		}
	}
	return strings.ToValidUTF8("the provider sent the person back without a code ("+strings.Join(said, ", ")+"); begin again if they want to", "")
}

// maxReason is how many characters of each field of a denial are stored.
const maxReason = 100

// firstRunes returns the first n characters of s.
func firstRunes(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}
