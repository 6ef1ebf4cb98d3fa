package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"unique"
)

const redacted = "[redacted]"

// A Secret is a confidential string: an access token, a client secret, an
// authorization code, a PKCE verifier. It prints, formats and marshals as
// "[redacted]", so that no log line, error or response shows it by accident.
// Reveal returns the string; its calls are easy to search for.
//
// It holds a handle to the string, so that code that prints by reflection,
// without calling a method, shows an address: for a field that is not exported,
// for the verbs %p and %w, or for a list in hclog. Secrets of the same string are
// equal under ==. The zero value is the empty secret.
type Secret struct{ handle unique.Handle[string] }

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{unique.Make(s)}
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s == Secret{} }

// Reveal returns the secret in the clear.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.handle.Value()
}

// Equal compares two secrets in constant time, whatever their lengths.
func (s Secret) Equal(t Secret) bool {
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(t.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String implements [fmt.Stringer].
func (Secret) String() string { return redacted }

// Format implements [fmt.Formatter], for the verbs that do not call String.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText implements [encoding.TextMarshaler], for JSON and hclog.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
