package paths

import (
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// tenantFirst are the words that a tenant follows in a path.
var tenantFirst = []string{"creds", "connections", "connect", "sessions", "tenants"}

// TenantOf returns the tenant that a request's path is about, and nothing
// beside it. "": the path is about several tenants, about none, or about what
// cannot be a tenant.
func TenantOf(path string) tenant.ID {
	part := strings.SplitN(path, "/", 3)
	if len(part) < 2 || !slices.Contains(tenantFirst, part[0]) {
		return ""
	}
	id, err := tenant.ParseID(part[1])
	if err != nil {
		return ""
	}
	return id
}
