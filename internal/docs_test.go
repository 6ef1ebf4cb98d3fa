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
	testName   = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]+)`")
	scriptName = regexp.MustCompile("`([a-z0-9-]+\\.txt)`")
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)
)

// TestTheThreatModelNamesTestsThatExist holds the document to the tests, and
// the tests that are attacks to the document.
func TestTheThreatModelNamesTestsThatExist(t *testing.T) {
	model, err := os.ReadFile("../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]string{}
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range testFunc.FindAllSubmatch(text, -1) {
			exists[string(found[1])] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, found := range testName.FindAllStringSubmatch(string(model), -1) {
		if named[found[1]] = true; exists[found[1]] == "" {
			t.Errorf("there is no %s", found[1])
		}
	}
	for _, found := range scriptName.FindAllStringSubmatch(string(model), -1) {
		named[found[1]] = true
		if _, err := os.Stat("../testdata/script/" + found[1]); err != nil {
			t.Error(err)
		}
	}
	if len(named) < 50 {
		t.Errorf("only %d tests are named", len(named))
	}
	for name, path := range exists {
		switch path {
		case "../internal/flow/attack_test.go", "../paths/hostile_test.go", "../paths/page_test.go", "../internal/flow/mixup_test.go":
			if !named[name] {
				t.Errorf("%s is in %s and not in the document", name, path)
			}
		}
	}
}
