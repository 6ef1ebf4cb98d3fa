// Package link stands in for HCP Link. It is never reached: Vault first needs a configuration of HCP, which is left out as well.
package link

import (
	"github.com/hashicorp/hcp-link/pkg/config"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// Link is what [New] would return.
type Link interface {
	Start() error
	Stop() error
}

// New returns an error.
func New(*config.Config) (Link, error) { return nil, without.Error("HCP Link") }
