// Package mysql stands in for the connector's driver for MySQL.
package mysql

import "cloud.google.com/go/cloudsqlconn"

// RegisterDriver returns an error.
func RegisterDriver(name string, opts ...cloudsqlconn.Option) (cleanup func() error, err error) {
	return cloudsqlconn.Refuse(name, opts...)
}
