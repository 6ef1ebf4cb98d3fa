package paths_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestUnknownFieldOfReadWarns: Bank-Vaults sends version=-1 to
// every path.
func TestUnknownFieldOfReadWarns(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, r := range []struct {
		op   logical.Operation
		path string
	}{
		{logical.ReadOperation, "creds/" + enginetest.Uma}, {logical.ReadOperation, "connections/" + enginetest.Uma}, {logical.ReadOperation, "config/facebook"},
		{logical.ReadOperation, "health"}, {logical.ReadOperation, "events"}, {logical.ReadOperation, "info"}, {logical.ReadOperation, "tenants/org_acme"},
		{logical.ListOperation, "creds/org_acme/facebook/users/"}, {logical.ListOperation, "tenants/"},
	} {
		resp, err := e.Do(r.op, r.path, map[string]any{"version": "-1"})
		if err != nil || !strings.Contains(strings.Join(resp.Warnings, "\n"), `"version"`) {
			t.Errorf("%s %s: %v, %v", r.op, r.path, resp, err)
		}
	}
	if _, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Uma, map[string]any{"version": "-1"}); err != nil {
		t.Error(err)
	}
}

func TestUnknownFieldOfWriteIsRefused(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for path, row := range map[string]struct{ field, nearest string }{
		"config/facebook":                          {"cliend_id", "client_id"},
		"connect/" + enginetest.Uma:                {"return_uri", "return_url"},
		"settings":                                 {"tenant_metadata", "tenant_metadata_key"},
		"tenants/org_acme":                         {"suspend", "suspended"},
		"connections/" + enginetest.Uma + "/check": {"entirely_different", ""},
	} {
		text := e.Refused("invalid_request", 400, logical.UpdateOperation, path, map[string]any{row.field: "x"})
		if !strings.Contains(text, row.field) || row.nearest != "" && !strings.Contains(text, "did you mean "+row.nearest+"?") {
			t.Errorf("%s %s: %s", path, row.field, text)
		}
	}
}

// TestMissingOperationIsUnsupported with any fields.
func TestMissingOperationIsUnsupported(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, path := range []string{"creds/" + enginetest.Uma, "config/facebook", "connections/" + enginetest.Uma, "settings", "health"} {
		if _, err := e.Do(logical.PatchOperation, path, map[string]any{"access_token": 1, "no_field": "x"}); err != logical.ErrUnsupportedOperation {
			t.Errorf("patching %s: %v", path, err)
		}
	}
}
