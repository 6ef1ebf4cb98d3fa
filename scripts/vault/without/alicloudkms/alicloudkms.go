// Package alicloudkms stands in for the wrapper of the seal alicloudkms.
package alicloudkms

import (
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without/seal"
)

// Environment variables and configuration keys of the seal.
const (
	EnvAliCloudKmsWrapperKeyId   = "ALICLOUDKMS_WRAPPER_KEY_ID"
	EnvVaultAliCloudKmsSealKeyId = "VAULT_ALICLOUDKMS_SEAL_KEY_ID"
)

// NewWrapper returns a wrapper that cannot be configured.
func NewWrapper() *seal.Wrapper { return seal.Refuse(wrapping.WrapperTypeAliCloudKms) }
