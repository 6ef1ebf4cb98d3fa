// Package azurekeyvault stands in for the wrapper of the seal azurekeyvault.
package azurekeyvault

import (
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without/seal"
)

// Environment variables and configuration keys of the seal.
const (
	EnvAzureKeyVaultWrapperVaultName = "AZUREKEYVAULT_WRAPPER_VAULT_NAME"
	EnvVaultAzureKeyVaultVaultName   = "VAULT_AZUREKEYVAULT_VAULT_NAME"
	EnvAzureKeyVaultWrapperKeyName   = "AZUREKEYVAULT_WRAPPER_KEY_NAME"
	EnvVaultAzureKeyVaultKeyName     = "VAULT_AZUREKEYVAULT_KEY_NAME"
)

// NewWrapper returns a wrapper that cannot be configured.
func NewWrapper() *seal.Wrapper { return seal.Refuse(wrapping.WrapperTypeAzureKeyVault) }

// WithDisallowEnvVars returns an option that changes nothing.
func WithDisallowEnvVars(bool) wrapping.Option { return func() any { return nil } }
