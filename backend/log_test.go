package backend_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestTheLogTellsOfWhatIsChanged has an operator, or whoever has taken an
// operator's token, do what matters afterwards. Who it was stands in Vault's
// audit log; when, in this one.
func TestTheLogTellsOfWhatIsChanged(t *testing.T) {
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
			e := both(t, authpipetest.Options{})
			e.log.Reset()
			_, _ = e.do(row.operation, row.path, map[string]any{"no_such_field": "x"})
			if log := e.log.String(); strings.Contains(log, "[INFO]") {
				t.Errorf("of what was refused the log says\n%s", log)
			}
			e.log.Reset()
			e.must(row.operation, row.path, row.data)
			log := e.log.String()
			if strings.Count(log, "[INFO]") != 1 || !strings.Contains(log, "path="+row.path) {
				t.Errorf("the log says\n%s", log)
			}
			if strings.Contains(log, "s3cret-of-ours") {
				t.Error("and what it must not")
			}
		})
	}
}

func TestTheLogIsSilentWhereNothingIsChanged(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.sweep()
	e.log.Reset()
	e.read("creds/" + uma)
	e.read("health")
	e.read("events")
	e.read("config/facebook")
	e.metrics()
	e.must(logical.UpdateOperation, "config/facebook/verify", nil)
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.sweep()
	if log := e.log.String(); strings.Contains(log, "[INFO]") || strings.Contains(log, "[WARN]") {
		t.Errorf("the log says\n%s", log)
	}
}
