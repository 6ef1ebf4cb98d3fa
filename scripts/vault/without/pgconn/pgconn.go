// Package pgconn stands in for what Vault's database engine uses for PostgreSQL, a plugin that Vault's tag minimal leaves out.
package pgconn

import (
	"context"
	"crypto/tls"
)

// FallbackConfig is an address to try.
type FallbackConfig struct {
	Host      string
	Port      uint16
	TLSConfig *tls.Config
}

// ParseConfigOptions are none.
type ParseConfigOptions struct {
	GetSSLPassword func(context.Context) string
}

// NetworkAddress returns nothing. It is never reached: pgx.ParseConfig returns an error before.
func NetworkAddress(host string, port uint16) (network, address string) { return "", "" }
