package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const module = "github.com/authpipe/vault-plugin-secrets-authpipe"

// binaries is the directory of the test binaries, for the fuzz targets in them.
const binaries = "bin/tests"

// A goTest is a run of go test.
type goTest struct {
	verb     string // the Makefile's, for tests that only run with it: see internal/longtest
	packages func(context.Context) ([]string, error)
	match    string // -run; empty: all
	args     []string
	race     bool
	verbose  bool // print the logs of passing tests
	keep     bool // keep the binaries
	parallel int  // tests at a time in a package; 0: 4
	low      bool // at a low priority: see background
}

func only(packages ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return packages, nil }
}

func everyPackage(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// withVault lists the packages whose tests run a Vault and wait for it.
var withVault = only(module+"/cmd/vault-plugin-secrets-authpipe", module+"/client/authpipe")

// withEngine lists the packages whose tests drive the engine through its harness.
var withEngine = only("./backend", "./internal/breaker", "./internal/notification", "./internal/upkeep", "./internal/removal", "./internal/flow", "./internal/pages", "./internal/refresh", "./internal/metric", "./paths")

// withoutVault lists all others. The longest comes last, when those with a Vault have ended.
func withoutVault(ctx context.Context) ([]string, error) {
	packages, err := everyPackage(ctx)
	if err != nil {
		return nil, err
	}
	with, _ := withVault(ctx)
	const longest = module + "/backend"
	packages = slices.DeleteFunc(packages, func(pkg string) bool { return pkg == longest || slices.Contains(with, pkg) })
	return append(packages, longest), nil
}

func (g goTest) run(ctx context.Context, r *report) {
	vault, err := findVault(ctx)
	if err != nil {
		r.fail("vault", err.Error())
		return
	}
	packages, err := g.packages(ctx)
	if err != nil {
		r.fail("go", err.Error())
		return
	}
	args := []string{"test", "-json", "-timeout=60m", "-p=2", "-vet=off", "-ldflags=-s",
		fmt.Sprintf("-parallel=%d", cmp.Or(g.parallel, 4))}
	if g.race {
		args = append(args, "-race")
	}
	if g.keep {
		if err := os.MkdirAll(binaries, 0o755); err != nil {
			r.fail("go", err.Error())
			return
		}
		args = append(args, "-o="+binaries+"/")
	}
	if g.match != "" {
		args = append(args, "-run="+g.match)
	}
	fmt.Fprintf(r.out, "go %s (%d packages)\n", strings.Join(append(args, g.args...), " "), len(packages))
	args = append(append(args, packages...), g.args...)
	command := exec.CommandContext
	if g.low {
		command = background
	}
	cmd := command(ctx, "go", args...)
	// The tests make much garbage and have small heaps: collecting it less often saves a quarter of the processor time.
	cmd.Env = append(os.Environ(), "VAULT_BIN="+vault, "GOGC=200", "LONG_TESTS="+g.verb)
	counter := &counter{verb: g.verb, verbose: g.verbose, out: r.out, report: r, packages: map[string]*counted{}}
	if err := stream(cmd, counter.line); err != nil && !counter.sawFailure {
		r.fail("go test", err.Error())
	}
	if g.match != "" && counter.tests == 0 {
		r.fail("go test", "no test matches "+g.match)
	}
}

// background is [exec.CommandContext] at a lower priority. The tests with a Vault, which run at the
// same time, wait for its ticks: work that is late by a moment costs them a minute.
func background(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nice", append([]string{"-n", "5", name}, args...)...)
}

// findVault returns the path of the Vault to test with. It builds one if there is
// none.
func findVault(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "scripts/vault.sh")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("scripts/vault.sh: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// stream runs a command and calls line for each line that it prints.
func stream(cmd *exec.Cmd, line func([]byte)) error {
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // go test then ends its children
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		in.Close()
		done <- err
	}()
	lines := bufio.NewReader(out)
	for {
		text, err := lines.ReadBytes('\n')
		if len(text) > 0 {
			line(bytes.TrimSuffix(text, []byte("\n")))
		}
		if err != nil {
			return <-done
		}
	}
}

// An event is a line of go test -json: see go doc cmd/test2json.
type event struct {
	Action, Package, Test, Output string
	ImportPath, FailedBuild       string // of a build
	Elapsed                       float64
}

// A counter reads the events of a run, prints failures, and adds a row for each
// package to the report.
type counter struct {
	verb       string
	verbose    bool
	out        io.Writer
	report     *report
	packages   map[string]*counted
	tests      int
	sawFailure bool
}

// counted is the result of a package's tests so far.
type counted struct {
	row
	output map[string][]string // by test, until it has passed
}

func (c *counter) line(text []byte) {
	var e event
	if json.Unmarshal(text, &e) != nil || e.Action == "" {
		fmt.Fprintf(c.out, "%s\n", text) // go's own errors
		return
	}
	switch e.Action {
	case "build-output":
		fmt.Fprint(c.out, e.Output)
	case "build-fail":
		c.sawFailure = true // the package's own event follows
	default:
		c.event(e)
	}
}

func (c *counter) event(e event) {
	p := c.packages[e.Package]
	if p == nil {
		p = &counted{row: row{name: c.name(e.Package)}, output: map[string][]string{}}
		c.packages[e.Package] = p
	}
	switch e.Action {
	case "output":
		if c.verbose {
			fmt.Fprint(c.out, e.Output)
		} else {
			p.output[e.Test] = append(p.output[e.Test], e.Output)
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			c.end(p, e)
		} else {
			c.test(p, e)
		}
	}
}

// test counts a test, or subtest, that has ended.
func (c *counter) test(p *counted, e event) {
	c.tests++
	output := p.output[e.Test]
	delete(p.output, e.Test)
	switch e.Action {
	case "pass":
		p.passed++
	case "fail":
		p.failed++
		c.sawFailure = true
		c.report.failed = append(c.report.failed, p.name+" "+e.Test)
		fmt.Fprint(c.out, strings.Join(output, ""))
	case "skip":
		p.skipped++
		c.report.skipped = append(c.report.skipped, p.name+" "+e.Test+": "+reason(output))
	}
}

// logged is a line of a test's log.
var logged = regexp.MustCompile(`^\w+\.go:\d+: (.*)$`)

// reason returns what a skipped test gave as its reason.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if _, command, ok := strings.Cut(line, " skip "); ok && strings.HasPrefix(line, "> ") { // of a testscript
			return strings.Trim(command, "'")
		}
		if found := logged.FindStringSubmatch(line); found != nil {
			return found[1]
		}
	}
	return "no reason given"
}

