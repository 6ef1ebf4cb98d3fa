// Package gcputil stands in for what finds Google's credentials for the auto-auth method gcp. Its type gce needs none.
package gcputil

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// GcpCredentials is what [FindCredentials] would return.
type GcpCredentials struct{ ClientEmail string }

// FindCredentials returns an error.
func FindCredentials(string, context.Context, ...string) (*GcpCredentials, oauth2.TokenSource, error) {
	return nil, nil, without.Error("auto-auth by gcp, type iam,")
}
