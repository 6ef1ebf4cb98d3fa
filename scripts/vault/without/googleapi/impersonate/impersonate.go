// Package impersonate stands in for Google's, which the provider gsuite of auth method jwt uses.
package impersonate

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// CredentialsConfig says whom to impersonate.
type CredentialsConfig struct {
	TargetPrincipal, Subject string
	Scopes                   []string
}

// CredentialsTokenSource returns an error.
func CredentialsTokenSource(context.Context, CredentialsConfig) (oauth2.TokenSource, error) {
	return nil, without.Error("provider gsuite of auth method jwt")
}
