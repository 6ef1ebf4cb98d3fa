package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

const (
	batch       = 2_000  // credentials in a request to the filler
	cached      = 10_000 // credentials that are read to measure the cache's memory
	fillVersion = "v0.0.1"
)

// A raftVault is a real Vault with integrated storage.
type raftVault struct {
	*vaulttest.Server
	v       *vault
	version string // of the engine
	filled  int
}

// An idleCost is the cost of n idle credentials.
type idleCost struct {
	n                   int
	vaultCPU, cpu       time.Duration // in a minute
	vault, plugin       vaulttest.Usage
	warm                vaulttest.Usage // of the plugin after many reads
	snapshot, state     int64
	restarted, unsealed []time.Duration // until the first read
}

// asleep measures a real Vault with idle credentials for some minutes, and its starts.
func asleep(ctx context.Context, s *session) ([]row, error) {
	a, stop, err := newRaftVault(ctx, s)
	if err != nil {
		return nil, err
	}
	defer stop()
	empty, err := a.measure(ctx, s, 0)
	if err != nil {
		return nil, err
	}
	rows := []row{{what: "asleep: Vault's processor time a minute, without the engine", figure: inMS(empty.vaultCPU), detail: "one node with integrated storage, no requests"}}
	fb := newFacebook(authpipetest.Options{}, a.Addr+"/v1/authpipe/callback/facebook")
	defer fb.server.Close()
	if err := a.open(ctx, fb); err != nil {
		return rows, err
	}
	for _, n := range s.sizes {
		if err := a.fill(ctx, n); err != nil {
			return rows, fmt.Errorf("filling: %w", err)
		}
		r, err := a.measure(ctx, s, n)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r.rows(empty)...)
	}
	return rows, nil
}

func newRaftVault(ctx context.Context, s *session) (a *raftVault, stop func(), err error) {
	program, err := vaulttest.Build(".")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(filepath.Dir(program))
	dir, err := os.MkdirTemp(s.dir, "authpipe-bench-")
	if err != nil {
		return nil, nil, err
	}
	c, err := vaulttest.StartCluster(vaulttest.Options{Bin: s.vault, Program: program, Dir: dir})
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, nil, err
	}
	server := c.Nodes[0]
	return &raftVault{Server: server, v: &vault{addr: server.Addr, token: c.Token(), http: &http.Client{Timeout: 2 * time.Minute}}}, c.Stop, nil
}

// open mounts the engine, connects the first person and registers the filler, which stores the others.
func (a *raftVault) open(ctx context.Context, fb *facebook) error {
	if _, err := a.v.call(ctx, http.MethodPost, "sys/mounts/authpipe", map[string]any{"type": vaulttest.Plugin}); err != nil {
		return err
	}
	mount, err := a.v.call(ctx, http.MethodGet, "sys/mounts/authpipe", nil)
	if err != nil {
		return err
	}
	a.version, _ = mount["running_plugin_version"].(string)
	if err := fb.configure(ctx, mounted{a.v}, map[string]any{"check_interval": "0"}); err != nil {
		return err
	}
	if err := fb.connect(ctx, mounted{a.v}, crowd.Nth(0)); err != nil {
		return err
	}
	a.filled = 1
	program := filepath.Join(filepath.Dir(a.Program()), "filler")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./bench/filler")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the filler: %w\n%s", err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	client, err := a.Client()
	if err != nil {
		return err
	}
	return client.Sys().RegisterPlugin(&api.RegisterPluginInput{
		Name: vaulttest.Plugin, Type: api.PluginTypeSecrets, Command: "filler", SHA256: hex.EncodeToString(sum[:]), Version: fillVersion,
	})
}

