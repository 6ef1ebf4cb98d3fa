package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// patience is how long a measurement waits for an event that must happen.
const patience = vaulttest.Patience

// plugins are the programs in a server's catalog, by their names there.
var plugins = map[string]string{
	"authpipe": "./cmd/vault-plugin-secrets-authpipe",
	"constant": "./bench/constant",
}

// A vault is a dev server for one measurement: in memory, unsealed, on loopback.
type vault struct {
	addr  string // http://127.0.0.1:port
	token string // the root token
	dir   string // all its files
	http  *http.Client

	process *os.Process
	exited  <-chan struct{}
}

// servers starts a Vault, and a simulated Facebook that redirects to it.
func (s *session) servers(ctx context.Context) (v *vault, fb *facebook, stop func(), err error) {
	v, err = startVault(ctx, s.vault)
	if err != nil {
		return nil, nil, nil, err
	}
	fb = newFacebook(authpipetest.Options{}, v.addr+"/v1/authpipe/callback/facebook")
	return v, fb, func() { fb.server.Close(); v.stop() }, nil
}

// startVault builds the plugins and starts a server with them in its catalog.
func startVault(ctx context.Context, bin string) (*vault, error) {
	if bin == "" {
		return nil, errors.New("starting Vault: no binary: run make bench, or say -vault")
	}
	dir, err := os.MkdirTemp("", "authpipe-bench-")
	if err != nil {
		return nil, err
	}
	v := &vault{token: rand.Text(), dir: dir, http: &http.Client{Timeout: patience}}
	if err = v.build(ctx); err == nil {
		err = v.start(ctx, bin)
	}
	if err != nil {
		v.stop()
		return nil, err
	}
	return v, nil
}

// build builds the plugins into the plugin directory. A dev server registers every file in it.
func (v *vault) build(ctx context.Context) error {
	for name, pkg := range plugins {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(v.dir, "plugins", name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

func (v *vault) start(ctx context.Context, bin string) error {
	for range 5 { // another process may take the port before Vault listens on it
		address, err := vaulttest.FreeAddress()
		if err != nil {
			return err
		}
		v.addr = "http://" + address
		if err := v.launch(bin, address); err != nil {
			return fmt.Errorf("starting Vault: %w", err)
		}
		// A dev server registers the plugins last when it starts.
		err = vaulttest.Await("the plugins in Vault's catalog", patience, v.exited, func() error {
			if ctx.Err() != nil {
				return nil // the context has ended
			}
			return v.hasPlugins(ctx)
		})
		if err == nil {
			return ctx.Err()
		}
		v.end()
		if log, _ := os.ReadFile(v.log()); !strings.Contains(string(log), "address already in use") {
			return fmt.Errorf("starting Vault: %w\n%s", err, log)
		}
	}
	return errors.New("starting Vault: found no free port")
}

func (v *vault) log() string { return filepath.Join(v.dir, "vault.log") }

func (v *vault) launch(bin, address string) error {
	log, err := os.Create(v.log())
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(bin, "server", "-dev", "-dev-no-store-token",
		"-dev-listen-address="+address, "-dev-plugin-dir="+filepath.Join(v.dir, "plugins"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + v.dir, "VAULT_DEV_ROOT_TOKEN_ID=" + v.token} // without the variables of the user's own Vault
	cmd.Stdout, cmd.Stderr = log, log
	exited, err := vaulttest.StartProcess(cmd)
	if err != nil {
		return err
	}
	v.process, v.exited = cmd.Process, exited
	return nil
}

// hasPlugins returns an error unless the server has all plugins. It reads the detailed catalog, the only one with plugins that report
// a version.
func (v *vault) hasPlugins(ctx context.Context) error {
	catalog, err := v.call(ctx, http.MethodGet, "sys/plugins/catalog", nil)
	if err != nil {
		return err
	}
	known := 0
	detailed, _ := catalog["detailed"].([]any)
	for _, entry := range detailed {
		if plugin, ok := entry.(map[string]any); ok {
			if name, _ := plugin["name"].(string); plugins[name] != "" {
				known++
			}
		}
	}
	if known != len(plugins) {
		return fmt.Errorf("the catalog has %d of %d", known, len(plugins))
	}
	return nil
}

// call makes a request of the API and returns the data of its response, with numbers as they are written there.
func (v *vault) call(ctx context.Context, method, path string, body map[string]any) (map[string]any, error) {
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(b)
	}
	req, err := v.request(ctx, method, path, sent)
	if err != nil {
		return nil, err
	}
	resp, err := v.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(answer))
	}
	var parsed struct{ Data map[string]any }
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	if err := decoder.Decode(&parsed); err != nil && len(answer) > 0 {
		return nil, fmt.Errorf("%s %s: reading the answer: %w", method, path, err)
	}
	return parsed.Data, nil
}

func (v *vault) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, v.addr+"/v1/"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Token", v.token)
	return req, nil
}

// end lets the server stop its plugins and itself, and kills a server that does not.
func (v *vault) end() {
	if v.process == nil {
		return
	}
	_ = v.process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-v.exited:
	case <-time.After(patience):
		_ = v.process.Kill()
		<-v.exited
	}
	v.process = nil
}

// stop ends the server and removes its files.
func (v *vault) stop() {
	v.end()
	_ = os.RemoveAll(v.dir)
}
