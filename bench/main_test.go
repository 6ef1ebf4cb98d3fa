// Package main_test tests that the benchmark works, not its figures.
package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/longtest"
)

func TestMeasurementsPrintRows(t *testing.T) {
	longtest.Only(t, "test-bench")
	only, firstWords := "handler,due,steady,idle,start", []string{"warm read", "refresh", "check", "default checks", "idle sweep", "start"}
	if os.Getenv("VAULT_BIN") != "" {
		only, firstWords = "warm,cold,connect,asleep,"+only, append(firstWords, "cold read", "control", "connect", "asleep")
	}
	program := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program, "-only", only, "-credentials", "1500", "-due", "20", "-rounds", "1", "-round", "10ms", "-sizes", "50,150", "-minutes", "0")
	cmd.Dir = ".." // as make runs it
	var why strings.Builder
	cmd.Stderr = &why
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("measuring: %v\n%s", err, why.String())
	}
	_, rows, _ := strings.Cut(string(out), "\nmeasured ")
	for _, words := range firstWords {
		if !strings.Contains(rows, "\n"+words) {
			t.Errorf("the table has no row for %q:\n%s", words, out)
		}
	}
}
