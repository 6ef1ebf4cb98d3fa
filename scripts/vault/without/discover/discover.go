// Package discover stands in for go-discover, by which retry_join finds the nodes of a raft cluster in a cloud. Nodes that a
// configuration names by leader_api_addr do not need it.
package discover

import (
	"log"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

var errAutoJoin = without.Error("auto_join of retry_join")

// A Provider finds addresses in a cloud. There is none.
type Provider any

// Providers are the known clouds: none.
var Providers map[string]Provider

// Config is a parsed auto_join.
type Config map[string]string

// String returns the text that [Parse] would read.
func (Config) String() string { return "" }

// Parse returns an error, with which a server refuses a configuration that has auto_join.
func Parse(string) (Config, error) { return nil, errAutoJoin }

// Discover finds nothing.
type Discover struct{}

// An Option changes nothing.
type Option struct{}

// WithProviders returns an option that changes nothing.
func WithProviders(map[string]Provider) Option { return Option{} }

// New returns a Discover. It has no error, since Vault calls it for every join, with auto_join and without.
func New(...Option) (*Discover, error) { return &Discover{}, nil }

// Addrs returns an error. Vault calls it for an auto_join that came by the API.
func (*Discover) Addrs(string, *log.Logger) ([]string, error) { return nil, errAutoJoin }
