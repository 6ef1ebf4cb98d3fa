package paths_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

const openAPIFile = "../testdata/openapi.json"

// documented returns an engine that no test has touched.
func documented(t *testing.T) *backend.Backend {
	t.Helper()
	b, err := backend.New(t.Context(), &logical.BackendConfig{
		StorageView: storagetest.New(),
		System:      &logical.StaticSystemView{PluginEnvironment: &logical.PluginEnvironment{VaultVersion: "any"}},
	}, backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Cleanup(context.Background()) })
	return b
}

// help asks for help as Vault does, which also gets the document that way, and
// takes it apart as Vault does.
func help(t *testing.T, b *backend.Backend, path string) (string, *framework.OASDocument) {
	t.Helper()
	resp, err := b.HandleRequest(t.Context(), &logical.Request{
		Operation: logical.HelpOperation, Path: path, Storage: storagetest.New(),
		Data: map[string]any{"requestResponsePrefix": "vault-plugin-secrets-authpipe"},
	})
	if err != nil {
		t.Fatalf("help on %q: %v", path, err)
	}
	// The way to Vault is one through JSON.
	sent, err := json.Marshal(resp.Data["openapi"])
	if err != nil {
		t.Fatal(err)
	}
	var come map[string]any
	if err := json.Unmarshal(sent, &come); err != nil {
		t.Fatal(err)
	}
	doc, err := framework.NewOASDocumentFromMap(come)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Data["help"].(string), doc
}

func TestOpenAPIDocumentMatchesGoldenFile(t *testing.T) {
	_, doc := help(t, documented(t), "")
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		t.Fatal(err)
	}
	if *enginetest.Update {
		if err := os.WriteFile(openAPIFile, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(openAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the document has changed; make reference writes it anew: %s", diff)
	}
}

var operationID = regexp.MustCompile(`^authpipe-[a-z]+(-[a-z]+)*$`)

func TestOperationIDsAreUnique(t *testing.T) {
	b := documented(t)
	_, doc := help(t, b, "")
	seen := map[string]string{}
	for path, item := range doc.Paths {
		for _, o := range []*framework.OASOperation{item.Get, item.Post, item.Delete, item.Patch} {
			if o == nil {
				continue
			}
			if !operationID.MatchString(o.OperationID) {
				t.Errorf("%s has an operation with the id %q", path, o.OperationID)
			}
			if other, taken := seen[o.OperationID]; taken {
				t.Errorf("%s and %s both have an operation with the id %s", path, other, o.OperationID)
			}
			seen[o.OperationID] = path
		}
	}
	operations := 0
	for _, p := range b.Paths {
		operations += len(p.Operations)
	}
	if len(seen) != operations {
		t.Errorf("the engine has %d operations and the document %d", operations, len(seen))
	}
}

func TestWritesTakeDocumentedFields(t *testing.T) {
	b := documented(t)
	_, doc := help(t, b, "")
	taken := 0
	for path, item := range doc.Paths {
		if item.Post == nil || item.Post.RequestBody == nil {
			continue
		}
		ref := item.Post.RequestBody.Content["application/json"].Schema.Ref
		body := doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
		if body == nil {
			t.Errorf("%s takes %q, which is not there", path, ref)
			continue
		}
		for name := range body.Properties {
			taken++
			_, err := b.HandleRequest(t.Context(), &logical.Request{
				Operation: logical.UpdateOperation, Path: braces.ReplaceAllString(strings.TrimPrefix(path, "/"), "x"),
				Data: map[string]any{name: "x"}, Storage: storagetest.New(),
			})
			if err != nil && strings.Contains(err.Error(), "vault path-help") {
				t.Errorf("%s is documented and refused: %v", name, err)
			}
		}
	}
	if taken < 30 {
		t.Errorf("only %d fields were tried", taken)
	}
}

var braces = regexp.MustCompile(`\{\w+\}`)

// sentence is how descriptions are: they begin as they like, and end.
var sentence = regexp.MustCompile(`(?s)^\S.*[.:)]$`)

func TestEachPathIsDescribed(t *testing.T) {
	for _, p := range documented(t).Paths {
		t.Run(p.Pattern, func(t *testing.T) {
			describes := func(what, text string) {
				if !sentence.MatchString(text) {
					t.Errorf("%s is described as %q", what, text)
				}
			}
			describes("the path in a word", p.HelpSynopsis)
			describes("the path", p.HelpDescription)
			if p.DisplayAttrs == nil || p.DisplayAttrs.OperationPrefix != "authpipe" || p.DisplayAttrs.OperationSuffix == "" {
				t.Errorf("the display attributes are %+v", p.DisplayAttrs)
			}
			for name, field := range p.Fields {
				describes(name, field.Description)
				if field.DisplayAttrs == nil || field.DisplayAttrs.Name == "" {
					t.Errorf("%s has no label", name)
				}
				masked(t, name, field)
			}
			for op, handler := range p.Operations {
				properties := handler.Properties()
				describes(string(op), properties.Summary)
				if properties.Description != "" {
					describes(string(op), properties.Description)
				}
				if len(properties.Responses) == 0 {
					t.Errorf("it is not said what %s answers", op)
				}
				for _, responses := range properties.Responses {
					describes("the answer to "+string(op), responses[0].Description)
					for name, field := range responses[0].Fields {
						describes(name, field.Description)
						masked(t, name, field)
					}
				}
			}
		})
	}
}

// secrets are the fields that forms mask, whatever path they are of.
var secrets = []string{
	"access_token", "appsecret_proof", "client_secret", "client_token", "code", "connect_code", "credential", "signed_request", "state",
}

func masked(t *testing.T, name string, field *framework.FieldSchema) {
	t.Helper()
	if sensitive := field.DisplayAttrs != nil && field.DisplayAttrs.Sensitive; sensitive != slices.Contains(secrets, name) {
		t.Errorf("%s is masked: %v", name, sensitive)
	}
}

func TestHelpReadsWell(t *testing.T) {
	b := documented(t)
	text, _ := help(t, b, "")
	readsWell(t, text)
	if !strings.Contains(text, "\n    creds/<tenant>/<provider>/installation\n        A credential, ready to use.\n") {
		t.Errorf("the list of paths reads\n%s", text)
	}
	for _, p := range b.Paths {
		path := captures.ReplaceAllString(strings.TrimRight(strings.Trim(p.Pattern, "^$"), "/?"), "x")
		text, _ := help(t, b, path)
		readsWell(t, text)
		for name := range p.Fields {
			if !strings.Contains(text, "\n    "+name+" (") {
				t.Errorf("help on %s does not tell of %s", path, name)
			}
		}
	}
}

var captures = regexp.MustCompile(`\(\?P<\w+>[^)]*\)`)

func readsWell(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) > 80 && strings.Contains(strings.TrimSpace(strings.TrimPrefix(line, "Matching Route:")), " ") || strings.ContainsAny(line, "^$\\") || strings.Contains(line, "<no ") {
			t.Errorf("help has the line %q in\n%s", line, text)
		}
	}
}
