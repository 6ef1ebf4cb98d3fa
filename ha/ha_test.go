// Package ha_test runs the engine in a Vault cluster under load, injects faults, and counts their consequences for credentials, with the
// simulated Facebook's log of requests and with the responses that readers got.
package ha_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/longtest"
)

var rounds = flag.Int("ha.rounds", 20, "how many faults TestManyNodes injects, in turn")

// TestManyNodes injects faults into a cluster of three nodes under load. No credential is lost, no code is sent twice, no read of an
// existing credential is refused, and each repeated refresh is explained by a crash.
func TestManyNodes(t *testing.T) {
	longtest.Only(t, "test-ha")
	w := newEnvironment(t)
	l := begin(w)
	var incidents []*incident
	for round := range *rounds {
		l.busy()
		f := faults[round%len(faults)]
		b := l.inject(f, round/len(faults))
		incidents = append(incidents, b)
		t.Logf("round %d of %d, %s: over after %.1f s", round+1, *rounds, f.name, b.settled.Sub(b.begun).Seconds())
	}
	l.busy()
	l.end()
	l.report(incidents)
}

// busy waits until the load has made progress on every node.
func (l *load) busy() {
	l.t.Helper()
	begun, connects, refreshes := time.Now(), l.connect.Load(), l.refresh.Load()
	l.await("the load to go on", func() error {
		for _, p := range l.probes {
			if n := p.since(begun); n < 40 {
				return fmt.Errorf("node %d (KV: %t) has served %d reads; the last failures: %s", p.node+1, p.kv, n, p.lastFailures())
			}
		}
		if c, r := l.connect.Load()-connects, l.refresh.Load()-refreshes; c < 10 || r < 10 {
			return fmt.Errorf("%d sessions were completed, and %d readers got a fresh token", c, r)
		}
		return nil
	})
}

// report prints the consequences of the incidents, and fails the test for those that must not happen.
func (l *load) report(incidents []*incident) {
	r := l.analyze(incidents)
	l.t.Logf("\n%s\n%s", rows(incidents), l.sums(r))
	for _, b := range incidents {
		complain := l.t.Errorf
		if l.stalls.within(b.held.Add(-unrest), b.settled) > leaderLease {
			complain = l.t.Logf // Vault's leader may have changed once more
		}
		if len(b.traded) > 1 {
			complain("one refresh was on its way when %s began at %s, and more than one was repeated", b.name, b.begun.Format(time.StampMilli))
		}
		if b.interrupted > nodes {
			complain("at most %d sessions were on their way when %s began at %s, and %d were interrupted", nodes, b.name, b.begun.Format(time.StampMilli), b.interrupted)
		}
		if lag := l.lag(b); b.ours.any > b.yardstick.any+lag || b.ours.worst > b.yardstick.worst+lag {
			l.t.Errorf("after %s at %s there was no service for %v, %v through the worst node; KV had none for %v and %v, and a slow machine may explain %v more",
				b.name, b.begun.Format(time.StampMilli), b.ours.any, b.ours.worst, b.yardstick.any, b.yardstick.worst, lag)
		}
		for _, lost := range b.lost {
			l.t.Errorf("after %s a credential is lost: %s", b.name, lost)
		}
		for _, traded := range b.traded {
			l.t.Logf("refreshed twice, by %s at %s: %s", b.name, b.begun.Format(time.StampMilli), traded)
		}
	}
	for _, twice := range r.codesTwice {
		l.t.Errorf("a code was sent twice: %s", twice)
	}
	for _, code := range r.givenUp {
		l.t.Logf("a code was sent again after the engine had given up the call: %s", code)
	}
	for _, what := range r.stalled {
		l.t.Logf("a stall of the machine may explain %s", what)
	}
	for _, what := range r.unexplained {
		l.t.Errorf("no crash explains %s", what)
	}
	for _, undue := range r.undue {
		l.t.Errorf("a token was refreshed that was not due: %s", undue)
	}
	if failed := l.failures(incidents); len(failed) > few {
		l.t.Errorf("without any fault, and while KV was served, %d reads failed: %v", len(failed), failed)
	}
	for _, p := range l.probes {
		for _, refused := range p.refused {
			l.t.Errorf("wrongly refused (KV: %t): %s", p.kv, refused)
		}
	}
	for _, strange := range l.strange {
		l.t.Errorf("an application got an unexpected response: %s", strange)
	}
}

const (
	// minLag is how much later than KV the engine may serve again on an idle machine.
	minLag = 10 * time.Second
	// few is how many reads may fail without a fault.
	few = 3
	// unrest is how long a read may fail after Vault has not served KV. On a busy machine Vault changes its leader by itself, and the
	// engine starts on the new one.
	unrest = time.Minute
)

// lag returns how much later than KV the engine may serve again after an incident: its process has to start, on this machine. The
// measured time is in the table.
func (l *load) lag(b *incident) time.Duration {
	return max(minLag, 10*l.mounting) + 3*l.stalls.within(b.held, b.settled)
}

// failures returns when reads failed although no incident was going on and KV was served.
func (l *load) failures(incidents []*incident) (all []time.Time) {
	for _, p := range l.probes {
		if p.kv {
			continue
		}
		for _, at := range outside(p.failed, incidents) {
			if begun := at.Add(-unrest); l.outage(true, begun, at).worst == 0 && l.stalls.within(begun, at) == 0 {
				all = append(all, at)
			}
		}
	}
	return all
}

// rows returns a table of the incidents.
func rows(incidents []*incident) string {
	var text strings.Builder
	tabs := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tabs, "\tfault\tseconds without service, any node\t(KV)\tworst node\t(KV)\tall serve after\trefreshed twice\tsessions interrupted\tcredentials lost\n")
	for i, b := range incidents {
		fmt.Fprintf(tabs, "%d\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%d\t%d\n", i+1, b.name, b.ours.any.Seconds(), b.yardstick.any.Seconds(),
			b.ours.worst.Seconds(), b.yardstick.worst.Seconds(), b.settled.Sub(b.begun).Seconds(), len(b.traded), b.interrupted, len(b.lost))
	}
	_ = tabs.Flush() // a Builder returns no error
	return text.String()
}

// sums returns the figures of the whole run.
func (l *load) sums(r findings) string {
	reads, refused := 0, 0
	for _, p := range l.probes {
		if !p.kv {
			reads += len(p.served)
			refused += len(p.refused)
		}
	}
	return fmt.Sprintf("%d reads, %d wrongly refused; %d sessions completed, %d codes sent, %d of them twice; %d tokens traded in; %d credentials, all there unless listed",
		reads, refused, l.connect.Load(), r.codes, len(r.codesTwice), r.trades, len(l.connections()))
}
