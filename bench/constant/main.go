// Command constant is the fastest read that a plugin can have: an external Vault plugin with the same SDK that answers a constant from
// memory. Each read returns the data of the last write. It is for benchmarks and no part of a release.
package main

import (
	"context"
	"os"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		hclog.New(&hclog.LoggerOptions{JSONFormat: true}).Error("serving the plugin", "error", err)
		os.Exit(1)
	}
}

func factory(ctx context.Context, c *logical.BackendConfig) (logical.Backend, error) {
	b := backend{&framework.Backend{BackendType: logical.TypeLogical}, &constant{}}
	b.Paths = []*framework.Path{path(b.constant)}
	return b, b.Setup(ctx, c)
}

// backend answers reads without the framework, which would request the node's role from Vault each time.
type backend struct {
	*framework.Backend
	constant *constant
}

// HandleRequest implements [logical.Backend].
func (b backend) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	if req.Operation == logical.ReadOperation {
		return b.constant.read(ctx, req, nil)
	}
	return b.Backend.HandleRequest(ctx, req)
}

// constant is the response to every read.
type constant struct {
	answer atomic.Pointer[map[string]any]
}

// path takes any name below creds/, so that a request is as long as one to the engine.
func path(c *constant) *framework.Path {
	return &framework.Path{
		Pattern: "creds/.+",
		Fields: map[string]*framework.FieldSchema{
			"answer": {Type: framework.TypeMap, Description: "What reads shall answer."},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   &framework.PathOperation{Callback: c.read},
			logical.UpdateOperation: &framework.PathOperation{Callback: c.write},
		},
	}
}

func (c *constant) read(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	answer := c.answer.Load()
	if answer == nil {
		return nil, nil
	}
	return &logical.Response{Data: *answer}, nil
}

func (c *constant) write(_ context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	answer := d.Get("answer").(map[string]any)
	c.answer.Store(&answer)
	return nil, nil
}
