package paths

import (
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// tenantFirst are the first words of the paths whose second segment is a tenant.
var tenantFirst = []string{"creds", "connections", "connect", "sessions", "tenants"}

// TenantOf returns the one tenant that a request's path is about. "": the path is about
// several tenants, about none, or about a name that cannot be a tenant's.
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
