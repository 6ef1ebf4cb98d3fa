package vaulttest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/vault/api"
)

// Options configure a [Cluster]. Bin and Program are required.
type Options struct {
	Bin     string // the Vault
	Program string // the plugin, built
	Size    int    // how many nodes; zero: one
	Dir     string // the directory of all their files. Empty: a new one, which Stop removes
	More    string // added to each node's configuration
	// Wired connects the nodes by wires that can be cut: see [Cluster.Isolate].
	Wired bool
}

// A Cluster is a number of servers with integrated storage.
type Cluster struct {
	Options
	Nodes []*Server

	token string // the root token
	key   string // the unseal key

	mu       sync.Mutex
	isolated *Server       // nil: none
	healed   chan struct{} // closed when it is no longer isolated
}

// StartCluster starts a cluster that has the plugin in its catalog. The first node is active.
func StartCluster(o Options) (*Cluster, error) {
	c := &Cluster{Options: o}
	if err := c.start(); err != nil {
		c.Stop()
		return nil, fmt.Errorf("starting Vault: %w", err)
	}
	return c, nil
}

func (c *Cluster) start() (err error) {
	if c.Dir == "" {
		if c.Dir, err = os.MkdirTemp("", "authpipe-vault-"); err != nil {
			return err
		}
	}
	if c.Dir, err = filepath.EvalSymlinks(c.Dir); err != nil { // Vault requires the plugin directory's real path
		return err
	}
	for i := range max(c.Size, 1) {
		c.Nodes = append(c.Nodes, &Server{cluster: c, name: fmt.Sprintf("n%d", i+1)})
	}
	for _, s := range c.Nodes {
		if err := s.settle(); err != nil {
			return err
		}
	}
	return c.register()
}

// settle starts a node for the first time.
func (s *Server) settle() error {
	if err := os.MkdirAll(filepath.Dir(s.Program()), 0o700); err != nil {
		return err
	}
	if err := link(s.cluster.Program, s.Program()); err != nil {
		return err
	}
	if s.cluster.Wired {
		wire, err := newWire(s)
		if err != nil {
			return err
		}
		s.wire = wire
	}
	if err := s.listen(); err != nil {
		return err
	}
	if s == s.cluster.Nodes[0] {
		if err := s.initialize(); err != nil {
			return err
		}
	}
	if err := s.Unseal(); err != nil {
		return err
	}
	if s != s.cluster.Nodes[0] {
		return nil
	}
	return s.await("to be active", s.active)
}

// link gives a program a second name, so that each node's plugin processes can be found by name. On another file system it is a copy.
func link(program, name string) error {
	if os.Link(program, name) == nil {
		return nil
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o755)
}

func (s *Server) initialize() error {
	vault, err := s.Client()
	if err != nil {
		return err
	}
	begun, err := vault.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return err
	}
	s.cluster.key, s.cluster.token = begun.Keys[0], begun.RootToken
	return nil
}

// register registers the plugin in the catalog, which all nodes share.
func (c *Cluster) register() error {
	program, err := os.ReadFile(c.Program)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(program)
	vault, err := c.Nodes[0].Client()
	if err != nil {
		return err
	}
	return vault.Sys().RegisterPlugin(&api.RegisterPluginInput{
		Name: Plugin, Type: api.PluginTypeSecrets, Command: Plugin, SHA256: hex.EncodeToString(sum[:]),
	})
}

// Token returns the root token.
func (c *Cluster) Token() string { return c.token }

// Key returns the nodes' unseal key.
func (c *Cluster) Key() string { return c.key }

// Inherit makes the cluster use the token and the key of another one, whose snapshot it has restored.
func (c *Cluster) Inherit(from *Cluster) { c.token, c.key = from.token, from.key }

// Active returns the node that serves the others.
func (c *Cluster) Active() (*Server, error) {
	for _, s := range c.Nodes {
		if s.PID() != 0 && s.Active() {
			return s, nil
		}
	}
	return nil, errors.New("no node is active")
}

// Each calls do for all nodes concurrently.
func (c *Cluster) Each(do func(*Server) error) error {
	var all sync.WaitGroup
	errs := make([]error, len(c.Nodes))
	for i, s := range c.Nodes {
		all.Go(func() { errs[i] = do(s) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Stop ends the servers and removes their files.
func (c *Cluster) Stop() {
	c.Heal()
	_ = c.Each((*Server).End) // a server that had to be killed has ended, too
	for _, s := range c.Nodes {
		s.wire.close()
		s.KillPlugins()
	}
	_ = os.RemoveAll(c.Dir)
}
