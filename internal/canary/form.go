package canary

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// A form is one spelling of a secret.
type form struct {
	name   string
	canary int // the index of its canary
	needle []byte
	folded bool // letter case does not matter; needle is in lower case
}

// formsOf returns the spellings of a secret. A secret may have been escaped
// before it was encoded.
func formsOf(secret string) []form {
	var forms []form
	add := func(name string, needle []byte, folded bool) {
		if !slices.ContainsFunc(forms, func(f form) bool { return string(f.needle) == string(needle) && f.folded == folded }) {
			forms = append(forms, form{name: name, needle: needle, folded: folded})
		}
	}
	add("plain text", []byte(secret), false)
	// A query has + for a space, but a view in which %2B was undone has + for itself.
	add("a query", []byte(strings.ReplaceAll(secret, " ", "+")), false)
	quoted, _ := json.Marshal(secret) // cannot fail for a string
	for _, s := range []string{secret, url.QueryEscape(secret), string(quoted[1 : len(quoted)-1])} {
		add("hex", []byte(hex.EncodeToString([]byte(s))), true)
		for before := range 3 {
			add("base64", core(base64.RawStdEncoding, s, before), false)
			add("base64url", core(base64.RawURLEncoding, s, before), false)
		}
	}
	return forms
}

// core returns the characters of s in base64 that do not depend on the bytes
// around it, if the number of bytes before it is before, modulo three.
func core(e *base64.Encoding, s string, before int) []byte {
	encoded := e.EncodeToString(append(make([]byte, before), s...))
	first := (8*before + 5) / 6
	return []byte(encoded[first : 8*(before+len(s))/6])
}
