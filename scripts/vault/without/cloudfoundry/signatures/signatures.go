// Package signatures stands in for what the auto-auth method cf uses.
package signatures

import (
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// TimeFormat is the format of a signature's time.
const TimeFormat = time.RFC3339

// SignatureData is what is to be signed.
type SignatureData struct {
	SigningTime            time.Time
	Role                   string
	CFInstanceCertContents string
}

// Sign returns an error.
func Sign(key string, _ *SignatureData) (string, error) { return "", without.Error("auto-auth by cf") }