// end adds the package's row.
func (c *counter) end(p *counted, e event) {
	p.took = time.Duration(e.Elapsed * float64(time.Second))
	if e.Action == "skip" && p.passed+p.failed+p.skipped == 0 {
		return // no test files
	}
	if e.Action == "fail" {
		if c.sawFailure = true; e.FailedBuild != "" {
			p.failed = 1
			c.report.failed = append(c.report.failed, p.name+": does not build")
		} else if p.failed == 0 { // a panic or a timeout
			for test, output := range p.output {
				fmt.Fprint(c.out, strings.Join(output, ""))
				if test != "" {
					c.report.failed = append(c.report.failed, p.name+" "+test+": did not end")
				}
			}
			p.failed = 1
			c.report.failed = append(c.report.failed, p.name+": ended before its tests did")
		}
	}
	c.report.add(p.row)
	fmt.Fprintf(c.out, "%-4s %-45s %5d passed, %d failed, %d skipped, %s\n",
		e.Action, p.name, p.passed, p.failed, p.skipped, seconds(p.took))
}

func (c *counter) name(pkg string) string {
	pkg, _, _ = strings.Cut(pkg, " ") // "x [x.test]"
	name := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
	if c.verb != "" {
		return c.verb + ": " + name
	}
	return name
}

// binaryOf returns the path of a package's test binary.
func binaryOf(pkg string) string { return filepath.Join(binaries, filepath.Base(pkg)+".test") }
