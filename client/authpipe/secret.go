package authpipe

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// A Secret is a confidential string: an access token, a proof, an API key. It prints, formats, logs and marshals as "[redacted]", so
// that no log line shows it by accident. Reveal returns the string; its calls are easy to search for. The zero Secret is empty.
//
// It holds a pointer, which is all that fmt shows of a field that is not exported, whose methods it does not call. So compare
// Secrets with Equal.
type Secret struct{ value *string }

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal returns the secret in the clear.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal compares two secrets, in a time that does not depend on where they differ.
func (s Secret) Equal(t Secret) bool {
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(t.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String implements [fmt.Stringer].
func (Secret) String() string { return redacted }

// Format implements [fmt.Formatter], for the verbs that do not call String.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText implements [encoding.TextMarshaler], for JSON and slog.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// unprintable is embedded in a struct with a secret behind a field that is not exported, whose methods fmt does not call: the whole
// struct prints as "[redacted]".
type unprintable struct{}

// Format implements [fmt.Formatter].
func (unprintable) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
