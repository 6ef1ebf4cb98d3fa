// Package config stands in for HCP's: the configuration of its clients.
package config

import (
	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// HCPConfig is what [NewHCPConfig] would return.
type HCPConfig interface {
	oauth2.TokenSource
	APIAddress() string
}

// An HCPConfigOption changes nothing.
type HCPConfigOption struct{}

// FromEnv returns an option that changes nothing.
func FromEnv() HCPConfigOption { return HCPConfigOption{} }

// WithClientCredentials returns an option that changes nothing.
func WithClientCredentials(id, secret string) HCPConfigOption { return HCPConfigOption{} }

// NewHCPConfig returns an error. Vault calls it if its configuration has the stanza cloud.
func NewHCPConfig(...HCPConfigOption) (HCPConfig, error) { return nil, without.Error("HCP Link") }
