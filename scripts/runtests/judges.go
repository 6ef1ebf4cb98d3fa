package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// runJudges runs third-party client libraries against the Facebook simulator, and clients of Vault against the plugin in a Vault: see
// judges/README.md. Those in Go are modules of their own, and those in JavaScript a package of their own.
func runJudges(ctx context.Context, r *report) {
	goJudges(ctx, r, "judges/go")
	if npm(ctx, r, "judges/js", "judges: install", "npm ci --no-audit --no-fund") != nil {
		return
	}
	jsJudges(ctx, r)
	vault, err := findVault(ctx)
	if err != nil {
		r.fail("judges: vault", err.Error())
		return
	}
	goJudges(ctx, r, "judges/vault", "VAULT_BIN="+vault)
}

// goJudges runs the tests of a Go module.
func goJudges(ctx context.Context, r *report, dir string, env ...string) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-timeout=60m", "./...")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	counter := &counter{out: r.out, report: r, packages: map[string]*counted{}}
	if err := stream(cmd, counter.line); err != nil && !counter.sawFailure {
		r.fail(dir+": go test", err.Error())
	}
}

// jsJudges runs the tests of the npm package against simulators.
func jsJudges(ctx context.Context, r *report) {
	simulator, err := filepath.Abs("bin/facebook-simulator")
	if err == nil {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", simulator, "./cmd/facebook-simulator")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		r.fail("judges: build of the simulator", err.Error())
		return
	}
	nodeTest(ctx, r, "judges: js", "judges/js", "SIMULATOR_BIN="+simulator)
}

// tapLine is a line of TAP about one test: https://testanything.org.
var tapLine = regexp.MustCompile(`^(not )?ok \d+ - (.*?)(?: # (SKIP|TODO)\b ?(.*))?$`)

// nodeTest runs run.mjs in a directory, which passes its arguments on to node --test, and counts what it reports.
func nodeTest(ctx context.Context, r *report, name, dir string, env ...string) {
	begun := time.Now()
	cmd := exec.CommandContext(ctx, "node", "run.mjs", "--test-reporter=tap")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it then ends its simulators
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	x := countTAP(r, name, string(out))
	x.took = time.Since(begun)
	r.add(x)
	if x.failed > 0 {
		fmt.Fprintf(r.out, "%s\n%s", name, out)
		return
	}
	if err == nil && x.passed == 0 {
		err = errors.New("no test ran")
	}
	if err != nil {
		fmt.Fprintf(r.out, "%s\n%s", name, out)
		r.fail(name, err.Error())
	}
}

// countTAP counts tests. Subtests are indented, and not counted.
func countTAP(r *report, name, tap string) row {
	x := row{name: name}
	for line := range strings.Lines(tap) {
		found := tapLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		switch {
		case found == nil:
		case found[3] != "":
			x.skipped++
			r.skipped = append(r.skipped, fmt.Sprintf("%s: %s: %s", name, found[2], found[4]))
		case found[1] != "":
			x.failed++
			r.failed = append(r.failed, fmt.Sprintf("%s: %s", name, found[2]))
		default:
			x.passed++
		}
	}
	return x
}
