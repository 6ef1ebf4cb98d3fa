package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// A Secret is a string that nobody but its reader may see: an access token, a
// client secret, an authorization code, a PKCE verifier. It prints, formats
// and marshals as "[redacted]", so that no log line, error or answer shows it
// by accident; what must carry it calls Reveal, which is easy to search for.
//
// It is a string all the same, and shows to who looks at it by reflection: in a
// field that is not exported (see [Unprintable]), under the verbs %p and %w
// (which go vet refuses), as the key of a map in JSON, and in a slice that
// hclog is given as a value.
type Secret string

// Reveal returns the secret in the clear.
func (s Secret) Reveal() string { return string(s) }

// Equal compares two secrets in constant time, whatever their lengths.
func (s Secret) Equal(t Secret) bool {
	a, b := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(t))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String implements [fmt.Stringer].
func (Secret) String() string { return redacted }

// Format implements [fmt.Formatter], for the verbs that do not ask String.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// Unprintable is embedded in a struct that holds a Secret in a field that is
// not exported. There the Secret cannot redact itself, since fmt asks only
// exported fields how they print: the whole struct prints as "[redacted]".
type Unprintable struct{}

// Format implements [fmt.Formatter].
func (Unprintable) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText implements [encoding.TextMarshaler]: JSON and hclog ask it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
