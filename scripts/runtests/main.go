// Command runtests runs parts of the project's tests, from the root of the
// repository, and prints a table of them at the end. All parts run, even if one
// fails. The exit status is 1 if anything failed.
//
//	runtests js vault go fuzz
//
// The Makefile has a verb for each part.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A part is a set of tests that runs as a whole.
type part struct {
	name string
	run  func(ctx context.Context, r *report)
	// beside is set if the part runs at the same time as those after it. The part vault
	// waits for Vault's ticks most of the time.
	beside bool
	// alone is set if the part waits until those have ended.
	alone bool
}

// full matches the tests that try each storage operation or combination with
// make test-full, and some of them without.
const full = "Survives?(Crash|Storage)|EachFacebookDecision|EachTrouble|JunkCallbacks|UnverifiedRequest"

// parts are in the order in which they run. Sizes that are not the tests'
// defaults are set only here.
var parts = []part{
	{name: "js", run: runJS, beside: true},
	{name: "vault", run: goTest{packages: withVault, race: true, keep: true, parallel: 6}.run, beside: true},
	{name: "go", run: goTest{packages: withoutVault, race: true, keep: true, low: true}.run},
	{name: "fuzz", run: runFuzz},
	{name: "browser", run: runBrowser, alone: true},
	{name: "full", run: goTest{verb: "test-full", race: true, packages: withEngine,
		match: full}.run},
	{name: "days", run: func(ctx context.Context, r *report) {
		goTest{verb: "test-days", packages: only("./backend"), match: "TestMonthsOfTrouble",
			args: []string{"-longrun.credentials=2000", "-longrun.days=200"}}.run(ctx, r)
		goTest{verb: "test-days", packages: only("./client/authpipe"), match: "TestLoad$",
			args: []string{"-load.refs=10000", "-load.time=20m"}}.run(ctx, r)
	}},
	{name: "ha", run: goTest{verb: "test-ha", verbose: true, packages: only("./ha"), match: "TestManyNodes"}.run},
	{name: "release", run: goTest{verb: "test-release", packages: only("./cmd/vault-plugin-secrets-authpipe"), match: "Release|TestAcceptance/upgrade"}.run},
	{name: "bench", run: goTest{verb: "test-bench", packages: only("./bench")}.run},
	{name: "judges", run: runJudges},
}

func main() {
	names := os.Args[1:]
	known := func(name string) bool { return slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) }
	if i := slices.IndexFunc(names, func(name string) bool { return !known(name) }); len(names) == 0 || i >= 0 {
		var all []string
		for _, p := range parts {
			all = append(all, p.name)
		}
		fmt.Fprintf(os.Stderr, "usage: runtests PART...\nparts: %s\n", strings.Join(all, " "))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begun := time.Now()
	var reports []*report
	var running sync.WaitGroup
	for _, p := range parts {
		if !slices.Contains(names, p.name) || ctx.Err() != nil {
			continue
		}
		r := &report{}
		reports = append(reports, r)
		if p.beside {
			r.out = &r.later
			running.Go(func() { p.run(ctx, r) })
			continue
		}
		if p.alone {
			running.Wait()
		}
		r.out = os.Stdout
		fmt.Printf("== %s\n", p.name)
		p.run(ctx, r)
	}
	running.Wait()
	whole := &report{}
	for _, r := range reports {
		os.Stdout.Write(r.later.Bytes())
		whole.merge(r)
	}
	if ctx.Err() != nil {
		whole.fail("interrupted", "")
	}
	whole.print(os.Stdout, time.Since(begun))
	if len(whole.failed) > 0 {
		os.Exit(1)
	}
}
