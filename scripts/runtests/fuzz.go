package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// inputs is the number of inputs for each fuzz target.
const inputs = 2000

// runFuzz feeds each fuzz target some mutations of its committed inputs. It uses
// the test binaries of the part go, which are not built for coverage: such a
// build takes minutes, and make fuzz does that.
func runFuzz(ctx context.Context, r *report) {
	packages, err := everyPackage(ctx)
	if err != nil {
		r.fail("fuzz", err.Error())
		return
	}
	ran := 0
	for _, pkg := range packages {
		dir := "." + strings.TrimPrefix(pkg, module)
		program, err := filepath.Abs(binaryOf(pkg))
		if err != nil {
			r.fail("fuzz", err.Error())
			return
		}
		if _, err := os.Stat(program); err != nil {
			continue // no tests, or a failed build, which was reported
		}
		for _, target := range targets(ctx, program, dir) {
			ran++
			fuzz(ctx, r, program, dir, target)
		}
	}
	if ran == 0 {
		r.fail("fuzz", "no target found: run the part go first")
	}
}

func targets(ctx context.Context, program, dir string) []string {
	cmd := exec.CommandContext(ctx, program, "-test.list=^Fuzz")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

func fuzz(ctx context.Context, r *report, program, dir, target string) {
	begun := time.Now()
	name := fmt.Sprintf("fuzz: %s %s", strings.TrimPrefix(dir, "./"), target)
	cmd := exec.CommandContext(ctx, program, "-test.run=^$", "-test.fuzz=^"+target+"$", fmt.Sprintf("-test.fuzztime=%dx", inputs),
		"-test.fuzzcachedir="+filepath.Join(filepath.Dir(program), "fuzz"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOGC=200")
	out, err := cmd.CombinedOutput()
	x := row{name: name, passed: 1, took: time.Since(begun)}
	if err != nil {
		fmt.Fprintf(r.out, "%s\n%s", name, out)
		x.passed, x.failed = 0, 1
		r.failed = append(r.failed, fmt.Sprintf("%s: %v; the input is in %s/testdata/fuzz/%s", name, err, dir, target))
	}
	r.add(x)
}
