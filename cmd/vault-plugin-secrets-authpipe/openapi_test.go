package main_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// openAPI fails unless the server's document of MOUNT is exactly that in FILE.
func openAPI(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 2 {
		ts.Fatalf("usage: openapi MOUNT FILE")
	}
	type document struct {
		Paths      map[string]any
		Components struct{ Schemas map[string]any }
	}
	text, err := os.ReadFile(filepath.Join(root, args[1]))
	ts.Check(err)
	var want, all document
	ts.Check(json.Unmarshal(text, &want))
	answer, status := environmentOf(ts).server.try(http.MethodGet, "sys/internal/specs/openapi", nil)
	if status != http.StatusOK {
		ts.Fatalf("reading the document: status %d: %v", status, answer)
	}
	text, err = json.Marshal(answer)
	ts.Check(err)
	ts.Check(json.Unmarshal(text, &all))
	// The server's document covers all mounts.
	got := map[string]any{}
	for path, item := range all.Paths {
		if below, ok := strings.CutPrefix(path, "/"+args[0]); ok {
			got[below] = item
		}
	}
	if diff := cmp.Diff(want.Paths, got); diff != "" {
		return output{stdout: diff}, errors.New("the server documents other paths")
	}
	for name, schema := range want.Components.Schemas {
		if environmentOf(ts).server.bao { // its document has no additionalProperties
			delete(schema.(map[string]any), "additionalProperties")
		}
		if diff := cmp.Diff(schema, all.Components.Schemas[name]); diff != "" {
			return output{stdout: diff}, errors.New("the server documents another " + name)
		}
	}
	return output{}, nil
}
