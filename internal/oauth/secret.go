package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"unique"
)

const redacted = "[redacted]"

// A Secret is a string that nobody but its reader may see: an access token, a
// client secret, an authorization code, a PKCE verifier. It prints, formats
// and marshals as "[redacted]", so that no log line, error or answer shows it
// by accident; what must carry it calls Reveal, which is easy to search for.
//
// It holds no string but a handle to one, so that who looks at it by
// reflection, and asks no method, finds an address: in a field that is not
// exported, under the verbs %p and %w, in a list that hclog is given. Secrets
// of the same string are equal under ==. The zero value is the empty one.
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

// Format implements [fmt.Formatter], for the verbs that do not ask String.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText implements [encoding.TextMarshaler]: JSON and hclog ask it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
