package oauth

import (
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxEscapes is how many layers of escapes Hide looks behind.
const maxEscapes = 8

// escape is one escaped byte of a URL, or one escaped character of JSON or Go.
var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\`)

// Hide returns foreign text without the secrets and without what matches pattern (nil:
// none), in the clear or behind the escapes of URLs, JSON, Go and HTML, in any mix. Text
// that shows a secret only behind escapes is returned without these. Not hidden is a part
// of a secret, or a secret in another encoding.
func Hide(text string, pattern *regexp.Regexp, secrets ...Secret) string {
	forms := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		if !secret.IsZero() {
			forms = append(forms, secret.Reveal())
		}
	}
	hide := func(s string) string {
		for _, form := range forms {
			s = strings.ReplaceAll(s, form, redacted)
		}
		if pattern != nil {
			s = pattern.ReplaceAllLiteralString(s, redacted)
		}
		return s
	}
	text = hide(text)
	view := text
	for range maxEscapes {
		plain := unescape(view)
		if plain == view {
			break
		}
		for _, form := range forms { // what is no escape in a secret may look like one
			if plain := unescape(form); plain != "" && !slices.Contains(forms, plain) {
				forms = append(forms, plain)
			}
		}
		if view = hide(plain); view != plain {
			text = view
		}
	}
	return text
}

// unescape undoes one layer of escapes of each kind.
func unescape(s string) string {
	return html.UnescapeString(escape.ReplaceAllStringFunc(s, func(s string) string {
		digits := strings.TrimLeft(s, `%\ux`)
		n, err := strconv.ParseUint(digits, 16, 32)
		switch {
		case err != nil:
			return "" // a backslash before a character that stays
		case len(digits) == 4:
			return string(rune(n))
		}
		return string([]byte{byte(n)})
	}))
}
