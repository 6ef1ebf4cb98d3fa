package main_test

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestOverwrittenPluginFileIsRepaired has another program in the file's place, as where an upgrade is copied over the old file under
// its registered checksum, and Vault sealed and unsealed with it.
func TestOverwrittenPluginFileIsRepaired(t *testing.T) {
	repairPluginFile(t, func(file string) error { return os.WriteFile(file, []byte("#!/bin/sh\nexit 1\n"), 0o755) }, func(server *vaultServer) error {
		server.call(t, http.MethodPut, "sys/seal", nil)
		return server.node.Unseal()
	})
}

// TestMissingPluginFileIsRepaired has the server start without the file.
func TestMissingPluginFileIsRepaired(t *testing.T) {
	repairPluginFile(t, func(string) error { return nil }, func(server *vaultServer) error {
		return errors.Join(server.node.End(), server.node.Launch(), server.node.Unseal())
	})
}

// repairPluginFile does what docs/operations.md says to do about a plugin file that was lost: the right file, a reload and, for
// writes, a change of leader. A server that has mounted nothing in the plugin's place runs the engine after a reload, but keeps the
// mount's storage closed to writes until it becomes active anew. replace puts what is there instead of the file; restart has Vault
// look for it.
func repairPluginFile(t *testing.T, replace func(file string) error, restart func(*vaultServer) error) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Vault server: left out with -short")
	}
	t.Parallel()
	server := startRaft(t, findVault(t), buildPlugin(t))
	facebook := authpipetest.NewFacebook(authpipetest.Options{})
	w := &world{server: server, facebook: facebook}
	w.mount(t, facebook.Start(t))
	w.connect(t, "org_acme/facebook/installation", alice)
	writes := func() int {
		_, status := server.try(http.MethodPost, "authpipe/settings", map[string]any{"tenant_metadata_key": "tenant"})
		return status
	}

	// What runs goes on.
	aside := server.plugin + ".aside"
	if err := errors.Join(os.Rename(server.plugin, aside), replace(server.plugin)); err != nil {
		t.Fatal(err)
	}
	if status := writes(); status != http.StatusNoContent {
		t.Errorf("before the restart a write is answered %d", status)
	}
	if err := restart(server); err != nil {
		t.Fatal(err)
	}
	server.awaitActive(t)
	if _, status := server.try(http.MethodGet, "authpipe/info", nil); status == http.StatusOK {
		t.Fatal("the engine is there without its file")
	}

	// Put right, it is there again after a reload, and has what it had.
	if err := os.Rename(aside, server.plugin); err != nil {
		t.Fatal(err)
	}
	server.call(t, http.MethodPut, "sys/plugins/reload/backend", map[string]any{"mounts": "authpipe/"})
	server.call(t, http.MethodGet, "authpipe/creds/org_acme/facebook/installation", nil)
	if status := writes(); status == http.StatusNoContent {
		t.Error("a reload is enough: say so in docs/operations.md")
	}
	server.stepDown(t)
	if status := writes(); status != http.StatusNoContent {
		t.Errorf("after a change of leader a write is answered %d", status)
	}
	w.connect(t, "org_acme/facebook/users/bob", bob)
}
