package paths

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// helpWidth is how wide the framework's own lines of help are at the most.
const helpWidth = 80

var (
	segment = regexp.MustCompile(`\(\?P<(\w+)>\[\^/\]\+\)`)
	pattern = regexp.MustCompile(`(?m)^( *|Matching Route: )\^(.*?)(/?)\??\$$`)
)

// Help returns the framework's help with its patterns written as paths, creds/<tenant>/,
// and long lines wrapped.
func Help(text string) string {
	text = segment.ReplaceAllString(text, "<$1>")
	text = pattern.ReplaceAllString(text, "$1$2$3")
	var wrapped strings.Builder
	for line := range strings.Lines(text) {
		wrap(&wrapped, line)
	}
	return strings.TrimRight(wrapped.String(), "\n")
}

// wrap writes a line as several with the same indentation.
func wrap(to *strings.Builder, line string) {
	if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) <= helpWidth {
		to.WriteString(line)
		return
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	length := 0 // of the line so far
	for word := range strings.FieldsSeq(line) {
		n := utf8.RuneCountInString(word)
		switch {
		case length == 0:
			to.WriteString(indent)
			length = len(indent)
		case length+1+n > helpWidth:
			to.WriteString("\n" + indent)
			length = len(indent)
		default:
			to.WriteString(" ")
			length++
		}
		to.WriteString(word)
		length += n
	}
	to.WriteString("\n")
}
