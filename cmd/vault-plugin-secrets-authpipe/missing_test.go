package main_test

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestMissingPluginFileNeedsChangeOfLeader does what docs/operations.md says to do about it. A server that has mounted nothing in
// the plugin's place runs the engine after a reload, but keeps the mount's storage closed to writes until it becomes active anew.
func TestMissingPluginFileNeedsChangeOfLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault server: left out with -short")
	}
	t.Parallel()
	server := startRaft(t, findVault(t), buildPlugin(t))
	facebook := authpipetest.NewFacebook(authpipetest.Options{})
	w := &world{server: server, facebook: facebook}
	w.mount(t, facebook.Start(t))
	writes := func() int {
		_, status := server.try(http.MethodPost, "authpipe/settings", map[string]any{"tenant_metadata_key": "tenant"})
		return status
	}
	if status := writes(); status != http.StatusNoContent {
		t.Fatalf("at first a write is answered %d", status)
	}

	// The server starts without the file.
	aside := server.plugin + ".aside"
	if err := os.Rename(server.plugin, aside); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.node.End(), server.node.Launch(), server.node.Unseal()); err != nil {
		t.Fatal(err)
	}
	server.awaitActive(t)
	if _, status := server.try(http.MethodGet, "authpipe/info", nil); status == http.StatusOK {
		t.Fatal("the engine is there without its file")
	}
	if err := os.Rename(aside, server.plugin); err != nil {
		t.Fatal(err)
	}
	server.call(t, http.MethodPut, "sys/plugins/reload/backend", map[string]any{"mounts": "authpipe/"})
	server.call(t, http.MethodGet, "authpipe/info", nil)
	if status := writes(); status == http.StatusNoContent {
		t.Error("a reload is enough: say so in docs/operations.md")
	}
	server.stepDown(t)
	if status := writes(); status != http.StatusNoContent {
		t.Errorf("after a change of leader a write is answered %d", status)
	}
}
