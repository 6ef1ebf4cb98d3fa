// Package config stands in for the configuration of HCP Link.
package config

import (
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcp-link/pkg/nodestatus"
	scada "github.com/hashicorp/hcp-scada-provider"
	"github.com/hashicorp/hcp-sdk-go/clients/cloud-shared/v1/models"
	"github.com/hashicorp/hcp-sdk-go/config"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// Config is the configuration of a link.
type Config struct {
	NodeID, NodeVersion string
	HCPConfig           config.HCPConfig
	Resource            models.HashicorpCloudLocationLink
	NodeStatusReporter  nodestatus.Reporter
	SCADAProvider       scada.SCADAProvider
	Logger              hclog.Logger
}

// Validate returns an error.
func (*Config) Validate() error { return without.Error("HCP Link") }
