package reference

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fields returns a section in Markdown for each row of the table of paths: each
// operation with the fields of its requests and responses, then the path's notes.
// It fails if there are notes for a path that does not exist.
func Fields(openAPI []byte, notes Notes) (string, error) {
	doc, rows, err := read(openAPI)
	if err != nil {
		return "", err
	}
	if err := notes.unknown(rows); err != nil {
		return "", err
	}
	var text strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&text, "\n## %s\n\n%s\n", r.title(), r.first.Description)
		list := strings.HasSuffix(r.names[0], "/") || strings.HasSuffix(r.title(), "…`")
		for _, o := range r.first.all(list) {
			doc.describe(&text, o)
		}
		if note := notes[r.title()]; note != "" {
			fmt.Fprintf(&text, "\n**Notes.**\n\n%s\n", note)
		}
	}
	return text.String(), nil
}

// A method is an operation of a path with its verb.
type method struct {
	*operation
	verb string
}

// all returns the operations of a path.
func (i item) all(list bool) (all []method) {
	reading, writing := "read", "write"
	if list {
		reading = "list"
	}
	if i.Unauthenticated {
		reading, writing = "GET", "POST"
	}
	for _, d := range []method{{i.Get, reading}, {i.Post, writing}, {i.Delete, "delete"}} {
		if d.operation != nil {
			all = append(all, d)
		}
	}
	return all
}

func (doc document) describe(text *strings.Builder, d method) {
	fmt.Fprintf(text, "\n**%s.** %s\n", d.verb, d.Summary)
	taken := map[string]schema{}
	for _, p := range d.Parameters {
		// A path has one list for all its operations: the description says of which one
		// a parameter is.
		where, what, named := strings.Cut(strings.TrimPrefix(p.Description, "On a "), ": ")
		switch {
		case p.In != "query", p.Name == "list":
			continue
		case named && strings.HasPrefix(p.Description, "On a ") && where != d.verb:
			continue
		case named && strings.HasPrefix(p.Description, "On a "):
			p.Description = strings.ToUpper(what[:1]) + what[1:]
		}
		p.Schema.Description = p.Description
		taken[p.Name] = p.Schema
	}
	var required []string
	for _, body := range d.RequestBody.Content {
		s := doc.resolve(body.Schema)
		maps.Copy(taken, s.Properties)
		required = s.Required
	}
	table(text, "takes", taken, required)
	for _, status := range slices.Sorted(maps.Keys(d.Responses)) {
		r := d.Responses[status]
		fmt.Fprintf(text, "\n%s: %s\n", status, r.Description)
		for _, content := range r.Content {
			table(text, "answers", doc.resolve(content.Schema).Properties, nil)
		}
	}
}

// resolve returns the schema that s refers to, or s.
func (doc document) resolve(s schema) schema {
	if s.Ref == "" {
		return s
	}
	return doc.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
}

func table(text *strings.Builder, head string, fields map[string]schema, required []string) {
	if len(fields) == 0 {
		return
	}
	fmt.Fprintf(text, "\n| %s | type | meaning |\n|---|---|---|\n", head)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		if slices.Contains(required, name) {
			f.Description = "Required. " + f.Description
		}
		fmt.Fprintf(text, "| `%s` | %s | %s |\n", name, f.kind(), strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ").Replace(f.Description))
	}
}

// kind returns the type in a word, or the possible values.
func (s schema) kind() string {
	switch {
	case len(s.Enum) > 0:
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprintf("`%v`", v))
		}
		return strings.Join(values, ", ")
	case s.Type == "array":
		of := "any"
		if s.Items != nil {
			of = s.Items.kind()
		}
		return "list of " + of
	case s.Format == "date-time":
		return "time"
	}
	return cmp.Or(s.Type, "any")
}
