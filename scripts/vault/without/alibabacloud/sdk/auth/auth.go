// Package auth stands in for Alibaba Cloud's.
package auth

import "github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"

// Err is the error of the auto-auth method alicloud.
var Err = without.Error("auto-auth by alicloud")

// A Credential is what a provider would return.
type Credential any
