// Package reference makes the tables of the documentation from the engine's
// OpenAPI document, so that they say of it what it says of itself.
package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// What of the document goes into the tables.
type (
	document struct {
		Paths      map[string]item `json:"paths"`
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	item struct {
		Description     string      `json:"description"`
		Unauthenticated bool        `json:"x-vault-unauthenticated"`
		Parameters      []parameter `json:"parameters"`
		Get             *operation  `json:"get"`
		Post            *operation  `json:"post"`
		Delete          *operation  `json:"delete"`
	}
	operation struct {
		Summary     string              `json:"summary"`
		Description string              `json:"description"`
		Parameters  []parameter         `json:"parameters"`
		RequestBody response            `json:"requestBody"`
		Responses   map[string]response `json:"responses"`
	}
	parameter struct {
		Name        string `json:"name"`
		In          string `json:"in"`
		Description string `json:"description"`
		Schema      schema `json:"schema"`
	}
	response struct {
		Description string `json:"description"`
		Content     map[string]struct {
			Schema schema `json:"schema"`
		} `json:"content"`
	}
	schema struct {
		Ref         string            `json:"$ref"`
		Type        string            `json:"type"`
		Format      string            `json:"format"`
		Description string            `json:"description"`
		Enum        []any             `json:"enum"`
		Default     any               `json:"default"`
		Items       *schema           `json:"items"`
		Properties  map[string]schema `json:"properties"`
		Required    []string          `json:"required"`
	}
)

// words are the first words of paths in the order in which one meets them. What
// is not among them comes last.
var words = []string{
	"config", "connect", "callback", "sessions", "creds", "connections", "accounts", "tenants", "health", "events", "webhooks", "metrics", "info", "settings",
}

// short are the names of refs in the table. The document spells out each kind.
// (What stands between a user and a page is no ref.)
var short = strings.NewReplacer(
	"{tenant}/{provider}/installation", "<ref>",
	"{tenant}/{provider}/users/{user}/pages/{page}", "<page>",
	"{tenant}/{provider}/users/{user}/pages/", "{tenant}/{provider}/users/{user}/pages/",
	"{tenant}/{provider}/users/{user}", "<ref>",
	"{tenant}/{provider}/pages/{page}", "<page>",
)

// A row is of paths that have the same operations and the same to say.
type row struct {
	names            []string
	word, verbs, say string
	first            item // the first of the paths
}

// said writes what a path says for a cell of a table in a page of docs/.
var said = strings.NewReplacer("|", `\|`, "](docs/", "](")

// Paths returns a table of the document's paths in Markdown. A row says what a
// path is and what its operations take, in the document's words, and links to
// the path's section of [Fields].
func Paths(openAPI []byte) (string, error) {
	_, rows, err := read(openAPI)
	if err != nil {
		return "", err
	}
	var table strings.Builder
	table.WriteString("| path | operations | what |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&table, "| [%s](#%s) | %s | %s |\n", r.title(), anchor(r.title()), r.verbs, said.Replace(r.say))
	}
	return table.String(), nil
}

// read returns the document, and its rows in their order.
func read(openAPI []byte) (doc document, rows []*row, err error) {
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		return doc, nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		rows = add(rows, path, doc.Paths[path])
	}
	slices.SortStableFunc(rows, func(a, b *row) int { return a.rank() - b.rank() })
	return doc, rows, nil
}

// add adds the path to the row that has the same to say, or to one of its own.
func add(rows []*row, path string, i item) []*row {
	name := strings.TrimPrefix(path, "/")
	word, _, _ := strings.Cut(name, "/")
	name = strings.NewReplacer("{", "<", "}", ">").Replace(short.Replace(name))
	verbs, say := i.operations(strings.HasSuffix(path, "/"))
	for _, r := range rows {
		if r.word == word && r.verbs == verbs && r.say == say {
			if !slices.Contains(r.names, name) {
				r.names = append(r.names, name)
			}
			return rows
		}
	}
	return append(rows, &row{[]string{name}, word, verbs, say, i})
}

// operations returns the verbs of a path, as Vault's CLI has them, and all
// there is to say of it. Where no token is asked for it is no Vault client that
// asks: there they are HTTP's.
func (i item) operations(list bool) (verbs, say string) {
	said := []string{i.Description}
	var names []string
	for _, o := range []struct {
		*operation
		verb, method string
	}{{i.Get, "read", "GET"}, {i.Post, "write", "POST"}, {i.Delete, "delete", "DELETE"}} {
		if o.operation == nil {
			continue
		}
		if o.Description != "" && !slices.Contains(said, o.Description) {
			said = append(said, o.Description)
		}
		switch {
		case i.Unauthenticated:
			names = append(names, o.method)
		case list:
			names = append(names, "list")
		default:
			names = append(names, o.verb)
		}
	}
	if i.Unauthenticated {
		names = append(names, "**no token**")
	}
	return strings.Join(names, ", "), strings.Join(said, " ")
}

// rank orders rows by their first word.
func (r *row) rank() int {
	if i := slices.Index(words, r.word); i >= 0 {
		return i
	}
	return len(words)
}

// title names the paths of the row. More than two are the levels of one tree.
func (r *row) title() string {
	if len(r.names) > 2 {
		return "`" + r.word + "/…`"
	}
	return "`" + strings.Join(r.names, "`, `") + "`"
}

// anchor returns the anchor that a heading gets on GitHub.
func anchor(heading string) string {
	var to strings.Builder
	for _, c := range strings.ToLower(heading) {
		switch {
		case c == ' ':
			to.WriteByte('-')
		case c == '-', c == '_', unicode.IsLetter(c), unicode.IsDigit(c):
			to.WriteRune(c)
		}
	}
	return to.String()
}
