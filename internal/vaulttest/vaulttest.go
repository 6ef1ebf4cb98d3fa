// Package vaulttest runs the built plugin in a real Vault server, for tests of the plugin and of its clients. The server has its storage
// on disk, so it can be restarted. It listens on loopback and ends, at the latest, when its test's process ends.
package vaulttest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"
)

// Plugin is the plugin's name in the catalog.
const Plugin = "authpipe"

// A Server is a Vault: one node of a cluster, and often the only one.
type Server struct {
	Addr string // http://127.0.0.1:port

	cluster *Cluster
	name    string                     // of the node
	wire    *wire                      // through which the other nodes reach it; nil: directly
	process atomic.Pointer[os.Process] // nil: it is not running
	exited  <-chan struct{}
}

// Find returns the Vault to test with, for a test in a package two levels below the module's root. It builds none: that would take too
// long for a test.
func Find(root string) (bin string, err error) {
	if bin := os.Getenv("VAULT_BIN"); bin != "" {
		return bin, nil
	}
	out, err := exec.Command(filepath.Join(root, "scripts", "vault.sh"), "--find").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("finding a Vault server to test with: %w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("finding a Vault server to test with: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Start starts a server that has the program in its catalog, for a test in the module at root.
func Start(root, program string) (*Server, error) {
	bin, err := Find(root)
	if err != nil {
		return nil, err
	}
	c, err := StartCluster(Options{Bin: bin, Program: program})
	if err != nil {
		return nil, err
	}
	return c.Nodes[0], nil
}

// Build builds the plugin of the module at root, in a directory of its own. If the test has the race detector, the plugin has it, too.
func Build(root string) (program string, err error) {
	dir, err := os.MkdirTemp("", "authpipe-plugin-")
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, Plugin)
	// With the flags of make build or of go test, so that most of it is in Go's cache.
	build := exec.Command("go", "build")
	if raceEnabled {
		build.Args = append(build.Args, "-race")
	} else {
		build.Args = append(build.Args, "-trimpath")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	build.Args = append(build.Args, "-o", program, "./cmd/vault-plugin-secrets-authpipe")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("building the plugin: %w\n%s", err, out)
	}
	return program, nil
}

// listen starts the server on a free port.
func (s *Server) listen() error {
	for range 5 { // another process may take the port before Vault listens on it
		address, err := FreeAddress()
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
cluster_addr = "https://%s"
listener "tcp" {
  address = %q
  cluster_address = %q
  tls_disable = true
}
storage "raft" {
  path = %q
  node_id = %q
  performance_multiplier = 1
  %s
}
`

// configure writes the server's configuration.
func (s *Server) configure() error {
	address := strings.TrimPrefix(s.Addr, "http://")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	own := net.JoinHostPort(host, strconv.Itoa(n+1))
	known, join := own, ""
	if s.wire != nil {
		s.wire.lead(own)
		known = s.wire.address()
	}
	if first := s.cluster.Nodes[0]; first != s {
		join = fmt.Sprintf("retry_join {\n    leader_api_addr = %q\n  }", first.Addr)
	}
	if err := os.MkdirAll(s.storage(), 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf(config, filepath.Dir(s.Program()), s.Addr, known, address, own, s.storage(), s.name, join) + s.cluster.More
	return os.WriteFile(s.file(".hcl"), []byte(text), 0o600)
}

// Launch starts the server's process, at its former address if it has one, and waits until it listens. It is sealed.
func (s *Server) Launch() error {
	if err := s.configure(); err != nil {
		return err
	}
	log, err := os.OpenFile(s.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.cluster.Bin, "server", "-config="+s.file(".hcl"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.cluster.Dir} // without the variables of the developer's own Vault
	cmd.Stdout, cmd.Stderr = log, log
	exited, err := StartProcess(cmd)
	if err != nil {
		return err
	}
	s.exited = exited
	s.process.Store(cmd.Process)
	return s.await("to listen", func() error {
		connection, err := net.Dial("tcp", strings.TrimPrefix(s.Addr, "http://"))
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

// Unseal unseals the server and waits until it serves requests, by itself or, as a standby, through the active node. A node refuses to
// be unsealed until it has joined its cluster.
func (s *Server) Unseal() error {
	vault, err := s.Client()
	if err != nil {
		return err
	}
	return s.await("to be unsealed", func() error {
		health, err := vault.Sys().Health()
		if err == nil && health.Initialized && !health.Sealed {
			if health.Standby && len(s.cluster.Nodes) == 1 {
				return errors.New("it is a standby")
			}
			return nil
		}
		if _, refused := vault.Sys().Unseal(s.cluster.key); refused != nil { // it is tried again: a node that has not joined refuses
			return refused
		}
		return fmt.Errorf("its health is %+v, %v", health, err)
	})
}

// Active reports whether the server is the active node of its cluster.
func (s *Server) Active() bool { return s.active() == nil }

// active returns an error with the reason if the server is not the active node of its cluster.
func (s *Server) active() error {
	vault, err := s.Client()
	if err != nil {
		return err
	}
	health, err := vault.Sys().Health()
	if err == nil && (!health.Initialized || health.Sealed || health.Standby) {
		err = fmt.Errorf("its health is %+v", *health)
	}
	return err
}

// await waits until check passes, or the process has ended. Its error ends with the server's log.
func (s *Server) await(what string, check func() error) error {
	err := Await(s.name+" "+what, Patience, s.exited, check)
	if err != nil {
		text, _ := os.ReadFile(s.Log())
		err = fmt.Errorf("%w\nits log:\n%s", err, text)
	}
	return err
}

func (s *Server) file(end string) string { return filepath.Join(s.cluster.Dir, s.name+end) }

// Log returns the path of the server's log, which includes its plugins' logs.
func (s *Server) Log() string { return s.file(".log") }

// Program returns the path of the plugin's program, which no other server runs.
func (s *Server) Program() string { return filepath.Join(s.file(".plugins"), Plugin) }

// storage returns the path of the server's storage.
func (s *Server) storage() string { return s.file("") }

// Client returns Vault's own client, with the root token.
func (s *Server) Client() (*api.Client, error) {
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, c.Error
	}
	c.Address, c.Timeout = s.Addr, Patience
	vault, err := api.NewClient(c)
	if err != nil {
		return nil, err
	}
	vault.SetToken(s.cluster.token)
	return vault, nil
}

// End lets the server's process stop its plugin and itself. It kills a process that does not stop, and returns an error. The storage
// stays on disk.
func (s *Server) End() (err error) {
	process := s.process.Load()
	if process == nil {
		return nil
	}
	_ = process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-s.exited:
	case <-time.After(Patience):
		_ = process.Kill()
		<-s.exited
		err = fmt.Errorf("ending %s: it had to be killed, %v after SIGTERM", s.name, Patience)
	}
	s.process.Store(nil)
	return err
}

// Kill ends the server's process as a crash would: without stopping its plugin's processes.
func (s *Server) Kill() {
	if process := s.process.Load(); process != nil {
		_ = process.Kill() // it may have ended already
		<-s.exited
		s.process.Store(nil)
	}
}

// PID returns the id of the server's process, or 0 if it is not running.
func (s *Server) PID() int {
	if process := s.process.Load(); process != nil {
		return process.Pid
	}
	return 0
}

// KillPlugins ends the processes of the node's plugin as a crash would.
func (s *Server) KillPlugins() {
	for _, pid := range ProcessesOf(s.Program()) {
		if process, err := os.FindProcess(pid); err == nil {
			_ = process.Kill() // it may have ended already
		}
	}
}

// Stop ends the server's cluster and removes its files.
func (s *Server) Stop() { s.cluster.Stop() }

// Reopen waits until a server has sealed itself, because it cannot decrypt the snapshot of another cluster, and unseals it with that
// cluster's key: see [Cluster.Inherit]. A server that does not seal itself within a minute is killed and started again, as an operator
// would do: Vault 1.21 sometimes hangs while it seals itself, with "stopping raft active node" as the last line of its log.
func (s *Server) Reopen() error {
	vault, err := s.Client()
	if err != nil {
		return err
	}
	err = Await(s.name+" to seal itself", time.Minute, s.exited, func() error {
		status, err := vault.Sys().SealStatus()
		if err == nil && !status.Sealed {
			err = fmt.Errorf("its seal status is %+v", *status)
		}
		return err
	})
	if err != nil {
		s.Kill()
		if err := s.Launch(); err != nil {
			return err
		}
	}
	return s.Unseal()
}
