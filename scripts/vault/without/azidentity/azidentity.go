// Package azidentity stands in for what finds Azure's credentials for the auto-auth method azure with
// authenticate_from_environment. Without that the method needs none.
package azidentity

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

var errEnvironment = without.Error("auto-auth by azure with authenticate_from_environment")

// DefaultAzureCredential is what [NewDefaultAzureCredential] would return.
type DefaultAzureCredential struct{}

// DefaultAzureCredentialOptions are none.
type DefaultAzureCredentialOptions struct{}

// AccessToken is what [DefaultAzureCredential.GetToken] would return.
type AccessToken struct{ Token string }

// NewDefaultAzureCredential returns an error.
func NewDefaultAzureCredential(*DefaultAzureCredentialOptions) (*DefaultAzureCredential, error) {
	return nil, errEnvironment
}

// GetToken returns an error.
func (*DefaultAzureCredential) GetToken(context.Context, policy.TokenRequestOptions) (AccessToken, error) {
	return AccessToken{}, errEnvironment
}
