package reference_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/reference"
)

var update = flag.Bool("update", false, "write docs/reference.md anew")

const (
	file       = "../../docs/reference.md"
	pathsBegin = "<!-- paths: made by make reference -->\n"
	pathsEnd   = "<!-- end of paths -->\n"
	fieldsHead = "<!-- made by make reference -->\n"
)

// TestReferenceIsUpToDate compares docs/reference.md with the OpenAPI document
// and the notes in paths/*.md.
func TestReferenceIsUpToDate(t *testing.T) {
	document, err := os.ReadFile("../../testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	notes, err := reference.ReadNotes(os.DirFS("../../paths"))
	if err != nil {
		t.Fatal(err)
	}
	table, err := reference.Paths(document)
	if err != nil {
		t.Fatal(err)
	}
	sections, err := reference.Fields(document, notes)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), pathsBegin)
	_, rest, ended := strings.Cut(rest, pathsEnd)
	between, _, headed := strings.Cut(rest, fieldsHead)
	if !found || !ended || !headed {
		t.Fatalf("%s lacks %q, %q or %q", file, pathsBegin, pathsEnd, fieldsHead)
	}
	want := before + pathsBegin + table + pathsEnd + between + fieldsHead + sections
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s is out of date; run make reference: %s", file, diff)
	}
}

func TestNotesFollowTheirPath(t *testing.T) {
	document := []byte(`{"paths":{"/info":{"description":"A build."},"/health":{"description":"A state."}}}`)
	notes, err := reference.ReadNotes(fstest.MapFS{
		"info.md":    {Data: []byte("For writers.\n\n## `info`\n\n* See [operations](../docs/operations.md) and [README](../README.md).\n")},
		"health.md":  {Data: []byte("## `health`\n\nIt counts.\n")},
		"health.txt": {Data: []byte("## `nothing`\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	sections, err := reference.Fields(document, notes)
	if err != nil {
		t.Fatal(err)
	}
	want := "\n## `health`\n\nA state.\n\n**Notes.**\n\nIt counts.\n" +
		"\n## `info`\n\nA build.\n\n**Notes.**\n\n* See [operations](operations.md) and [README](../README.md).\n"
	if diff := cmp.Diff(want, sections); diff != "" {
		t.Error(diff)
	}
	if _, err := reference.Fields(document, reference.Notes{"`gone`": "It was."}); err == nil {
		t.Error("notes for a path that does not exist are ignored")
	}
	if _, err := reference.ReadNotes(fstest.MapFS{"a.md": {Data: []byte("## `info`\nOne.\n## `info`\nTwo.\n")}}); err == nil {
		t.Error("a second section of notes for a path is ignored")
	}
}

func TestFieldsWritesSections(t *testing.T) {
	sections, err := reference.Fields([]byte(`{"paths":{"/creds/{tenant}":{"description":"A credential.",
		"get":{"summary":"Read it.","parameters":[
			{"name":"min_ttl","in":"query","description":"On a read: a life.","schema":{"type":"integer"}},
			{"name":"force","in":"query","description":"On a delete: by force.","schema":{"type":"boolean"}},
			{"name":"tenant","in":"path","description":"The tenant.","schema":{"type":"string"}}],
			"responses":{"200":{"description":"It.","content":{"application/json":{"schema":{"$ref":"#/components/schemas/C"}}}}}},
		"post":{"summary":"Import it.","requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/W"}}}},"responses":{"204":{"description":"Done."}}}}},
		"components":{"schemas":{
			"C":{"properties":{"status":{"type":"string","enum":["active","failed"],"description":"a|b <c>"},"scopes":{"type":"array","items":{"type":"string"}},"at":{"type":"string","format":"date-time"}}},
			"W":{"required":["token"],"properties":{"token":{"type":"string","description":"The token."}}}}}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "\n## `creds/<tenant>`\n\nA credential.\n" +
		"\n**read.** Read it.\n\n| takes | type | meaning |\n|---|---|---|\n| `min_ttl` | integer | A life. |\n" +
		"\n200: It.\n\n| answers | type | meaning |\n|---|---|---|\n| `at` | time |  |\n| `scopes` | list of string |  |\n| `status` | `active`, `failed` | a\\|b &lt;c> |\n" +
		"\n**write.** Import it.\n\n| takes | type | meaning |\n|---|---|---|\n| `token` | string | Required. The token. |\n\n204: Done.\n"
	if diff := cmp.Diff(want, sections); diff != "" {
		t.Error(diff)
	}
}

func TestPathsWritesTable(t *testing.T) {
	get := func(description string) string { return `"get":{"description":"` + description + `"}` }
	for name, row := range map[string]struct{ paths, want string }{
		"a path has each description of its operations once": {
			`"/config/{provider}":{"description":"A client.","get":{},"post":{"description":"With ` + "`x|y`" + `."},"delete":{"description":"With ` + "`x|y`" + `."}}`,
			"| [`config/<provider>`](#configprovider) | read, write, delete | A client. With `x\\|y`. |\n",
		},
		"a path with a slash at its end is a list": {
			`"/config/":{"description":"Clients.",` + get("") + `}`, "| [`config/`](#config) | list | Clients. |\n",
		},
		"a path without a token has HTTP's verbs": {
			`"/callback/{provider}":{"description":"Back.","x-vault-unauthenticated":true,"post":{},` + get("") + `}`, "| [`callback/<provider>`](#callbackprovider) | GET, POST, **no token** | Back. |\n",
		},
		"the refs of persons are one row": {
			`"/creds/{tenant}/{provider}/installation":{"description":"One.",` + get("") + `},"/creds/{tenant}/{provider}/users/{user}":{"description":"One.",` + get("") + `}`,
			"| [`creds/<ref>`](#credsref) | read | One. |\n",
		},
		"the levels of a tree are one row": {
			`"/creds/":{"description":"L.",` + get("") + `},"/creds/{tenant}/":{"description":"L.",` + get("") + `},"/creds/{tenant}/{provider}/":{"description":"L.",` + get("") + `}`,
			"| [`creds/…`](#creds) | list | L. |\n",
		},
		"the listed words come first, and others last": {
			`"/another":{"description":"A.",` + get("") + `},"/events":{"description":"E.",` + get("") + `},"/config/":{"description":"C.",` + get("") + `}`,
			"| [`config/`](#config) | list | C. |\n| [`events`](#events) | read | E. |\n| [`another`](#another) | read | A. |\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := reference.Paths([]byte(`{"paths":{` + row.paths + `}}`))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("| path | operations | what |\n|---|---|---|\n"+row.want, table); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := reference.Paths([]byte("openapi: 3.0.2")); err == nil {
		t.Error("YAML is accepted as JSON")
	}
}
