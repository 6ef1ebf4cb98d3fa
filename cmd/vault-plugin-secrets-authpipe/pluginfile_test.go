package main_test

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestOverwrittenPluginFileIsRepaired replaces the file by another program, as happens if an upgrade is copied over the old file,
// and seals and unseals Vault.
func TestOverwrittenPluginFileIsRepaired(t *testing.T) {
	repairPluginFile(t, func(file string) error { return os.WriteFile(file, []byte("#!/bin/sh\nexit 1\n"), 0o755) }, func(server *vaultServer) error {
		server.call(t, http.MethodPut, "sys/seal", nil)
		return server.node.Unseal()
	})
}

// TestMissingPluginFileIsRepaired starts the server without the file.
func TestMissingPluginFileIsRepaired(t *testing.T) {
	repairPluginFile(t, func(string) error { return nil }, func(server *vaultServer) error {
		return errors.Join(server.node.End(), server.node.Launch(), server.node.Unseal())
	})
}

// repairPluginFile follows docs/operations.md for a lost plugin file: restore the file, reload and, for writes, change the leader. After
// the reload the server runs the engine again, but keeps the mount's storage closed to writes until it becomes active anew. replace
// changes the file; restart makes Vault load it.
func repairPluginFile(t *testing.T, replace func(file string) error, restart func(*vaultServer) error) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Vault server: left out with -short")
	}
	t.Parallel()
	server := startRaft(t, findVault(t), buildPlugin(t))
	facebook := authpipetest.NewFacebook(authpipetest.Options{})
	w := &environment{server: server, facebook: facebook}
	w.mount(t, facebook.Start(t))
	w.connect(t, "org_acme/facebook/installation", alice)
	writes := func() int {
		_, status := server.try(http.MethodPost, "authpipe/settings", map[string]any{"tenant_metadata_key": "tenant"})
		return status
	}

	// The running plugin goes on.
	aside := server.plugin + ".aside"
	if err := errors.Join(os.Rename(server.plugin, aside), replace(server.plugin)); err != nil {
		t.Fatal(err)
	}
	if status := writes(); status != http.StatusNoContent {
		t.Errorf("before the restart a write has status %d", status)
	}
	if err := restart(server); err != nil {
		t.Fatal(err)
	}
	server.awaitActive(t)
	if _, status := server.try(http.MethodGet, "authpipe/info", nil); status == http.StatusOK {
		t.Fatal("the engine runs without its file")
	}

	// With the file restored, the engine runs again after a reload, with its data.
	if err := os.Rename(aside, server.plugin); err != nil {
		t.Fatal(err)
	}
	server.call(t, http.MethodPut, "sys/plugins/reload/backend", map[string]any{"mounts": "authpipe/"})
	server.call(t, http.MethodGet, "authpipe/creds/org_acme/facebook/installation", nil)
	if status := writes(); status == http.StatusNoContent {
		t.Error("a reload is enough; change docs/operations.md")
	}
	server.stepDown(t)
	if status := writes(); status != http.StatusNoContent {
		t.Errorf("after a change of leader a write has status %d", status)
	}
	w.connect(t, "org_acme/facebook/users/bob", bob)
}
