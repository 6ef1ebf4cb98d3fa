package backend

import (
	"strings"

	"github.com/hashicorp/vault/sdk/logical"
)

// tell logs a request that has changed what an operator decides: the client,
// the settings, a tenant, a credential that was brought along. What becomes of
// credentials otherwise is logged where it happens; who asked stands in Vault's
// audit log.
func (b *Backend) tell(req *logical.Request) {
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
