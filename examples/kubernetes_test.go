// Package examples_test checks the examples against a schema in testdata/schema of each program that cannot run here. The
// acceptance suite runs Agent and Proxy, and tries all policies.
package examples_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

const operatorSchema = "../testdata/schema/vault-secrets-operator.json"

// manifests returns the documents of a YAML file.
func manifests(t *testing.T, text string) (all []any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var one any
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
}

func operator(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(operatorSchema)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestManifestsMatchTheOperatorsSchema(t *testing.T) {
	files, err := filepath.Glob("vault-secrets-operator/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	schema, kinds := operator(t), map[any]int{}
	for _, file := range files {
		for _, m := range manifests(t, read(t, file)) {
			if err := schema.Validate(m); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			kinds[m.(map[string]any)["kind"]]++
		}
	}
	if kinds["VaultConnection"] != 1 || kinds["VaultAuth"] != 1 || kinds["VaultDynamicSecret"] != 2 {
		t.Errorf("the manifests are %v", kinds)
	}
}

// Kubernetes silently drops a field that it does not know.
func TestOperatorsSchemaRefuses(t *testing.T) {
	good := read(t, "vault-secrets-operator/installation.yaml")
	for name, change := range map[string][2]string{
		"a field that the operator does not know":   {"allowStaticCreds:", "allowStaticCredentials:"},
		"a field of the transformation, misspelt":   {"includes:", "include:"},
		"a boolean in quotes":                       {"create: true", `create: "true"`},
		"a secret without a mount":                  {"  mount: authpipe\n", ""},
		"a kind that cannot be restarted":           {"kind: Deployment", "kind: CronJob"},
		"another version of the API":                {"hashicorp.com/v1beta1", "hashicorp.com/v1"},
		"a name that Kubernetes does not take":      {"name: facebook-installation\n  namespace", "name: Facebook\n  namespace"},
		"a kind that the schema says nothing of":    {"kind: VaultDynamicSecret", "kind: VaultStaticSecret"},
		"a field beside the spec":                   {"spec:", "status: {}\nspec:"},
		"a duration that is none of the operator's": {"allowStaticCreds: true", "refreshAfter: 1d"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, change[0], change[1], 1)
			if bad == good {
				t.Fatalf("%q is not in the manifest", change[0])
			}
			for _, m := range manifests(t, bad) {
				if operator(t).Validate(m) == nil {
					t.Error("it is let pass")
				}
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
