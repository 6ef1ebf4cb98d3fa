package backend

import (
	"strings"

	"github.com/hashicorp/vault/sdk/logical"
)

// logChange logs a request that has changed what an operator decides: the client,
// the settings, a tenant, an imported credential. Other changes of
// credentials are logged where they happen; the caller stands in Vault's
// audit log.
func (b *Backend) logChange(req *logical.Request) {
	if req.Operation != logical.UpdateOperation && req.Operation != logical.DeleteOperation {
		return
	}
	family, rest, _ := strings.Cut(req.Path, "/")
	switch {
	case family == "config" && !strings.HasSuffix(rest, "/verify"), family == "settings":
	case (family == "tenants" || family == "creds") && req.Operation == logical.UpdateOperation:
	default:
		return
	}
	b.Logger().Info("changed by a request", "operation", req.Operation, "path", req.Path)
}
