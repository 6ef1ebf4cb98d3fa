// Package clients has only tests: they use third-party clients of Vault, according to the clients' own documentation, against the
// plugin in a real Vault and the Facebook simulator in the package authpipetest. See ../README.md. It is a module of its own, so that
// these clients do not become requirements of the plugin.
package clients
