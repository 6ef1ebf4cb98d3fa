package oauth

import (
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxEscapes is the number of nested escapes that Hide undoes.
const maxEscapes = 8

// escape is one escaped byte of a URL, or one escaped character of JSON or Go.
var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\`)

// Hide returns foreign text without the secrets and without the matches of pattern (nil:
// none), in the clear or behind any mix of the escapes of URLs, JSON, Go and HTML. If the
// text has a secret behind escapes, it is returned with the escapes undone. Hide does not
// find a part of a secret, or a secret in another encoding.
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
		for _, form := range forms { // a part of a secret may look like an escape
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
			return "" // a backslash before another character
		case len(digits) == 4:
			return string(rune(n))
		}
		return string([]byte{byte(n)})
	}))
}
