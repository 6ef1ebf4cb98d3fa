package oauth

import "unicode"

// IsControl reports whether r has no place in a name or a line of text: it is a
// control character, ends a line, or embeds, overrides or isolates a direction
// of writing, by which a text can be made to read as another. All else belongs
// to some script: joiners and combining marks, too, which [unicode.IsPrint]
// does not take for printable in all cases.
func IsControl(r rune) bool {
	switch {
	case r == '\u2028', r == '\u2029': // line and paragraph separator
		return true
	case '\u202A' <= r && r <= '\u202E', '\u2066' <= r && r <= '\u2069':
		return true
	}
	return unicode.IsControl(r)
}
