// Package reference generates the tables of docs/reference.md from the engine's
// OpenAPI document.
package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// The parts of the document that the tables show.
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

// words are the first words of paths in the order of the table. Other paths come
// last.
var words = []string{
	"config", "connect", "callback", "sessions", "creds", "connections", "accounts", "tenants", "health", "events", "webhooks", "metrics", "info", "settings",
}

// short maps the paths of refs to their names in the table. The document has a
// path for each kind. (A user's pages/ is no ref.)
var short = strings.NewReplacer(
	"{tenant}/{provider}/installation", "<ref>",
	"{tenant}/{provider}/users/{user}/pages/{page}", "<page>",
	"{tenant}/{provider}/users/{user}/pages/", "{tenant}/{provider}/users/{user}/pages/",
	"{tenant}/{provider}/users/{user}", "<ref>",
	"{tenant}/{provider}/pages/{page}", "<page>",
)

// A row is for paths with the same operations and descriptions.
type row struct {
	names            []string
	word, verbs, say string
	first            item // the first of the paths
}

// cell rewrites a description for a cell of a table in a page of docs/.
var cell = strings.NewReplacer("|", `\|`, "](docs/", "](")

// Paths returns a table of the document's paths in Markdown. A row has the
// document's descriptions of a path and its operations, and links to the path's
// section of [Fields].
func Paths(openAPI []byte) (string, error) {
	_, rows, err := read(openAPI)
	if err != nil {
		return "", err
	}
	var table strings.Builder
	table.WriteString("| path | operations | what |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&table, "| [%s](#%s) | %s | %s |\n", r.title(), anchor(r.title()), r.verbs, cell.Replace(r.say))
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

// add adds the path to the row with the same descriptions, or to a new one.
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

// operations returns the verbs of a path, as Vault's CLI has them, and all its
// descriptions. A path without a token is not for Vault clients, so its verbs are
// HTTP's.
func (i item) operations(list bool) (verbs, say string) {
	descriptions := []string{i.Description}
	var names []string
	for _, o := range []struct {
		*operation
		verb, method string
	}{{i.Get, "read", "GET"}, {i.Post, "write", "POST"}, {i.Delete, "delete", "DELETE"}} {
		if o.operation == nil {
			continue
		}
		if o.Description != "" && !slices.Contains(descriptions, o.Description) {
			descriptions = append(descriptions, o.Description)
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
	return strings.Join(names, ", "), strings.Join(descriptions, " ")
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
