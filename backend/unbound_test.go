package backend_test

import (
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestUnboundCallerIsDeniedTenantPaths: a token without an entity, such as
// an orphan made through a token role, must not escape the binding of its maker.
func TestUnboundCallerIsDeniedTenantPaths(t *testing.T) {
	e, _ := enginetest.Scoped(t)
	e.Install()
	e.Must(logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "deny"})
	for _, entity := range []string{"", "entity-1", "free", "gone"} {
		for _, r := range []struct {
			op   logical.Operation
			path string
			data map[string]any
		}{
			{logical.ReadOperation, "creds/" + enginetest.Installation, nil},
			{logical.ReadOperation, "connections/" + enginetest.Installation, nil},
			{logical.ListOperation, "creds/org_acme/", nil},
			{logical.UpdateOperation, "connect/" + enginetest.Uma, map[string]any{"actor": "uma"}},
			{logical.UpdateOperation, "creds/org_acme/facebook/static/x", map[string]any{"credential": "k", "credential_type": "api_key"}},
			{logical.DeleteOperation, "creds/" + enginetest.Installation, nil},
			{logical.ReadOperation, "tenants/org_acme", nil},
			{logical.DeleteOperation, "tenants/org_acme", nil},
			{logical.ReadOperation, "accounts/facebook/42", nil},
			{logical.DeleteOperation, "accounts/facebook/42", nil},
		} {
			if _, err := e.DoAs(entity, r.op, r.path, r.data); !enginetest.Denied(err) {
				t.Errorf("%q: %s %s is answered with %v", entity, r.op, r.path, err)
			}
		}
	}
	// The mount's own paths stay with policy.
	for _, path := range []string{"config/facebook", "settings", "health", "events", "info", "metrics"} {
		if _, err := e.DoAs("", logical.ReadOperation, path, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := e.DoAs("acme", logical.ReadOperation, "creds/"+enginetest.Installation, nil); err != nil {
		t.Errorf("the tenant's own caller: %v", err)
	}
	if _, err := e.DoAs("acme", logical.ReadOperation, "connections/org_globex/facebook/installation", nil); !enginetest.Denied(err) {
		t.Errorf("the tenant's own caller elsewhere: %v", err)
	}
	if _, err := e.DoAs("", logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "allow"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.DoAs("", logical.ReadOperation, "creds/"+enginetest.Installation, nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// TestUnboundDenyNeedsMetadataKey: otherwise one write would shut out every caller.
func TestUnboundDenyNeedsMetadataKey(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Refused("invalid_request", 400, logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "deny"})
	e.Refused("invalid_request", 400, logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "refuse", "tenant_metadata_key": "tenant"})
	if got := e.Read("settings"); got["tenant_metadata_key"] != "" || got["unbound_callers"] != "allow" {
		t.Errorf("a refused write has stored %v", got)
	}
	e.Must(logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "deny", "tenant_metadata_key": "tenant"})
	e.Refused("invalid_request", 400, logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": ""})
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "", "unbound_callers": ""})
	if got := e.Read("settings"); got["tenant_metadata_key"] != "" || got["unbound_callers"] != "allow" {
		t.Errorf("reset, they read %v", got)
	}
}
