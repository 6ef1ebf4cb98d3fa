// Package credentials stands in for the AWS SDK's.
package credentials

import "github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"

// Err is the error of the auto-auth method aws.
var Err = without.Error("auto-auth by aws")

// Credentials are none.
type Credentials struct{}

// Value is what [Credentials.Get] would return.
type Value struct{}

// Get returns an error.
func (*Credentials) Get() (Value, error) { return Value{}, Err }

// IsExpired reports true.
func (*Credentials) IsExpired() bool { return true }
