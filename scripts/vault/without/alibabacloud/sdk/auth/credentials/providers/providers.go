// Package providers stands in for Alibaba Cloud's, by which the auto-auth method alicloud finds its credentials.
package providers

import "github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"

// Configuration is the configured part of the credentials.
type Configuration struct {
	AccessKeyID, AccessKeySecret, AccessKeyStsToken string
	RoleArn, RoleSessionName, RoleName              string
	PrivateKey, PublicKeyID                         string
	RoleSessionExpiration, SessionExpiration        *int
}

// A Provider finds credentials.
type Provider interface {
	Retrieve() (auth.Credential, error)
}

type none struct{}

func (none) Retrieve() (auth.Credential, error) { return nil, auth.Err }

// NewEnvCredentialProvider returns a provider that returns an error.
func NewEnvCredentialProvider() Provider { return none{} }

// NewConfigurationCredentialProvider returns a provider that returns an error.
func NewConfigurationCredentialProvider(*Configuration) Provider { return none{} }

// NewInstanceMetadataProvider returns a provider that returns an error.
func NewInstanceMetadataProvider() Provider { return none{} }

// NewChainProvider returns a provider that returns an error. Vault calls it before it authenticates.
func NewChainProvider([]Provider) Provider { return none{} }
