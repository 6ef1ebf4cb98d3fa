package backend_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestLogNamesChanges makes the changes that matter after a theft of an operator's
// token. The caller stands in Vault's audit log; the time, in this one.
func TestLogNamesChanges(t *testing.T) {
	for name, row := range map[string]struct {
		operation logical.Operation
		path      string
		data      map[string]any
	}{
		"the client is configured":    {logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": "20m"}},
		"its configuration goes":      {logical.DeleteOperation, "config/facebook", map[string]any{"force": true}},
		"the mount's settings change": {logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"}},
		"a tenant is suspended":       {logical.UpdateOperation, "tenants/org_acme", map[string]any{"suspended": true}},
		"its key is rotated":          {logical.UpdateOperation, "tenants/org_acme/rotate", nil},
		"an API key is written":       {logical.UpdateOperation, "creds/org_acme/mailer/static/key", map[string]any{"credential": "s3cret-of-ours", "credential_type": "api_key"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Log.Reset()
			_, _ = e.Do(row.operation, row.path, map[string]any{"no_such_field": "x"})
			if log := e.Log.String(); strings.Contains(log, "[INFO]") {
				t.Errorf("of what was refused the log says\n%s", log)
			}
			e.Log.Reset()
			e.Must(row.operation, row.path, row.data)
			log := e.Log.String()
			if strings.Count(log, "[INFO]") != 1 || !strings.Contains(log, "path="+row.path) {
				t.Errorf("the log says\n%s", log)
			}
			if strings.Contains(log, "s3cret-of-ours") {
				t.Error("and what it must not")
			}
		})
	}
}

func TestLogIsSilentWithoutChange(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.MustSweep()
	e.Log.Reset()
	e.Read("creds/" + enginetest.Uma)
	e.Read("health")
	e.Read("events")
	e.Read("config/facebook")
	e.Metrics()
	e.Must(logical.UpdateOperation, "config/facebook/verify", nil)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.MustSweep()
	if log := e.Log.String(); strings.Contains(log, "[INFO]") || strings.Contains(log, "[WARN]") {
		t.Errorf("the log says\n%s", log)
	}
}
