package reference

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Notes are what the OpenAPI document has no place for: the edge cases of each
// path, in Markdown, by the title of its section, such as "`creds/<ref>`".
type Notes map[string]string

// ReadNotes reads the notes from the Markdown files in fsys, one a path family.
// In a file each path has a heading of the second level. What stands before the
// first heading is for the file's own readers and is left out.
//
// The files lie in a directory beside docs/, so their links to docs/ are written
// anew for a page of docs/.
func ReadNotes(fsys fs.FS) (Notes, error) {
	names, err := fs.Glob(fsys, "*.md")
	if err != nil {
		return nil, err
	}
	notes := Notes{}
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		for _, section := range strings.Split("\n"+string(text), "\n## ")[1:] {
			title, note, _ := strings.Cut(section, "\n")
			if notes[title] != "" {
				return nil, fmt.Errorf("%s: %s has notes already", name, title)
			}
			notes[title] = strings.ReplaceAll(strings.TrimSpace(note), "](../docs/", "](")
		}
	}
	return notes, nil
}

// unknown returns an error that names the notes that belong to none of the rows.
func (n Notes) unknown(rows []*row) error {
	for title := range n {
		if !slices.ContainsFunc(rows, func(r *row) bool { return r.title() == title }) {
			return fmt.Errorf("there are notes of %s, and no such path", title)
		}
	}
	return nil
}
