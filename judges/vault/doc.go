// Package clients has tests only: clients of Vault that others wrote, as their own documentation says to use them, against the
// plugin in a real Vault and the Facebook simulator in the package authpipetest. See ../README.md. It is a module of its own, so that
// these clients do not become requirements of the plugin.
package clients
