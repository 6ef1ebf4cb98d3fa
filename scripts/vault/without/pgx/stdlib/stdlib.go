// Package stdlib stands in for the driver for PostgreSQL, as database/sql uses it. It is never reached: pgx.ParseConfig returns an
// error before.
package stdlib

import (
	"database/sql"

	"github.com/jackc/pgx/v4"
)

// OpenDB returns nothing.
func OpenDB(pgx.ConnConfig) *sql.DB { return nil }

// RegisterConnConfig returns nothing.
func RegisterConnConfig(*pgx.ConnConfig) string { return "" }
