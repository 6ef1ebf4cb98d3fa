package canary

import (
	"bytes"
	"html"
	"slices"
)

// A view is the text itself, or the text with some escapes undone.
type view struct {
	text   []byte
	escape string // which escapes, for a finding
}

// mostEscapes is the number of nested escapes that are undone: a URL in JSON in
// JSON.
const mostEscapes = 3

func viewsOf(text []byte) []view {
	views := []view{{text, ""}}
	for i, depth := 0, 0; depth < mostEscapes; depth++ {
		for end := len(views); i < end; i++ {
			for _, u := range unescapers {
				if bytes.IndexByte(views[i].text, u.lead) < 0 {
					continue
				}
				undone := u.undo(views[i].text)
				if !slices.ContainsFunc(views, func(v view) bool { return bytes.Equal(v.text, undone) }) {
					views = append(views, view{undone, views[i].escape + ", escaped for " + u.name})
				}
			}
		}
	}
	return views
}

// unescapers each undo one kind of escape, which begins with the byte lead.
var unescapers = []struct {
	name string
	lead byte
	undo func([]byte) []byte
}{
	{"a URL", '%', unescapeURL},
	{"JSON", '\\', unescapeJSON},
	{"HTML", '&', func(b []byte) []byte { return []byte(html.UnescapeString(string(b))) }},
}

func unescapeURL(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for {
		i := bytes.IndexByte(b, '%')
		if i < 0 {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		if code, ok := hexAt(b, i+1, 2); ok {
			out = append(out, byte(code))
			b = b[i+3:]
			continue
		}
		out = append(out, '%')
		b = b[i+1:]
	}
}

// unescapeJSON undoes the escapes of JSON, and Go's of single bytes, anywhere
// in the text: a log is not a JSON document.
func unescapeJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 || i+1 == len(b) {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		switch c := b[i+1]; c {
		case 'u':
			if code, ok := hexAt(b, i+2, 4); ok {
				out = append(out, string(rune(code))...)
				b = b[i+6:]
				continue
			}
			out = append(out, c)
		case 'x':
			if code, ok := hexAt(b, i+2, 2); ok {
				out = append(out, byte(code))
				b = b[i+4:]
				continue
			}
			out = append(out, c)
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		default:
			out = append(out, c)
		}
		b = b[i+2:]
	}
}

// hexAt returns the number of n hexadecimal digits at b[at].
func hexAt(b []byte, at, n int) (code uint32, ok bool) {
	if at+n > len(b) {
		return 0, false
	}
	for _, c := range b[at : at+n] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		code = code<<4 | uint32(c)
	}
	return code, true
}
