// Package pgx stands in for the driver for PostgreSQL, whose database plugin Vault's tag minimal leaves out.
package pgx

import (
	"github.com/jackc/pgconn"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// ConnConfig is what [ParseConfig] would return.
type ConnConfig struct {
	pgconn.FallbackConfig
	Fallbacks []*pgconn.FallbackConfig
}

// ParseConfig returns an error.
func ParseConfig(string) (*ConnConfig, error) { return nil, without.Error("PostgreSQL") }
