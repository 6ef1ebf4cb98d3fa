package oauth

import "unicode"

// IsControl reports whether r must not occur in a name or a line of text: it is a
// control character, ends a line, or embeds, overrides or isolates a direction of
// writing, which can make a text read as another one. Joiners and combining marks
// are no such characters: some scripts need them, although [unicode.IsPrint]
// returns false for some.
func IsControl(r rune) bool {
	switch {
	case r == '\u2028', r == '\u2029': // line and paragraph separator
		return true
	case '\u202A' <= r && r <= '\u202E', '\u2066' <= r && r <= '\u2069':
		return true
	}
	return unicode.IsControl(r)
}
