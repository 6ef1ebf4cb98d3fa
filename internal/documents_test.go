package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestREADMEIsShort keeps the README what it is for: what, why, install, the
// first credential, where to go on. Edge cases belong into paths/*.md, from
// which docs/reference.md is made.
func TestREADMEIsShort(t *testing.T) {
	if n := len(read(t, "../README.md")); n > 12<<10 {
		t.Errorf("README.md has %d bytes, more than 12 KB: move something to docs/", n)
	}
}

// TestEachEventTypeIsListed holds the table of events in the reference to the
// types that there are.
func TestEachEventTypeIsListed(t *testing.T) {
	constant := regexp.MustCompile(`(?m)^\s*\w+\s+Type = "([a-z._]+)"`)
	reference, types := read(t, "../docs/reference.md"), map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		for _, found := range constant.FindAllStringSubmatch(read(t, path), -1) {
			types[found[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(types) < 21 {
		t.Fatalf("only %d types of events were found", len(types))
	}
	for name := range types {
		if !regexp.MustCompile("(?m)^\\| [^|]*`" + regexp.QuoteMeta(name) + "`[^|]* \\| ").MatchString(reference) {
			t.Errorf("docs/reference.md has no row for %s: add it to paths/events.md and run make reference", name)
		}
	}
}

// TestDecisionsNameTestsThatExist holds each page of docs/decisions to the tests
// that it says hold the decision.
func TestDecisionsNameTestsThatExist(t *testing.T) {
	exists := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return fs.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			for _, found := range testFunc.FindAllStringSubmatch(read(t, path), -1) {
				exists[found[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../docs/decisions/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("found %d pages: %v", len(pages), err)
	}
	for _, page := range pages {
		if filepath.Base(page) == "README.md" {
			continue
		}
		_, held, _ := strings.Cut(read(t, page), "\n## Held by\n")
		names := testName.FindAllStringSubmatch(held, -1)
		if len(names) == 0 {
			t.Errorf("%s names no tests", page)
		}
		for _, name := range names {
			if !exists[name[1]] {
				t.Errorf("%s: there is no %s", page, name[1])
			}
		}
	}
}
