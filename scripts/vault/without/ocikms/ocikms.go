// Package ocikms stands in for the wrapper of the seal ocikms.
package ocikms

import (
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without/seal"
)

// Environment variables and configuration keys of the seal.
const (
	EnvOciKmsWrapperKeyId                = "OCIKMS_WRAPPER_KEY_ID"
	EnvVaultOciKmsSealKeyId              = "VAULT_OCIKMS_SEAL_KEY_ID"
	EnvOciKmsWrapperCryptoEndpoint       = "OCIKMS_WRAPPER_CRYPTO_ENDPOINT"
	EnvVaultOciKmsSealCryptoEndpoint     = "VAULT_OCIKMS_CRYPTO_ENDPOINT"
	EnvOciKmsWrapperManagementEndpoint   = "OCIKMS_WRAPPER_MANAGEMENT_ENDPOINT"
	EnvVaultOciKmsSealManagementEndpoint = "VAULT_OCIKMS_MANAGEMENT_ENDPOINT"
	KmsConfigKeyId                       = "key_id"
	KmsConfigCryptoEndpoint              = "crypto_endpoint"
	KmsConfigManagementEndpoint          = "management_endpoint"
)

// NewWrapper returns a wrapper that cannot be configured.
func NewWrapper() *seal.Wrapper { return seal.Refuse(wrapping.WrapperTypeOciKms) }
