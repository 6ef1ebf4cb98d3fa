package ha_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

var (
	soak = flag.Duration("ha.soak", 0, "how long TestSoak lasts; zero: it is skipped")
	seed = flag.Uint64("ha.seed", 0, "of TestSoak's faults; zero: another each time")
)

const (
	storm = 3                // faults before each calm
	lull  = 45 * time.Second // the length of a calm
)

// TestSoak injects random faults, a few at a time, and after each calm measures what the processes use: that must not grow from calm to
// calm.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("lasts as long as -ha.soak says")
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-ha.seed=%d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	w := newEnvironment(t)
	l := begin(w)
	end := time.Now().Add(*soak)
	samples := []sample{l.quiet()}
	var incidents []*incident
	for time.Now().Before(end) {
		for range storm {
			l.busy()
			incidents = append(incidents, l.inject(faults[random.IntN(len(faults))], random.IntN(2)))
		}
		samples = append(samples, l.quiet())
		t.Logf("%v to go", time.Until(end).Round(time.Second))
	}
	l.end()
	l.report(incidents)
	t.Logf("\n%s", sampled(samples))
	for _, grown := range growth(samples) {
		t.Error(grown)
	}
}

// A sample is the usage of the active node's processes at a time.
type sample struct {
	at            time.Time
	vault, plugin vaulttest.Usage
	processes     int // of the plugin, on all nodes
	goroutines    int // in it
	credentials   int
	snapshot      int64 // bytes
	state, log    int64 // bytes on the node's disk
}

// quiet lets the load go on without a fault, and takes a sample.
func (l *load) quiet() (s sample) {
	l.t.Helper()
	begun := time.Now()
	l.await("the calm to pass", func() error {
		if left := lull - time.Since(begun); left > 0 {
			return fmt.Errorf("%v are left", left)
		}
		return nil
	})
	l.await("a sample", func() error {
		c := l.cluster.Load()
		leader, err := c.Active()
		if err != nil {
			return err
		}
		text, status := l.raw(context.Background(), 0, http.MethodGet, "authpipe/metrics", nil)
		snapshot, err := save(c)
		if status != http.StatusOK || err != nil {
			return fmt.Errorf("the metrics have status %d; a snapshot: %w", status, err)
		}
		s = sample{at: time.Now(), goroutines: gauge(text, "go_goroutines"), credentials: len(l.connections()), snapshot: int64(len(snapshot))}
		s.vault, s.plugin = leader.Usage()
		s.state, s.log = leader.Stored()
		for _, node := range c.Nodes {
			s.processes += len(vaulttest.ProcessesOf(node.Program()))
		}
		return nil
	})
	return s
}

func gauge(metrics []byte, name string) int {
	found := regexp.MustCompile(`(?m)^` + name + ` (\d+)`).FindSubmatch(metrics)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}

func sampled(samples []sample) string {
	var text strings.Builder
	tabs := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tabs, "after\tplugin's memory, MB\tits goroutines\tits files\tits processes\tVault's memory, MB\tits files\tcredentials\tsnapshot, KB\tstorage, MB\traft's log, MB\n")
	for _, s := range samples {
		fmt.Fprintf(tabs, "%v\t%.1f\t%d\t%d\t%d\t%.1f\t%d\t%d\t%.0f\t%.1f\t%.1f\n", s.at.Sub(samples[0].at).Round(time.Second),
			float64(s.plugin.Own)/1e6, s.goroutines, s.plugin.Files, s.processes, float64(s.vault.Own)/1e6, s.vault.Files, s.credentials,
			float64(s.snapshot)/1e3, float64(s.state)/1e6, float64(s.log)/1e6)
	}
	_ = tabs.Flush() // a Builder takes everything
	return text.String()
}

// level is how long it takes until as many sessions are deleted as begin: a session can be read for a quarter of an hour after its end.
// By then the ring of events is full, too.
const level = 20 * time.Minute

// growth compares the later calms with the earlier ones. The lowest of each counts: a peak is no growth, but one process more in every
// later calm is one that was left behind. The first calm does not count, in which some people had not connected yet, nor, for storage,
// the calms before level.
func growth(samples []sample) (grown []string) {
	begun := samples[0].at
	processes := samples[1:]
	storage := slices.DeleteFunc(slices.Clone(samples), func(s sample) bool { return s.at.Sub(begun) < level })
	for _, watched := range []struct {
		what    string
		samples []sample
		of      func(sample) int64
		slack   int64
	}{
		{"the plugin's memory, in MB,", processes, func(s sample) int64 { return s.plugin.Own >> 20 }, 20},
		{"the plugin's goroutines", processes, func(s sample) int64 { return int64(s.goroutines) }, 20},
		{"the plugin's files", processes, func(s sample) int64 { return int64(s.plugin.Files) }, 20},
		{"the plugin's processes", processes, func(s sample) int64 { return int64(s.processes) }, 0},
		{"Vault's memory, in MB,", processes, func(s sample) int64 { return s.vault.Own >> 20 }, 20},
		{"Vault's files", processes, func(s sample) int64 { return int64(s.vault.Files) }, 20},
		{"the snapshot, in KB,", storage, func(s sample) int64 { return s.snapshot >> 10 }, 20},
	} {
		half := len(watched.samples) / 2
		if half < 2 {
			continue // too few samples
		}
		was, is := lowest(watched.samples[:half], watched.of), lowest(watched.samples[half:], watched.of)
		if is > was+was/4+watched.slack {
			grown = append(grown, fmt.Sprintf("%s grew from %d to %d", watched.what, was, is))
		}
	}
	return grown
}

func lowest(samples []sample, of func(sample) int64) int64 {
	values := make([]int64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return slices.Min(values)
}
