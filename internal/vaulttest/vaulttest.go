// Package vaulttest runs the built plugin in a real Vault server, for tests of what talks to it. The server keeps what it has on
// disk, so it can be restarted; it listens on loopback and ends, at the latest, when its test's process does.
package vaulttest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"
)

// patience is how long anything may take that is waited for.
const patience = 30 * time.Second

// Plugin is the plugin's name in the catalog.
const Plugin = "authpipe"

// A Server is a Vault.
type Server struct {
	Addr string // http://127.0.0.1:port

	bin, dir string
	token    string // the root token
	key      string // that unseals it
	process  *os.Process
	exited   <-chan struct{}
}

// Find returns the Vault to test in, for a test in a package two levels below the module's root. It builds none: that would take
// longer than a test may.
func Find(root string) (bin string, err error) {
	if bin := os.Getenv("VAULT_BIN"); bin != "" {
		return bin, nil
	}
	out, err := exec.Command(filepath.Join(root, "scripts", "vault.sh"), "--find").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("finding a Vault server to test in: %w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("finding a Vault server to test in: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Start builds the plugin of the module at root and starts a server that has it in its catalog.
func Start(root string) (*Server, error) {
	bin, err := Find(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "authpipe-vault-")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // Vault insists on the plugin directory's real name
		return nil, err
	}
	s := &Server{bin: bin, dir: dir}
	if err := s.prepare(root); err != nil {
		s.Stop()
		return nil, fmt.Errorf("starting Vault: %w", err)
	}
	return s, nil
}

func (s *Server) prepare(root string) error {
	program := filepath.Join(s.dir, "plugins", Plugin)
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./cmd/vault-plugin-secrets-authpipe")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the plugin: %w\n%s", err, out)
	}
	if err := s.listen(); err != nil {
		return err
	}
	vault, err := s.Client()
	if err != nil {
		return err
	}
	begun, err := vault.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return err
	}
	s.key, s.token = begun.Keys[0], begun.RootToken
	if err := s.Unseal(); err != nil {
		return err
	}
	bytes, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(bytes)
	vault.SetToken(s.token)
	return vault.Sys().RegisterPlugin(&api.RegisterPluginInput{
		Name: Plugin, Type: api.PluginTypeSecrets, Command: Plugin, SHA256: hex.EncodeToString(sum[:]),
	})
}

// listen starts the server on a free port.
func (s *Server) listen() error {
	for range 5 { // another process may take the port between our finding it free and Vault's listening on it
		address, err := freeAddress()
		if err != nil {
			return err
		}
		s.Addr = "http://" + address
		if err := s.Launch(); err == nil || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
	}
	return errors.New("found no free port")
}

const config = `disable_mlock = true
plugin_directory = %q
api_addr = %q
cluster_addr = "https://127.0.0.1:%d"
listener "tcp" {
  address = %q
  tls_disable = true
}
storage "raft" {
  path = %q
  node_id = "n1"
  performance_multiplier = 1
}
`

// Launch starts the server's process, at the address where it was if it was stopped, and waits until it listens. It is sealed.
func (s *Server) Launch() error {
	address := strings.TrimPrefix(s.Addr, "http://")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	storage := filepath.Join(s.dir, "raft")
	if err := os.MkdirAll(storage, 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf(config, filepath.Join(s.dir, "plugins"), s.Addr, n+1, address, storage)
	if err := os.WriteFile(filepath.Join(s.dir, "vault.hcl"), []byte(text), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.bin, "server", "-config="+filepath.Join(s.dir, "vault.hcl"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir} // nothing of the developer's own Vault
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The kernel takes the thread that forked for the parent, so that thread must live as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.process, s.exited = cmd.Process, exited
	return s.await(func() bool {
		connection, err := net.Dial("tcp", address)
		return err == nil && connection.Close() == nil
	})
}

// Unseal unseals the server and waits until it serves.
func (s *Server) Unseal() error {
	vault, err := s.Client()
	if err != nil {
		return err
	}
	if _, err := vault.Sys().Unseal(s.key); err != nil {
		return err
	}
	return s.await(func() bool {
		health, err := vault.Sys().Health()
		return err == nil && health.Initialized && !health.Sealed && !health.Standby
	})
}

// await waits until something has come about, or the process has ended.
func (s *Server) await(about func() bool) error {
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !about() {
		select {
		case <-again.C:
			continue
		case <-s.exited:
		case <-deadline:
		}
		text, _ := os.ReadFile(s.log())
		return fmt.Errorf("it does not answer:\n%s", text)
	}
	return nil
}

func (s *Server) log() string { return filepath.Join(s.dir, "vault.log") }

// Client returns Vault's own client, with the root token.
func (s *Server) Client() (*api.Client, error) {
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, c.Error
	}
	c.Address = s.Addr
	vault, err := api.NewClient(c)
	if err != nil {
		return nil, err
	}
	vault.SetToken(s.token)
	return vault, nil
}

// End lets the server's process stop its plugin and itself, and kills one that will not. What it has stays on disk.
func (s *Server) End() {
	if s.process == nil {
		return
	}
	_ = s.process.Signal(syscall.SIGTERM) // or it has ended already
	select {
	case <-s.exited:
	case <-time.After(patience):
		_ = s.process.Kill()
		<-s.exited
	}
	s.process = nil
}

// Stop ends the server and removes what it had.
func (s *Server) Stop() {
	s.End()
	_ = os.RemoveAll(s.dir)
}

// freeAddress returns an address with a free port, below those that kernels hand out by themselves. Vault listens on the port
// after it too, for its cluster.
func freeAddress() (string, error) {
	for range 1000 {
		port := 20000 + 2*mathrand.IntN(5000)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if free(address) && free(fmt.Sprintf("127.0.0.1:%d", port+1)) {
			return address, nil
		}
	}
	return "", errors.New("found no free port")
}

func free(address string) bool {
	l, err := net.Listen("tcp", address)
	return err == nil && l.Close() == nil
}
