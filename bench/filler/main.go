// Command filler fills a mount in the engine's place: an external Vault plugin that writes what the engine would store. It is for
// benchmarks and no part of a release.
package main

import (
	"context"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// version differs from the engine's, which is registered under the same name.
const version = "v0.0.1"

// parallel is how many tenants are filled at the same time: Vault's storage combines concurrent writes.
const parallel = 64

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		hclog.New(&hclog.LoggerOptions{JSONFormat: true}).Error("serving the plugin", "error", err)
		os.Exit(1)
	}
}

func factory(ctx context.Context, c *logical.BackendConfig) (logical.Backend, error) {
	b := &framework.Backend{BackendType: logical.TypeLogical, RunningVersion: version, Paths: []*framework.Path{{
		Pattern: "fill",
		Fields: map[string]*framework.FieldSchema{
			"first": {Type: framework.TypeInt, Description: "The first person to have a credential."},
			"last":  {Type: framework.TypeInt, Description: "The one before whom to end."},
		},
		Operations: map[logical.Operation]framework.OperationHandler{logical.UpdateOperation: &framework.PathOperation{Callback: fill}},
	}}}
	return b, b.Setup(ctx, c)
}

func fill(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	s := store.New(store.Options{Storage: req.Storage, Now: time.Now})
	return nil, crowd.Fill(ctx, s, time.Now(), d.Get("first").(int), d.Get("last").(int), parallel)
}
