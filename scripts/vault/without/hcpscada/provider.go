// Package provider stands in for the connection between Vault and HCP. It is never reached: Vault first needs a configuration of
// HCP, which is left out as well.
package provider

import (
	"errors"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcp-sdk-go/clients/cloud-shared/v1/models"
	"github.com/hashicorp/hcp-sdk-go/config"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// States of the connection.
const (
	SessionStatusConnected    = "connected"
	SessionStatusConnecting   = "connecting"
	SessionStatusWaiting      = "waiting"
	SessionStatusDisconnected = "disconnected"
)

// Errors of the connection.
var (
	ErrProviderNotStarted = errors.New("not started")
	ErrInvalidCredentials = errors.New("invalid credentials")
	ErrPermissionDenied   = errors.New("permission denied")
)

// Config is the configuration of the connection.
type Config struct {
	Service   string
	Resource  models.HashicorpCloudLocationLink
	HCPConfig config.HCPConfig
	Logger    hclog.Logger
}

// SCADAProvider is what [New] would return.
type SCADAProvider interface {
	Start() error
	Stop() error
	Listen(capability string) (net.Listener, error)
	UpdateMeta(map[string]string)
	SessionStatus() string
	LastError() (time.Time, error)
}

// New returns an error.
func New(*Config) (SCADAProvider, error) { return nil, without.Error("HCP Link") }