// fill brings the mount to n credentials. Meanwhile the filler runs in the engine's place, and writes into its storage.
func (a *raftVault) fill(ctx context.Context, n int) error {
	begun := time.Now()
	if err := a.run(ctx, fillVersion); err != nil {
		return err
	}
	for ; a.filled < n; a.filled = min(a.filled+batch, n) {
		if _, err := a.v.call(ctx, http.MethodPost, "authpipe/fill", map[string]any{"first": a.filled, "last": min(a.filled+batch, n)}); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%d credentials after %.0f s … ", n, time.Since(begun).Seconds())
	return a.run(ctx, a.version)
}

// run switches the mount to a version of the plugin.
func (a *raftVault) run(ctx context.Context, version string) error {
	if _, err := a.v.call(ctx, http.MethodPost, "sys/mounts/authpipe/tune", map[string]any{"plugin_version": version}); err != nil {
		return err
	}
	_, err := a.v.call(ctx, http.MethodPut, "sys/plugins/reload/backend", map[string]any{"mounts": []string{"authpipe/"}})
	return err
}

func (a *raftVault) measure(ctx context.Context, s *session, n int) (r idleCost, err error) {
	r.n = n
	if n > 0 {
		if err := a.starts(ctx, &r); err != nil {
			return r, err
		}
	}
	if r.snapshot, err = a.snapshot(ctx); err != nil {
		return r, err
	}
	r.state, _ = a.Stored()
	vault, plugin := a.Usage()
	select { // whole minutes: in each, Vault calls the engine's PeriodicFunc once
	case <-ctx.Done():
		return r, ctx.Err()
	case <-time.After(time.Duration(s.minutes) * time.Minute):
	}
	minutes := time.Duration(max(s.minutes, 1))
	r.vault, r.plugin = a.Usage()
	r.vaultCPU, r.cpu = (r.vault.CPU-vault.CPU)/minutes, (r.plugin.CPU-plugin.CPU)/minutes
	for i := range min(n, cached) {
		if err := a.read(ctx, i); err != nil {
			return r, err
		}
	}
	_, r.warm = a.Usage()
	return r, nil
}

// starts kills the plugin, then restarts Vault, and measures the time to the first read.
func (a *raftVault) starts(ctx context.Context, r *idleCost) error {
	for i := range starts {
		a.KillPlugins()
		took, err := a.first(ctx, r.n*i/starts)
		if err != nil {
			return err
		}
		r.restarted = append(r.restarted, took)
	}
	for i := range starts {
		if err := a.End(); err != nil {
			return err
		}
		if err := a.Launch(); err != nil {
			return err
		}
		begun := time.Now()
		if err := a.Unseal(); err != nil {
			return err
		}
		if _, err := a.first(ctx, r.n*i/starts); err != nil {
			return err
		}
		r.unsealed = append(r.unsealed, time.Since(begun))
	}
	slices.Sort(r.restarted)
	slices.Sort(r.unsealed)
	return nil
}

// first reads a credential until that succeeds, and returns how long it took.
func (a *raftVault) first(ctx context.Context, n int) (time.Duration, error) {
	begun := time.Now()
	for {
		err := a.read(ctx, n)
		if err == nil || time.Since(begun) > patience {
			return time.Since(begun), err
		}
	}
}

func (a *raftVault) read(ctx context.Context, n int) error {
	_, err := a.v.call(ctx, http.MethodGet, "authpipe/creds/"+crowd.Nth(n).Ref, nil)
	return err
}

// snapshot takes a snapshot and returns its size.
func (a *raftVault) snapshot(ctx context.Context) (bytes int64, err error) {
	req, err := a.v.request(ctx, http.MethodGet, "sys/storage/raft/snapshot", nil)
	if err != nil {
		return 0, err
	}
	resp, err := a.v.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return io.Copy(io.Discard, resp.Body)
}

func (r idleCost) rows(empty idleCost) []row {
	name := func(what string) string { return fmt.Sprintf("asleep: %s, %d credentials", what, r.n) }
	each := func(with, without int64) string { return fmt.Sprintf("%.0f bytes", float64(with-without)/float64(r.n)) }
	return []row{
		{ratio: true, what: name("processor time of Vault and plugin to that of Vault without the engine"), figure: fmt.Sprintf("%.2f", float64(r.vaultCPU+r.cpu)/float64(empty.vaultCPU)), detail: "no requests"},
		{what: name("plugin's processor time a minute"), figure: inMS(r.cpu)},
		{what: name("Vault's processor time a minute"), figure: inMS(r.vaultCPU), detail: "without the engine " + inMS(empty.vaultCPU)},
		{what: name("plugin's memory"), figure: inMB(r.plugin.Own), detail: fmt.Sprintf("%s when %d of them were read; each and its program's text %s more", inMB(r.warm.Own), min(r.n, cached), inMB(r.plugin.Memory-r.plugin.Own))},
		{what: name("Vault's memory"), figure: inMB(r.vault.Own), detail: fmt.Sprintf("without the engine %s; with what it has mapped of files %s", inMB(empty.vault.Own), inMB(r.vault.Memory))},
		{what: name("plugin killed, to first read"), figure: inMS(quantile(r.restarted, 0.5)), detail: fmt.Sprintf("at most %s of %d, Vault's starting of the process included", inMS(r.restarted[len(r.restarted)-1]), starts)},
		{what: name("unsealing Vault, to first read"), figure: inMS(quantile(r.unsealed, 0.5)), detail: fmt.Sprintf("at most %s of %d", inMS(r.unsealed[len(r.unsealed)-1]), starts)},
		{what: name("snapshot, each"), figure: each(r.snapshot, empty.snapshot), detail: "compressed; the credentials are encrypted, and do not compress"},
		{what: name("storage, each"), figure: each(r.state, empty.state), detail: fmt.Sprintf("on the disk of a node: its file has %s, and %s when empty; raft's log is another file", inMB(r.state), inMB(empty.state))},
	}
}

func inMB(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
