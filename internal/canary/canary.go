// Package canary looks for secrets in places that must not contain any. A test
// plants secrets that cannot occur by chance, runs the engine, and searches
// everything that has left it: logs, responses, pages, URLs, storage.
//
// A secret seldom leaks unencoded. The search also finds it in hexadecimal and
// in base64, with either alphabet, padded or not, at any offset in the encoded
// text; and behind any mix of the escapes of URLs, JSON, Go's quoted strings and
// HTML. It does not find a secret behind compression, encryption or a line
// break.
//
// A search reads the text once for each combination of escapes. Its time does not
// depend on the number of secrets.
package canary

import (
	"cmp"
	"fmt"
	"slices"
)

// shortest is the least length of a secret, so that none occurs by chance.
const shortest = windowSize

// A Search holds the secrets to look for. The zero value looks for nothing. It
// is not safe for concurrent use while secrets are planted.
type Search struct {
	canaries []canary
	known    map[string]bool // secrets that are planted
	index    index
	ignored  []string // names of canaries to ignore
}

type canary struct{ name, secret string }

// A Finding is a canary that was found.
type Finding struct {
	// Name is the canary's name, Form its spelling in the text.
	Name, Form string
	// Around is the text around it.
	Around string
}

func (f Finding) String() string {
	return fmt.Sprintf("the %s, in %s: …%s…", f.Name, f.Form, f.Around)
}

// Plant makes s look for a secret and report it as name. It panics if the
// secret is shorter than 8 bytes. A secret that is planted twice keeps its first
// name.
func (s *Search) Plant(name, secret string) {
	if len(secret) < shortest {
		panic(fmt.Sprintf("canary: the %s is shorter than %d bytes", name, shortest))
	}
	if s.known[secret] {
		return
	}
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[secret] = true
	for _, f := range formsOf(secret) {
		f.canary = len(s.canaries)
		s.index.add(f)
	}
	s.canaries = append(s.canaries, canary{name, secret})
}

// Len returns the number of canaries in s.
func (s *Search) Len() int {
	n := 0
	for i := range s.canaries {
		if !s.ignores(i) {
			n++
		}
	}
	return n
}

// Without returns a Search that ignores the canaries with those names, for a
// place that is known to show them. It shares the canaries of s, so it is
// cheap, and Plant must not be called on either afterwards.
func (s *Search) Without(names ...string) *Search {
	without := *s
	without.ignored = slices.Concat(s.ignored, names)
	return &without
}

func (s *Search) ignores(canary int) bool {
	return slices.Contains(s.ignored, s.canaries[canary].name)
}

// Find returns the canaries that are in text, each of them once, in the order
// in which they were planted.
func (s *Search) Find(text []byte) []Finding {
	if len(s.canaries) == 0 {
		return nil
	}
	type located struct {
		Finding
		canary int
	}
	var found []located
	seen := map[int]bool{}
	for _, v := range viewsOf(text) {
		s.index.search(v.text, func(f form, at int) {
			if !seen[f.canary] && !s.ignores(f.canary) {
				seen[f.canary] = true
				found = append(found, located{Finding{s.canaries[f.canary].name, f.name + v.escape, around(v.text, at, len(f.needle))}, f.canary})
			}
		})
	}
	slices.SortFunc(found, func(a, b located) int { return cmp.Compare(a.canary, b.canary) })
	var findings []Finding
	for _, f := range found {
		findings = append(findings, f.Finding)
	}
	return findings
}

func around(text []byte, at, length int) string {
	return string(text[max(0, at-80):min(len(text), at+length+80)])
}
