package main_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// patience is how long a test waits for an event that must happen. Only a failing test waits that long. Vault's tick comes once a
// minute, and due work may also have to wait for its own minute.
const patience = vaulttest.Patience

// pluginName is the plugin's file name and so, in a dev server, its name in the catalog.
const pluginName = "authpipe"

// vaultServer is a Vault in dev mode: in memory, unsealed, and gone with the test.
type vaultServer struct {
	addr   string // http://127.0.0.1:port
	token  string // the root token
	log    string // the file that it logs to, at trace level, its plugins' logs included
	plugin string // the plugin's program, which no other server runs
	temp   string // its TMPDIR, where the plugin makes its socket
	bao    bool   // it is an OpenBao

	node *vaulttest.Server // nil in dev mode

	process *os.Process
	exited  <-chan struct{}
}

// startVault starts a server with the plugin in its catalog, and stops it with the test.
func startVault(tb testing.TB, bin, plugin string) *vaultServer {
	tb.Helper()
	plugin = linkPlugin(tb, plugin)
	for range 5 { // another process may take the port before Vault listens on it
		address, err := vaulttest.FreeAddress()
		if err != nil {
			tb.Fatalf("starting Vault: %v", err)
		}
		s := &vaultServer{
			addr:   "http://" + address,
			token:  rand.Text(),
			log:    filepath.Join(tb.TempDir(), "vault.log"),
			plugin: plugin,
			bao:    isOpenBao(tb, bin),
		}
		if err := s.launch(bin); err != nil {
			tb.Fatalf("starting Vault: %v", err)
		}
		tb.Cleanup(func() { s.stop(tb) })
		// A dev server registers the plugin last when it starts.
		err = vaulttest.Await("the plugin in Vault's catalog", patience, s.exited, s.hasPlugin)
		if err == nil {
			return s
		}
		log, _ := os.ReadFile(s.log)
		if !strings.Contains(string(log), "address already in use") {
			tb.Fatalf("starting Vault: %v\n%s", err, log)
		}
	}
	tb.Fatal("starting Vault: found no free port")
	return nil
}

// linkPlugin links the program into an empty directory. A dev server registers every file in it.
func linkPlugin(tb testing.TB, program string) string {
	tb.Helper()
	dir, err := filepath.EvalSymlinks(tb.TempDir()) // Vault and the kernel use the directory's real path
	if err != nil {
		tb.Fatal(err)
	}
	link := filepath.Join(dir, pluginName)
	if err := os.Link(program, link); err != nil {
		tb.Fatal(err)
	}
	return link
}

func (s *vaultServer) launch(bin string) error {
	// For the search under the barrier.
	config := filepath.Join(filepath.Dir(s.log), "vault.hcl")
	if err := os.WriteFile(config, []byte("raw_storage_endpoint = true\n"+s.auditStanza()), 0o600); err != nil {
		return err
	}
	return s.start(exec.Command(bin, "server", "-dev", "-dev-no-store-token",
		"-dev-listen-address="+strings.TrimPrefix(s.addr, "http://"),
		"-dev-plugin-dir="+filepath.Dir(s.plugin), "-config="+config, "-log-level=trace"))
}

// start starts the server's process.
func (s *vaultServer) start(cmd *exec.Cmd) error {
	// In append mode, so that the server does not overwrite a test's own lines.
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Env = []string{ // without the variables of the developer's own Vault
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + filepath.Dir(s.log),
		"VAULT_DEV_ROOT_TOKEN_ID=" + s.token,
	}
	cmd.Stdout, cmd.Stderr = log, log
	s.exited, err = vaulttest.StartProcess(cmd)
	s.process = cmd.Process
	for _, variable := range cmd.Env { // of two, the last one counts
		if dir, ok := strings.CutPrefix(variable, "TMPDIR="); ok {
			s.temp = dir
		}
	}
	return err
}

// hasPlugin returns an error unless the plugin is in the server's catalog.
func (s *vaultServer) hasPlugin() error {
	answer, err := s.request(http.MethodGet, "sys/plugins/catalog", nil)
	if err == nil && !strings.Contains(fmt.Sprint(answer.body), pluginName) {
		err = fmt.Errorf("status %d, and the catalog has no %s", answer.status, pluginName)
	}
	return err
}

// stop lets Vault stop its plugins and itself. It kills a server that does not, and fails the test. It may be repeated.
func (s *vaultServer) stop(tb testing.TB) {
	if s.node != nil {
		if err := s.node.End(); err != nil {
			tb.Errorf("stopping Vault: %v", err)
		}
	} else {
		s.end(tb)
	}
	for _, pid := range vaulttest.ProcessesOf(s.plugin) {
		tb.Errorf("stopping Vault: a process of the plugin is left: %d", pid)
	}
}

func (s *vaultServer) end(tb testing.TB) {
	if err := s.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("stopping Vault: %v", err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		_ = s.process.Kill()
		<-s.exited
		tb.Errorf("stopping Vault: it had to be killed, %v after SIGTERM", patience)
	}
}
