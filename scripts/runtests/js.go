package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// runJS installs the dependencies of the packages below js/, builds them, checks
// their types, and runs their tests.
func runJS(ctx context.Context, r *report) {
	for _, step := range []struct{ name, command string }{
		{"js: install", "npm ci --no-audit --no-fund"},
		{"js: build", "npm run --silent build"},
		{"js: types", "npm run --silent typecheck"},
	} {
		if err := npm(ctx, r, "js", step.name, step.command); err != nil && step.name != "js: types" {
			return // the next steps need it
		}
	}
	for _, workspace := range []string{"node", "react"} {
		vitest(ctx, r, "js: "+workspace, "npm", "--prefix=js", "run", "--silent", "test", "--workspace", workspace, "--")
	}
}

// runBrowser runs the example's tests in a browser.
func runBrowser(ctx context.Context, r *report) {
	vitest(ctx, r, "js: example, in a browser", "scripts/test-browser.sh")
}

// npm runs a command in a directory. Its output is shown only if it fails.
func npm(ctx context.Context, r *report, dir, name, command string) error {
	begun := time.Now()
	words := strings.Fields(command)
	cmd := background(ctx, words[0], words[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Fprintf(r.out, "%s: %s\n%s", name, command, out)
		r.fail(name, err.Error())
		return err
	}
	r.add(row{name: name, passed: 1, took: time.Since(begun)})
	return nil
}

// results is the output of vitest's JSON reporter, which is like Jest's.
type results struct {
	TestResults []struct {
		Name             string `json:"name"`
		Status           string `json:"status"`
		Message          string `json:"message"`
		AssertionResults []struct {
			FullName        string   `json:"fullName"`
			Status          string   `json:"status"`
			FailureMessages []string `json:"failureMessages"`
		} `json:"assertionResults"`
	} `json:"testResults"`
}

// vitest runs a command that passes its last arguments on to vitest.
func vitest(ctx context.Context, r *report, name, command string, args ...string) {
	begun := time.Now()
	dir, err := os.MkdirTemp("", "authpipe-vitest-")
	if err != nil {
		r.fail(name, err.Error())
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "results.json")
	cmd := background(ctx, command, append(args, "--reporter=json", "--outputFile="+file)...)
	out, ran := cmd.CombinedOutput()
	var got results
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	x := row{name: name, took: time.Since(begun)}
	for _, f := range got.TestResults {
		if f.Status == "failed" && len(f.AssertionResults) == 0 { // it did not load
			x.failed++
			r.failed = append(r.failed, fmt.Sprintf("%s %s", name, filepath.Base(f.Name)))
			fmt.Fprintf(r.out, "%s: %s\n%s\n", name, f.Name, f.Message)
		}
		for _, test := range f.AssertionResults {
			switch test.Status {
			case "passed":
				x.passed++
			case "failed":
				x.failed++
				r.failed = append(r.failed, fmt.Sprintf("%s %s: %s", name, filepath.Base(f.Name), test.FullName))
				fmt.Fprintf(r.out, "%s: %s: %s\n%s\n", name, f.Name, test.FullName, strings.Join(test.FailureMessages, "\n"))
			default:
				x.skipped++
				r.skipped = append(r.skipped, fmt.Sprintf("%s %s: %s: %s", name, filepath.Base(f.Name), test.FullName, test.Status))
			}
		}
	}
	r.add(x)
	if ran != nil && x.failed == 0 || err != nil || x.passed == 0 {
		fmt.Fprintf(r.out, "%s", out)
		r.fail(name, fmt.Sprintf("vitest: %v, its results: %v", ran, err))
	}
}
