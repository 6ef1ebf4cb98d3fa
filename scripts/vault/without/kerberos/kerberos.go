// Package kerberos stands in for what the auto-auth method kerberos uses.
package kerberos

import "github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"

// LoginCfg says how to log in.
type LoginCfg struct {
	Username, Service, Realm, KeytabPath, Krb5ConfPath string
	DisableFASTNegotiation                             bool
}

// GetAuthHeaderVal returns an error.
func GetAuthHeaderVal(*LoginCfg) (string, error) { return "", without.Error("auto-auth by kerberos") }
