package authpipe

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// A Secret is a string that nobody but its user may see: an access token, a proof, an API key. It prints, formats, logs and
// marshals as "[redacted]", so that no log line shows it by accident; what must carry it calls Reveal, which is easy to
// search for. The zero Secret is none.
//
// It holds a pointer, which is all that fmt shows where it cannot ask the Secret how it prints: in a field that is not
// exported. So compare Secrets by Equal.
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

// IsZero tells whether there is none.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal compares two secrets, in a time that does not tell where they differ.
func (s Secret) Equal(t Secret) bool {
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(t.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String implements [fmt.Stringer].
func (Secret) String() string { return redacted }

// Format implements [fmt.Formatter], for the verbs that do not ask String.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText implements [encoding.TextMarshaler]: JSON and slog ask it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// unprintable is embedded in a struct with something secret behind a field that is not exported, whose methods fmt does
// not ask: the whole struct prints as "[redacted]".
type unprintable struct{}

// Format implements [fmt.Formatter].
func (unprintable) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
