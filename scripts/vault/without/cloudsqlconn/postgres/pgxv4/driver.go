// Package pgxv4 stands in for the connector's driver for PostgreSQL.
package pgxv4

import "cloud.google.com/go/cloudsqlconn"

// RegisterDriver returns an error.
func RegisterDriver(name string, opts ...cloudsqlconn.Option) (cleanup func() error, err error) {
	return cloudsqlconn.Refuse(name, opts...)
}
