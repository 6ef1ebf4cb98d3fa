// Package cloudsqlconn stands in for the connector of Google Cloud SQL, which Vault's database engine uses with auth_type gcp_iam.
package cloudsqlconn

import "github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"

// An Option changes nothing.
type Option struct{}

// A DialOption changes nothing.
type DialOption struct{}

// WithIAMAuthN returns an option that changes nothing.
func WithIAMAuthN() Option { return Option{} }

// WithCredentialsJSON returns an option that changes nothing.
func WithCredentialsJSON([]byte) Option { return Option{} }

// WithDefaultDialOptions returns an option that changes nothing.
func WithDefaultDialOptions(...DialOption) Option { return Option{} }

// WithPrivateIP returns an option that changes nothing.
func WithPrivateIP() DialOption { return DialOption{} }

// WithPSC returns an option that changes nothing.
func WithPSC() DialOption { return DialOption{} }

// Refuse is RegisterDriver of the packages below. It returns an error.
func Refuse(string, ...Option) (cleanup func() error, err error) {
	return nil, without.Error("auth_type gcp_iam of a database")
}
