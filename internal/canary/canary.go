// Package canary looks for secrets where none may be. A test plants those that
// it would know anywhere, lets the engine live for a while, and searches what
// has left it: logs, answers, pages, URLs, storage.
//
// A secret seldom escapes as it is. It is found in hexadecimal and in base64,
// of either alphabet, padded or not, and wherever it begins within what was
// encoded; and behind any mix of the escapes of URLs, JSON, Go's quoted strings
// and HTML. It is not found behind compression, encryption or a line break.
package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
)

// shortest is how long a canary must be, so that none is met by chance.
const shortest = 8

// A Search knows what to look for. The zero value looks for nothing. It is not
// safe for concurrent use while canaries are planted.
type Search struct{ canaries []canary }

type canary struct {
	name, secret string
	forms        []form
}

// A form is one spelling of a secret.
type form struct {
	name   string
	needle []byte
	// folded says that the case of letters does not matter; needle is lower.
	folded bool
}

// A Finding is a canary that was found.
type Finding struct {
	// Name is what the canary was planted as, Form how it was spelled.
	Name, Form string
	// Around is the text around it.
	Around string
}

func (f Finding) String() string {
	return fmt.Sprintf("the %s, in %s: …%s…", f.Name, f.Form, f.Around)
}

// Plant has s look for a secret, and call it name. It panics if the secret is
// shorter than 8 bytes. A secret that is planted twice keeps its first name.
func (s *Search) Plant(name, secret string) {
	if len(secret) < shortest {
		panic(fmt.Sprintf("canary: the %s is shorter than %d bytes", name, shortest))
	}
	if !slices.ContainsFunc(s.canaries, func(c canary) bool { return c.secret == secret }) {
		s.canaries = append(s.canaries, canary{name, secret, formsOf(secret)})
	}
}

// Len returns how many canaries there are.
func (s *Search) Len() int { return len(s.canaries) }

// Without returns a Search that does not look for the canaries of those names:
// for a place that is known to show them.
func (s *Search) Without(names ...string) *Search {
	return &Search{slices.DeleteFunc(slices.Clone(s.canaries), func(c canary) bool { return slices.Contains(names, c.name) })}
}

// Find returns the canaries that are in text, each of them once.
func (s *Search) Find(text []byte) []Finding {
	var found []Finding
	views := viewsOf(text)
	for _, c := range s.canaries {
		if f, ok := c.in(views); ok {
			found = append(found, f)
		}
	}
	return found
}

func (c canary) in(views []view) (Finding, bool) {
	for _, v := range views {
		for _, f := range c.forms {
			text := v.text
			if f.folded {
				text = v.lower
			}
			if at := bytes.Index(text, f.needle); at >= 0 {
				return Finding{c.name, f.name + v.escape, around(v.text, at, len(f.needle))}, true
			}
		}
	}
	return Finding{}, false
}

func around(text []byte, at, length int) string {
	return string(text[max(0, at-80):min(len(text), at+length+80)])
}

// formsOf returns the spellings of a secret. What is encoded as a whole may
// have been escaped before.
func formsOf(secret string) []form {
	forms := []form{
		{"plain text", []byte(secret), false},
		// A query has + for a space. Where + was escaped, it is none any more.
		{"a query", []byte(strings.ReplaceAll(secret, " ", "+")), false},
	}
	quoted, _ := json.Marshal(secret) // a string always can be
	spellings := []string{secret, url.QueryEscape(secret), string(quoted[1 : len(quoted)-1])}
	slices.Sort(spellings)
	for _, s := range slices.Compact(spellings) {
		forms = append(forms, form{"hex", []byte(hex.EncodeToString([]byte(s))), true})
		for before := range 3 {
			forms = append(forms,
				form{"base64", core(base64.RawStdEncoding, s, before), false},
				form{"base64url", core(base64.RawURLEncoding, s, before), false})
		}
	}
	return forms
}

// core returns those characters of s in base64 that its neighbours have no
// part in, if it comes after that many bytes modulo three.
func core(e *base64.Encoding, s string, before int) []byte {
	encoded := e.EncodeToString(append(make([]byte, before), s...))
	first := (8*before + 5) / 6
	return []byte(encoded[first : 8*(before+len(s))/6])
}

// A view is the text, or what it is with escapes undone.
type view struct {
	text, lower []byte
	escape      string // which, for a finding
}

// mostEscapes is how many escapes one within the other are undone: a URL in
// JSON in JSON.
const mostEscapes = 3

func viewsOf(text []byte) []view {
	views := []view{{text, bytes.ToLower(text), ""}}
	for i, depth := 0, 0; depth < mostEscapes; depth++ {
		for end := len(views); i < end; i++ {
			for _, u := range unescapers {
				undone := u.undo(views[i].text)
				if !slices.ContainsFunc(views, func(v view) bool { return bytes.Equal(v.text, undone) }) {
					views = append(views, view{undone, bytes.ToLower(undone), views[i].escape + ", escaped for " + u.name})
				}
			}
		}
	}
	return views
}

var unescapers = []struct {
	name string
	undo func([]byte) []byte
}{
	{"a URL", unescapeURL},
	{"JSON", unescapeJSON},
	{"HTML", func(b []byte) []byte { return []byte(html.UnescapeString(string(b))) }},
}

func unescapeURL(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if code, ok := hexAt(b, i+1, 2); ok && b[i] == '%' {
			out = append(out, byte(code))
			i += 2
			continue
		}
		out = append(out, b[i])
	}
	return out
}

// unescapeJSON undoes the escapes of JSON, and Go's of single bytes, wherever
// they are: a log is no JSON document.
func unescapeJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		i++
		switch b[i] {
		case 'u':
			if code, ok := hexAt(b, i+1, 4); ok {
				out = append(out, string(rune(code))...)
				i += 4
				continue
			}
		case 'x':
			if code, ok := hexAt(b, i+1, 2); ok {
				out = append(out, byte(code))
				i += 2
				continue
			}
		case 'n', 'r', 't', 'b', 'f':
			out = append(out, map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}[b[i]])
			continue
		}
		out = append(out, b[i])
	}
	return out
}

// hexAt returns the number that n hexadecimal digits at b[at] make.
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
