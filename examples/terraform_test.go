package examples_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/zclconf/go-cty/cty"

	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
)

// variables has a user's values.
var variables = map[string]cty.Value{
	"plugin_version":         cty.StringVal("v0.1.0"),
	"plugin_sha256":          cty.StringVal(strings.Repeat("0", 64)),
	"public_url":             cty.StringVal("https://vault.example.com"),
	"return_urls":            cty.ListVal([]cty.Value{cty.StringVal("https://app.example.com/connected")}),
	"facebook_client_id":     cty.StringVal("1024222333444555"),
	"facebook_client_secret": cty.StringVal("0123456789abcdef0123456789abcdef"),
	"tenants":                cty.SetVal([]cty.Value{cty.StringVal("org_acme"), cty.StringVal("org_globex")}),
}

func TestTerraformMatchesTheProvidersSchema(t *testing.T) {
	m := parseModule(t, nil)
	if errs := m.evaluate(variables); errs.HasErrors() {
		t.Fatal(errs)
	}
	for _, want := range []string{"vault_plugin.authpipe", "vault_mount.authpipe", "vault_generic_endpoint.facebook", "vault_policy.tenant", "vault_quota_rate_limit.public"} {
		if m.resources[want] == nil {
			t.Errorf("there is no %s", want)
		}
	}
}

func TestProvidersSchemaRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"an argument that the provider does not know": {"ignore_absent_fields", "ignore_missing_fields"},
		"a resource without what it must have":        {"  rate     = each.value.rate\n", ""},
		"a resource that the provider does not have":  {`"vault_quota_rate_limit"`, `"vault_rate_limit_quota"`},
		"a variable that is not declared":             {"var.plugin_sha256", "var.plugin_sha"},
		"a reference to what is not there":            {"vault_plugin.authpipe.version", "vault_plugin.authpipe.semver"},
		"a number that is none":                       {"interval = 1", `interval = "1s"`},
		"a policy that is not there":                  {"policies/tenant.hcl", "policies/tenants.hcl"},
	} {
		t.Run(name, func(t *testing.T) {
			m := parseModule(t, func(text string) string { return strings.Replace(text, change[0], change[1], 1) })
			if !m.changed {
				t.Fatalf("%q is not in the example", change[0])
			}
			if errs := append(m.errs, m.evaluate(variables)...); !errs.HasErrors() {
				t.Error("it is let pass")
			}
		})
	}
}

// If an upgrade overwrote the former version's file, the former version could not be started if its process ended before the
// mount has moved, and could not be restored: the checksum differs.
func TestTerraformKeepsTheFormerVersionsFile(t *testing.T) {
	commands := map[string]bool{}
	for _, version := range []string{"v0.1.0", "v0.2.0"} {
		filled := maps.Clone(variables)
		filled["plugin_version"] = cty.StringVal(version)
		m := parseModule(t, nil)
		if errs := m.evaluate(filled); errs.HasErrors() {
			t.Fatal(errs)
		}
		commands[m.resources["vault_plugin.authpipe"]["command"].AsString()] = true
	}
	if len(commands) != 2 || !commands["vault-plugin-secrets-authpipe_v0.1.0_linux_amd64"] {
		t.Errorf("two releases are the files %v", commands)
	}
}

func TestTerraformRefusesTenantNamedAsWildcard(t *testing.T) {
	for _, tenant := range []string{"+", "*", "", "org/acme", "-acme", "org_acme/+"} {
		filled := map[string]cty.Value{}
		for name, value := range variables {
			filled[name] = value
		}
		filled["tenants"] = cty.SetVal([]cty.Value{cty.StringVal("org_acme"), cty.StringVal(tenant)})
		if errs := parseModule(t, nil).evaluate(filled); !errs.HasErrors() {
			t.Errorf("%q is let pass", tenant)
		}
	}
}

// TestTerraformPlanIsEmptyAfterApply does as vault_generic_endpoint does: it writes data_json and reads the path. A plan
// finds a difference if a field of data_json comes back as something else. (It ignores a field that does not come back.)
func TestTerraformPlanIsEmptyAfterApply(t *testing.T) {
	engine := newEngine(t)
	m := parseModule(t, nil)
	if errs := m.evaluate(variables); errs.HasErrors() {
		t.Fatal(errs)
	}
	for _, name := range []string{"vault_generic_endpoint.facebook", "vault_generic_endpoint.settings"} {
		endpoint := m.resources[name]
		path, _ := strings.CutPrefix(endpoint["path"].AsString(), "authpipe/")
		var written map[string]any
		if err := json.Unmarshal([]byte(endpoint["data_json"].AsString()), &written); err != nil {
			t.Fatal(err)
		}
		if endpoint["ignore_absent_fields"].False() {
			t.Errorf("%s would find a difference in each field that it does not name", name)
		}
		engine(logical.UpdateOperation, path, written)
		answer := engine(logical.ReadOperation, path, nil)
		for field, want := range written {
			if got, answered := answer[field]; answered && !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s is written as %v and read as %v", name, field, want, got)
			}
		}
	}
}

// TestTerraformKeepsSecretWrittenByHand: Terraform writes the other fields.
func TestTerraformKeepsSecretWrittenByHand(t *testing.T) {
	engine := newEngine(t)
	engine(logical.UpdateOperation, "config/facebook", map[string]any{
		"client_id": "1024222333444555", "client_secret": "0123456789abcdef0123456789abcdef", "redirect_uris": "https://vault.example.com/v1/authpipe/callback/facebook",
	})
	filled := map[string]cty.Value{}
	for name, value := range variables {
		filled[name] = value
	}
	filled["facebook_client_secret"] = cty.NullVal(cty.String)
	m := parseModule(t, nil)
	if errs := m.evaluate(filled); errs.HasErrors() {
		t.Fatal(errs)
	}
	data := m.resources["vault_generic_endpoint.facebook"]["data_json"].AsString()
	if strings.Contains(data, "client_secret") {
		t.Errorf("the secret is written: %s", data)
	}
	var written map[string]any
	if err := json.Unmarshal([]byte(data), &written); err != nil {
		t.Fatal(err)
	}
	engine(logical.UpdateOperation, "config/facebook", written) // the engine refuses it without a secret
}

// newEngine returns a function that sends requests to an engine in memory, and fails the test if one is refused. Answers are as JSON has them.
func newEngine(t *testing.T) func(operation logical.Operation, path string, data map[string]any) map[string]any {
	t.Helper()
	storage := &logical.InmemStorage{}
	engine, err := backend.New(t.Context(), &logical.BackendConfig{StorageView: storage, System: logical.TestSystemView()}, backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Cleanup(t.Context()) })
	return func(operation logical.Operation, path string, data map[string]any) map[string]any {
		t.Helper()
		resp, err := engine.HandleRequest(t.Context(), &logical.Request{Operation: operation, Path: path, Data: data, Storage: storage})
		if err != nil || resp.IsError() {
			t.Fatalf("%s %s: %v %v", operation, path, err, resp)
		}
		if resp == nil {
			return nil
		}
		b, err := json.Marshal(resp.Data)
		if err != nil {
			t.Fatal(err)
		}
		var answer map[string]any
		if err := json.Unmarshal(b, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func TestTerraformIsFormatted(t *testing.T) {
	files, err := filepath.Glob("terraform/*.tf")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if text := read(t, file); string(hclwrite.Format([]byte(text))) != text {
			t.Errorf("terraform fmt would change %s", file)
		}
	}
}
