// Package vaulthcplib stands in for what connects the vault CLI to a Vault that HCP runs.
package vaulthcplib

import (
	"time"

	"github.com/hashicorp/cli"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// HCPToken is what a helper would return.
type HCPToken struct {
	AccessToken       string
	AccessTokenExpiry time.Time
	ProxyAddr         string
}

// An HCPTokenHelper returns the token of a connection.
type HCPTokenHelper interface {
	GetHCPToken(home string) (*HCPToken, error)
}

// InternalHCPTokenHelper has no connection.
type InternalHCPTokenHelper struct{}

// GetHCPToken returns none. The CLI calls it for every command. A connection that a release of the CLI has made stays unused.
func (*InternalHCPTokenHelper) GetHCPToken(string) (*HCPToken, error) { return nil, nil }

// InitHCPCommand returns the commands, which fail.
func InitHCPCommand(ui cli.Ui) map[string]cli.CommandFactory {
	commands := make(map[string]cli.CommandFactory)
	for _, name := range []string{"hcp connect", "hcp disconnect"} {
		commands[name] = func() (cli.Command, error) { return command{ui, name}, nil }
	}
	return commands
}

type command struct {
	ui   cli.Ui
	name string
}

func (c command) Synopsis() string { return "Not part of this build" }

func (c command) Help() string { return c.err().Error() }

func (c command) Run([]string) int {
	c.ui.Error(c.err().Error())
	return 1
}

func (c command) err() error { return without.Error("vault " + c.name) }
