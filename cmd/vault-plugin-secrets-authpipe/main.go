// Command vault-plugin-secrets-authpipe is the authpipe secrets engine as an
// external Vault plugin. Vault starts it; it is not run by hand.
package main

import (
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/plugin"

	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/version"
)

func main() {
	go endWithParent()
	// One process serves all mounts of a version. The connection to Vault is
	// secured by go-plugin's AutoMTLS.
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: backend.Factory(version.Read())}); err != nil {
		hclog.New(&hclog.LoggerOptions{JSONFormat: true}).Error("serving the plugin", "error", err)
		os.Exit(1)
	}
}
