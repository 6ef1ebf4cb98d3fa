// Package longtest leaves long tests out of make test. Each of them has a verb of
// its own in the Makefile, which its skip message names.
package longtest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Runs reports whether make verb runs the test. The Makefile's verbs set
// $LONG_TESTS to a comma-separated list of names.
func Runs(verb string) bool {
	return slices.Contains(strings.Split(os.Getenv("LONG_TESTS"), ","), verb)
}

// Only skips the test unless make verb runs it.
func Only(tb testing.TB, verb string) {
	tb.Helper()
	if !Runs(verb) {
		tb.Skip("runs with make " + verb)
	}
}
