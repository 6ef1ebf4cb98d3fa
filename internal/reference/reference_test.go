package reference_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/reference"
)

var update = flag.Bool("update", false, "write the tables in the documents anew")

const (
	readme = "../../README.md"
	begin  = "<!-- paths: made by make reference -->\n"
	end    = "<!-- end of paths -->\n"
)

func TestTheREADMEHasTheTableOfPaths(t *testing.T) {
	document, err := os.ReadFile("../../testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	table, err := reference.Paths(document)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no %q with %q after it", readme, begin, end)
	}
	if *update {
		if err := os.WriteFile(readme, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		got = table
	}
	if diff := cmp.Diff(table, got); diff != "" {
		t.Errorf("the table in %s is another (make reference writes it anew): %s", readme, diff)
	}
}

func TestTheReferenceIsMadeFromTheDocument(t *testing.T) {
	document, err := os.ReadFile("../../testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	sections, err := reference.Fields(document)
	if err != nil {
		t.Fatal(err)
	}
	const file, head = "../../docs/reference.md", "<!-- made by make reference -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, got, found := strings.Cut(string(text), head)
	if !found {
		t.Fatalf("%s has no %q", file, head)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+head+sections), 0o644); err != nil {
			t.Fatal(err)
		}
		got = sections
	}
	if diff := cmp.Diff(sections, got); diff != "" {
		t.Errorf("%s says something else (make reference writes it anew): %s", file, diff)
	}
}

func TestASectionOfFields(t *testing.T) {
	sections, err := reference.Fields([]byte(`{"paths":{"/creds/{tenant}":{"description":"A credential.",
		"get":{"summary":"Read it.","parameters":[
			{"name":"min_ttl","in":"query","description":"On a read: a life.","schema":{"type":"integer"}},
			{"name":"force","in":"query","description":"On a delete: by force.","schema":{"type":"boolean"}},
			{"name":"tenant","in":"path","description":"The tenant.","schema":{"type":"string"}}],
			"responses":{"200":{"description":"It.","content":{"application/json":{"schema":{"$ref":"#/components/schemas/C"}}}}}},
		"post":{"summary":"Import it.","requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/W"}}}},"responses":{"204":{"description":"Done."}}}}},
		"components":{"schemas":{
			"C":{"properties":{"status":{"type":"string","enum":["active","failed"],"description":"a|b <c>"},"scopes":{"type":"array","items":{"type":"string"}},"at":{"type":"string","format":"date-time"}}},
			"W":{"required":["token"],"properties":{"token":{"type":"string","description":"The token."}}}}}}`))
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

func TestATableOfPaths(t *testing.T) {
	get := func(description string) string { return `"get":{"description":"` + description + `"}` }
	for name, row := range map[string]struct{ paths, want string }{
		"a path is named with what its operations say, each thing once": {
			`"/config/{provider}":{"description":"A client.","get":{},"post":{"description":"With ` + "`x|y`" + `."},"delete":{"description":"With ` + "`x|y`" + `."}}`,
			"| `config/<provider>` | read, write, delete | A client. With `x\\|y`. |\n",
		},
		"a path with a slash at its end is a list": {
			`"/config/":{"description":"Clients.",` + get("") + `}`, "| `config/` | list | Clients. |\n",
		},
		"without a token it is HTTP that asks": {
			`"/callback/{provider}":{"description":"Back.","x-vault-unauthenticated":true,"post":{},` + get("") + `}`, "| `callback/<provider>` | GET, POST, **no token** | Back. |\n",
		},
		"the refs of persons are one row": {
			`"/creds/{tenant}/{provider}/installation":{"description":"One.",` + get("") + `},"/creds/{tenant}/{provider}/users/{user}":{"description":"One.",` + get("") + `}`,
			"| `creds/<ref>` | read | One. |\n",
		},
		"the levels of a tree are one row": {
			`"/creds/":{"description":"L.",` + get("") + `},"/creds/{tenant}/":{"description":"L.",` + get("") + `},"/creds/{tenant}/{provider}/":{"description":"L.",` + get("") + `}`,
			"| `creds/…` | list | L. |\n",
		},
		"the story comes first, and what is not in it last": {
			`"/another":{"description":"A.",` + get("") + `},"/events":{"description":"E.",` + get("") + `},"/config/":{"description":"C.",` + get("") + `}`,
			"| `config/` | list | C. |\n| `events` | read | E. |\n| `another` | read | A. |\n",
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
		t.Error("YAML is read as JSON")
	}
}
