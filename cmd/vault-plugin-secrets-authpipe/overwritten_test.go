package main_test

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestOverwrittenPluginFileIsRepaired does what docs/operations.md says to do where the file was overwritten under its registered
// checksum and Vault was sealed and unsealed with it: the right file, a reload, and, for writes, a change of leader.
func TestOverwrittenPluginFileIsRepaired(t *testing.T) {
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

	// Another program comes in its place, as where an upgrade is copied over the old file. What runs goes on.
	aside := server.plugin + ".aside"
	if err := errors.Join(os.Rename(server.plugin, aside), os.WriteFile(server.plugin, []byte("#!/bin/sh\nexit 1\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if status := writes(); status != http.StatusNoContent {
		t.Errorf("before the seal a write is answered %d", status)
	}
	server.call(t, http.MethodPut, "sys/seal", nil)
	if err := server.node.Unseal(); err != nil {
		t.Fatal(err)
	}
	server.awaitActive(t)
	if _, status := server.try(http.MethodGet, "authpipe/info", nil); status == http.StatusOK {
		t.Fatal("the engine is there with another program's file")
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
