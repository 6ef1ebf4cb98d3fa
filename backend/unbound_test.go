package backend_test

import (
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestUnboundCallersAreDeniedWhatBelongsToATenant: a token without an entity, such as
// an orphan made through a token role, must not escape the binding of its maker.
func TestUnboundCallersAreDeniedWhatBelongsToATenant(t *testing.T) {
	e, _ := scoped(t)
	e.install()
	e.must(logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "deny"})
	for _, entity := range []string{"", "entity-1", "free", "gone"} {
		for _, r := range []struct {
			op   logical.Operation
			path string
			data map[string]any
		}{
			{logical.ReadOperation, "creds/" + installation, nil},
			{logical.ReadOperation, "connections/" + installation, nil},
			{logical.ListOperation, "creds/org_acme/", nil},
			{logical.UpdateOperation, "connect/" + uma, map[string]any{"actor": "uma"}},
			{logical.UpdateOperation, "creds/org_acme/facebook/static/x", map[string]any{"credential": "k", "credential_type": "api_key"}},
			{logical.DeleteOperation, "creds/" + installation, nil},
			{logical.ReadOperation, "tenants/org_acme", nil},
			{logical.DeleteOperation, "tenants/org_acme", nil},
			{logical.ReadOperation, "accounts/facebook/42", nil},
			{logical.DeleteOperation, "accounts/facebook/42", nil},
		} {
			if _, err := e.as(entity, r.op, r.path, r.data); !denied(err) {
				t.Errorf("%q: %s %s is answered with %v", entity, r.op, r.path, err)
			}
		}
	}
	// The mount's own paths stay with policy.
	for _, path := range []string{"config/facebook", "settings", "health", "events", "info", "metrics"} {
		if _, err := e.as("", logical.ReadOperation, path, nil); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := e.as("acme", logical.ReadOperation, "creds/"+installation, nil); err != nil {
		t.Errorf("the tenant's own caller: %v", err)
	}
	if _, err := e.as("acme", logical.ReadOperation, "connections/org_globex/facebook/installation", nil); !denied(err) {
		t.Errorf("the tenant's own caller elsewhere: %v", err)
	}
	if _, err := e.as("", logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "allow"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.as("", logical.ReadOperation, "creds/"+installation, nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// TestDenyNeedsAKeyToBindBy: otherwise one write would shut out every caller.
func TestDenyNeedsAKeyToBindBy(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.refused("invalid_request", 400, logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "deny"})
	e.refused("invalid_request", 400, logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "refuse", "tenant_metadata_key": "tenant"})
	if got := e.read("settings"); got["tenant_metadata_key"] != "" || got["unbound_callers"] != "allow" {
		t.Errorf("a refused write has stored %v", got)
	}
	e.must(logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "deny", "tenant_metadata_key": "tenant"})
	e.refused("invalid_request", 400, logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": ""})
	e.must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "", "unbound_callers": ""})
	if got := e.read("settings"); got["tenant_metadata_key"] != "" || got["unbound_callers"] != "allow" {
		t.Errorf("reset, they read %v", got)
	}
}
