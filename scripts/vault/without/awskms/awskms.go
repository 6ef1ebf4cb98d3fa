// Package awskms stands in for the wrapper of the seal awskms.
package awskms

import (
	"github.com/hashicorp/go-hclog"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without/seal"
)

// Environment variables and configuration keys of the seal.
const (
	EnvAwsKmsWrapperKeyId   = "AWSKMS_WRAPPER_KEY_ID"
	EnvVaultAwsKmsSealKeyId = "VAULT_AWSKMS_SEAL_KEY_ID"
)

// NewWrapper returns a wrapper that cannot be configured.
func NewWrapper() *seal.Wrapper { return seal.Refuse(wrapping.WrapperTypeAwsKms) }

// WithDisallowEnvVars returns an option that changes nothing.
func WithDisallowEnvVars(bool) wrapping.Option { return func() any { return nil } }

// WithLogger returns an option that changes nothing. Vault passes it to the wrapper of the Shamir seal as well, which ignores the
// real one.
func WithLogger(hclog.Logger) wrapping.Option { return func() any { return nil } }
