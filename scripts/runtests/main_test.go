package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// events is the output of go test -json for a package that passes, one with a
// failing test, one that panics and one that does not build.
const events = `
{"Action":"start","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"}
{"Action":"run","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant","Test":"TestA"}
{"Action":"output","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant","Test":"TestA","Output":"    a_test.go:3: quiet\n"}
{"Action":"pass","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant","Test":"TestA","Elapsed":0.1}
{"Action":"output","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant","Test":"TestB","Output":"    b_test.go:7: runs with make test-ha\n"}
{"Action":"output","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant","Test":"TestB","Elapsed":0}
{"Action":"pass","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant","Elapsed":1.5}
{"Action":"output","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/paths","Test":"TestC","Output":"    c_test.go:9: it is wrong\n"}
{"Action":"fail","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/paths","Test":"TestC","Elapsed":0.2}
{"Action":"fail","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/paths","Elapsed":61}
{"Action":"output","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/backend","Test":"TestD","Output":"panic: no\n"}
{"Action":"fail","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/backend","Elapsed":2}
{"ImportPath":"github.com/authpipe/vault-plugin-secrets-authpipe/ha [github.com/authpipe/vault-plugin-secrets-authpipe/ha.test]","Action":"build-output","Output":"ha/x.go:1: undefined: y\n"}
{"ImportPath":"github.com/authpipe/vault-plugin-secrets-authpipe/ha [github.com/authpipe/vault-plugin-secrets-authpipe/ha.test]","Action":"build-fail"}
{"Action":"fail","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/ha","Elapsed":0,"FailedBuild":"github.com/authpipe/vault-plugin-secrets-authpipe/ha [github.com/authpipe/vault-plugin-secrets-authpipe/ha.test]"}
{"Action":"skip","Package":"github.com/authpipe/vault-plugin-secrets-authpipe/bench/filler","Elapsed":0}
`

func TestReportCountsEachOutcome(t *testing.T) {
	r := &report{}
	var shown bytes.Buffer
	c := &counter{out: &shown, report: r, packages: map[string]*counted{}}
	for line := range strings.SplitSeq(strings.TrimSpace(events), "\n") {
		c.line([]byte(line))
	}
	if !c.sawFailure {
		t.Error("no failure was seen")
	}
	for _, want := range []string{"it is wrong", "panic: no", "undefined: y", "pass internal/tenant", "fail backend"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("%q was not shown:\n%s", want, &shown)
		}
	}
	if strings.Contains(shown.String(), "quiet") {
		t.Error("the log of a passing test was shown")
	}

	var table bytes.Buffer
	r.print(&table, time.Minute)
	for _, want := range []string{
		"1       0        1    2s  internal/tenant",
		"0       1        0  1m1s  paths",
		"internal/tenant TestB: runs with make test-ha",
		"paths TestC\n", "backend TestD: did not end", "backend: ended before its tests did", "ha: does not build",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in the table:\n%s", want, &table)
		}
	}
	if !strings.HasSuffix(table.String(), "\n1 passed, 3 failed, 1 skipped\n") {
		t.Errorf("the last line is not the sum:\n%s", &table)
	}
	if strings.Contains(table.String(), "filler") {
		t.Error("a package without tests has a row")
	}
}

func TestReportOfATestScriptNamesItsReason(t *testing.T) {
	got := reason([]string{"=== RUN   TestAcceptance/upgrade\n", "        > [!test-release] skip 'runs with make test-release'\n", "    --- SKIP: TestAcceptance/upgrade (0.1s)\n"})
	if got != "runs with make test-release" {
		t.Errorf("got %q", got)
	}
}

func TestTAPIsCounted(t *testing.T) {
	r := &report{}
	got := countTAP(r, "judges: js", `TAP version 13
# Subtest: fb logs in
    # Subtest: a part of it
    not ok 1 - a part of it
ok 1 - fb logs in
  ---
  duration_ms: 3
  ...
not ok 2 - arctic - logs in
ok 3 - later # SKIP no network
1..3
# pass 1
`)
	if got.passed != 1 || got.failed != 1 || got.skipped != 1 {
		t.Errorf("counted %+v", got)
	}
	if len(r.failed) != 1 || r.failed[0] != "judges: js: arctic - logs in" || len(r.skipped) != 1 || r.skipped[0] != "judges: js: later: no network" {
		t.Errorf("failed %q, skipped %q", r.failed, r.skipped)
	}
}

// TestFullSelectsAllLongTests looks at the tests of the engine: those that do more with
// make test-full must be among those that it runs.
func TestFullSelectsAllLongTests(t *testing.T) {
	long := regexp.MustCompile(`enginetest\.(Each(Crash|Outage|Failure)\(|Full\b)|"test-full"`)
	function := regexp.MustCompile(`(?ms)^func (Test\w+)\(.*?^}$`)
	run := regexp.MustCompile(full)
	packages, _ := withEngine(t.Context())
	selected := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") || d.Name() == "main_test.go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir := "./" + filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../"))
		if bytes.Contains(text, []byte("/internal/enginetest\"")) && !slices.Contains(packages, dir) {
			t.Errorf("%s uses the engine's harness: name it in withEngine", dir)
		}
		for _, found := range function.FindAllSubmatch(text, -1) {
			if long.Match(found[0]) {
				if selected++; !run.Match(found[1]) {
					t.Errorf("make test-full does not run %s of %s", found[1], path)
				}
			}
		}
		return nil
	})
	if err != nil || selected < 20 {
		t.Errorf("only %d tests were found: %v", selected, err)
	}
}
