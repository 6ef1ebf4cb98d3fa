package metric_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/metric"
)

func TestTemplateNamesEachPathOfTheAPI(t *testing.T) {
	text, err := os.ReadFile("../../testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var document struct{ Paths map[string]any }
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `path` .*$").Find(page)
	for path := range document.Paths {
		got := metric.Template(strings.TrimPrefix(path, "/"))
		if got == "other" || strings.Contains(got, "{") {
			t.Errorf("%s is counted as %s", path, got)
		}
		if !strings.Contains(string(row), "`"+got+"`") {
			t.Errorf("docs/metrics.md does not list %s of %s", got, path)
		}
	}
}
