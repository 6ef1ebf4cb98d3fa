package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// A row is one figure.
type row struct {
	ratio  bool   // ratios are printed first
	what   string // the name
	figure string // with its unit
	wanted string // its target. Empty: it has none
	detail string
}

// A table is what the command prints: facts about the machine, then ratios, then figures.
type table struct {
	facts [][2]string
	rows  []row
}

func (t table) print(w io.Writer) error {
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, fact := range t.facts {
		fmt.Fprintf(tabs, "%s\t%s\n", fact[0], fact[1])
	}
	if err := tabs.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(tabs, "\nmeasured\tfigure\twanted\tdetail\n")
	for _, ratios := range []bool{true, false} {
		for _, r := range t.rows {
			if r.ratio == ratios {
				fmt.Fprintf(tabs, "%s\t%s\t%s\t%s\n", r.what, r.figure, r.wanted, r.detail)
			}
		}
	}
	return tabs.Flush()
}

func inMS(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
func inUS(d time.Duration) string {
	return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond))
}
