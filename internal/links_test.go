package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	codeBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	codeSpan  = regexp.MustCompile("`[^`\n]*`")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	dropped   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksLeadSomewhere follows each link of each document: to a file that is
// there, and to a heading that it has.
func TestLinksLeadSomewhere(t *testing.T) {
	followed := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "bin" || d.Name() == "dist"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		prose := codeSpan.ReplaceAll(codeBlock.ReplaceAll(text, nil), nil)
		for _, found := range link.FindAllSubmatch(prose, -1) {
			to := string(found[1])
			if strings.HasPrefix(to, "https://") {
				continue // the network is not tested
			}
			followed++
			if why := broken(path, to); why != "" {
				t.Errorf("%s: %s: %s", path, to, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if followed < 30 {
		t.Errorf("only %d links were followed", followed)
	}
}

// broken says why the link to, in the document at path, leads nowhere, or "".
func broken(path, to string) string {
	file, anchor, _ := strings.Cut(to, "#")
	if file == "" {
		file = path
	} else {
		file = filepath.Join(filepath.Dir(path), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		if info, dir := os.Stat(file); dir == nil && info.IsDir() && anchor == "" {
			return ""
		}
		return "there is no such file"
	}
	if anchor == "" {
		return ""
	}
	for _, found := range heading.FindAllSubmatch(codeBlock.ReplaceAll(text, nil), -1) {
		if anchorOf(string(found[1])) == anchor {
			return ""
		}
	}
	return "the file has no such heading"
}

// anchorOf is the anchor that a heading gets where the documents are shown:
// lower case, a hyphen for each space, and nothing but letters, digits, _ and -.
func anchorOf(heading string) string {
	heading = strings.NewReplacer("`", "", "*", "").Replace(link.ReplaceAllString(heading, ""))
	return strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
