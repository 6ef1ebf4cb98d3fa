package reference

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Notes are the edge cases of each path, for which the OpenAPI document has no
// place: Markdown by the title of the path's section, such as "`creds/<ref>`".
type Notes map[string]string

// ReadNotes reads the notes from the Markdown files in fsys, one for each path
// family. In a file each path has a heading of the second level. Text before the
// first heading is left out.
//
// The files are in a directory beside docs/, so their links to docs/ are
// rewritten for a page of docs/.
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

// unknown returns an error if notes belong to none of the rows.
func (n Notes) unknown(rows []*row) error {
	for title := range n {
		if !slices.ContainsFunc(rows, func(r *row) bool { return r.title() == title }) {
			return fmt.Errorf("there are notes for %s, which is no path", title)
		}
	}
	return nil
}
