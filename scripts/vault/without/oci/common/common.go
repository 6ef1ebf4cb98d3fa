// Package common stands in for the SDK of Oracle's cloud, which the auto-auth method oci uses.
package common

import (
	"net/http"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// Err is the error of the auto-auth method oci.
var Err = without.Error("auto-auth by oci")

// A ConfigurationProvider finds credentials.
type ConfigurationProvider interface {
	KeyID() (string, error)
}

type none struct{}

// KeyID returns an error. Vault calls it before it authenticates.
func (none) KeyID() (string, error) { return "", Err }

// ConfigurationProviderEnvironmentVariables returns a provider that returns an error.
func ConfigurationProviderEnvironmentVariables(prefix, password string) ConfigurationProvider {
	return none{}
}

// ConfigurationProviderFromFile returns a provider that returns an error.
func ConfigurationProviderFromFile(path, password string) (ConfigurationProvider, error) {
	return none{}, nil
}

// ComposingConfigurationProvider returns a provider that returns an error.
func ComposingConfigurationProvider([]ConfigurationProvider) (ConfigurationProvider, error) {
	return none{}, nil
}

// Signer signs nothing.
type Signer struct{}

// DefaultRequestSigner returns a signer that returns an error.
func DefaultRequestSigner(ConfigurationProvider) Signer { return Signer{} }

// Sign returns an error.
func (Signer) Sign(*http.Request) error { return Err }
