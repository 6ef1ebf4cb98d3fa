package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A report has the results of a part, or of all parts.
type report struct {
	out     io.Writer    // for output while the part runs
	later   bytes.Buffer // the output of a part that runs beside others
	rows    []row
	failed  []string // failures, with a short reason
	skipped []string // skipped tests, with the reason
}

// A row is a line of the table: a Go package, a JavaScript package, a fuzz
// target, or a program that has no tests to count.
type row struct {
	name                    string
	passed, failed, skipped int
	took                    time.Duration
}

func (r *report) add(rows ...row) { r.rows = append(r.rows, rows...) }

// merge adds another report.
func (r *report) merge(from *report) {
	r.rows = append(r.rows, from.rows...)
	r.failed = append(r.failed, from.failed...)
	r.skipped = append(r.skipped, from.skipped...)
}

// fail notes a failure other than that of a counted test.
func (r *report) fail(name, why string) {
	r.rows = append(r.rows, row{name: name, failed: 1})
	r.failed = append(r.failed, strings.TrimSuffix(name+": "+why, ": "))
}

// print writes the table, the skipped tests and the failures. The last line is
// the sum: "N passed, N failed, N skipped".
func (r *report) print(w io.Writer, took time.Duration) {
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tabs, "\npassed\tfailed\tskipped\ttime\t\n")
	var sum row
	for _, x := range r.rows {
		fmt.Fprintf(tabs, "%d\t%d\t%d\t%s\t  %s\n", x.passed, x.failed, x.skipped, seconds(x.took), x.name)
		sum.passed, sum.failed, sum.skipped = sum.passed+x.passed, sum.failed+x.failed, sum.skipped+x.skipped
	}
	_ = tabs.Flush()
	list(w, "skipped", r.skipped)
	list(w, "FAILED", r.failed)
	fmt.Fprintf(w, "\nall of it took %s\n%d passed, %d failed, %d skipped\n", seconds(took), sum.passed, sum.failed, sum.skipped)
}

func list(w io.Writer, title string, lines []string) {
	if len(lines) > 0 {
		fmt.Fprintf(w, "\n%s:\n  %s\n", title, strings.Join(lines, "\n  "))
	}
}

func seconds(d time.Duration) string { return d.Round(time.Second).String() }
