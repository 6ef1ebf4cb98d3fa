package main_test

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// TestPluginEndsWithItsVault kills Vault, so that it cannot stop the plugin, while the plugin waits for Facebook.
func TestPluginEndsWithItsVault(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault server: left out with -short")
	}
	if runtime.GOOS != "linux" {
		t.Skip("processes can be found on Linux only")
	}
	t.Parallel()
	server := startRaft(t, findVault(t), buildPlugin(t))
	facebook := authpipetest.NewFacebook(authpipetest.Options{})
	w := &environment{server: server, facebook: facebook}
	w.mount(t, facebook.Start(t))
	w.connect(t, "org_acme/facebook/installation", alice)
	checks := facebook.Count(authpipetest.EndpointDebugToken)
	facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true})
	go server.try(http.MethodPost, "authpipe/connections/org_acme/facebook/installation/check", nil)
	awaitCalls(t, facebook, authpipetest.EndpointDebugToken, checks+1)
	if len(vaulttest.ProcessesOf(server.plugin)) == 0 {
		t.Fatal("no plugin runs")
	}
	server.node.Kill()
	await(t, "the plugin to end with its Vault", func() error {
		if left := vaulttest.ProcessesOf(server.plugin); len(left) > 0 {
			return fmt.Errorf("its processes are %v", left)
		}
		return nil
	})
}
