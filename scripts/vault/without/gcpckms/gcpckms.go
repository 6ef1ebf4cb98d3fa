// Package gcpckms stands in for the wrapper of the seal gcpckms.
package gcpckms

import (
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without/seal"
)

// Environment variables and configuration keys of the seal.
const (
	EnvGcpCkmsWrapperCredsPath   = "GOOGLE_CREDENTIALS"
	EnvGcpCkmsWrapperProject     = "GOOGLE_PROJECT"
	EnvGcpCkmsWrapperLocation    = "GOOGLE_REGION"
	EnvGcpCkmsWrapperKeyRing     = "GCPCKMS_WRAPPER_KEY_RING"
	EnvVaultGcpCkmsSealKeyRing   = "VAULT_GCPCKMS_SEAL_KEY_RING"
	EnvGcpCkmsWrapperCryptoKey   = "GCPCKMS_WRAPPER_CRYPTO_KEY"
	EnvVaultGcpCkmsSealCryptoKey = "VAULT_GCPCKMS_SEAL_CRYPTO_KEY"
)

// NewWrapper returns a wrapper that cannot be configured.
func NewWrapper() *seal.Wrapper { return seal.Refuse(wrapping.WrapperTypeGcpCkms) }
