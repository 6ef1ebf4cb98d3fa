// Package ha_test runs the engine where Vault has several nodes, does to them what happens to machines, and counts what that
// did to credentials. What is counted comes from the simulated Facebook's books and from what readers were told.
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

var rounds = flag.Int("ha.rounds", 20, "how many faults strike in TestManyNodes, in turn")

// TestManyNodes has faults strike a cluster of three nodes under load. No credential is lost, no code is sent twice, no reader is
// refused what is there, and each refresh that was made twice has its crash.
func TestManyNodes(t *testing.T) {
	longtest.Only(t, "test-ha")
	w := newWorld(t)
	l := begin(w)
	var blows []*blow
	for round := range *rounds {
		l.busy()
		f := faults[round%len(faults)]
		b := l.strike(f, round/len(faults))
		blows = append(blows, b)
		t.Logf("round %d of %d, %s: over after %.1f s", round+1, *rounds, f.name, b.settled.Sub(b.begun).Seconds())
	}
	l.busy()
	l.end()
	l.judge(blows)
}

// busy lets the load go on for a while: until everybody has got on with what they do.
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

// judge prints what came of it, and fails the test for what must not have.
func (l *load) judge(blows []*blow) {
	r := l.reckon(blows)
	l.t.Logf("\n%s\n%s", rows(blows), l.sums(r))
	for _, b := range blows {
		complain := l.t.Errorf
		if l.stalls.within(b.caught.Add(-unrest), b.settled) > leaderLease {
			complain = l.t.Logf // Vault's leader may have changed once more
		}
		if len(b.traded) > 1 {
			complain("one refresh was on its way when %s began at %s, and more were made twice", b.name, b.begun.Format(time.StampMilli))
		}
		if b.interrupted > nodes {
			complain("%d sessions were on their way at the most when %s began at %s, and %d were interrupted", nodes, b.name, b.begun.Format(time.StampMilli), b.interrupted)
		}
		if lag := l.lag(b); b.ours.any > b.yardstick.any+lag || b.ours.worst > b.yardstick.worst+lag {
			l.t.Errorf("after %s at %s there was no service for %v, %v through the worst node; KV had none for %v and %v, and %v more may be the machine's",
				b.name, b.begun.Format(time.StampMilli), b.ours.any, b.ours.worst, b.yardstick.any, b.yardstick.worst, lag)
		}
		for _, lost := range b.lost {
			l.t.Errorf("after %s there is a credential lost: %s", b.name, lost)
		}
		for _, traded := range b.traded {
			l.t.Logf("refreshed twice, by %s at %s: %s", b.name, b.begun.Format(time.StampMilli), traded)
		}
	}
	for _, twice := range r.codesTwice {
		l.t.Errorf("a code was sent twice: %s", twice)
	}
	for _, code := range r.givenUp {
		l.t.Logf("a code was sent again after the engine had given the call up: %s", code)
	}
	for _, what := range r.stoodStill {
		l.t.Logf("the machine stood still, which may explain %s", what)
	}
	for _, what := range r.unexplained {
		l.t.Errorf("no crash explains %s", what)
	}
	for _, undue := range r.undue {
		l.t.Errorf("what was refreshed was not due: %s", undue)
	}
	if failed := l.failures(blows); len(failed) > few {
		l.t.Errorf("without any fault, and while KV was served, %d reads failed: %v", len(failed), failed)
	}
	for _, p := range l.probes {
		for _, refused := range p.refused {
			l.t.Errorf("wrongly refused (KV: %t): %s", p.kv, refused)
		}
	}
	for _, strange := range l.strange {
		l.t.Errorf("nobody should be told this: %s", strange)
	}
}

const (
	// minLag is how much later than KV the engine may serve again on a machine that has nothing else to do.
	minLag = 10 * time.Second
	// few is how many reads may fail without any fault.
	few = 3
	// unrest is how long after Vault has not served KV a read may fail. On a busy machine Vault's leader changes by itself, and the
	// engine is started on the new one.
	unrest = time.Minute
)

// lag is how much later than KV the engine may serve again after a blow: its process must be started, on this machine. Beyond that
// something is wrong; how late it is otherwise stands in the table.
func (l *load) lag(b *blow) time.Duration {
	return max(minLag, 10*l.mounting) + 3*l.stalls.within(b.caught, b.settled)
}

// failures are when reads failed while no blow was being dealt or got over, and KV was served.
func (l *load) failures(blows []*blow) (all []time.Time) {
	for _, p := range l.probes {
		if p.kv {
			continue
		}
		for _, at := range calm(p.failed, blows) {
			if begun := at.Add(-unrest); l.outage(true, begun, at).worst == 0 && l.stalls.within(begun, at) == 0 {
				all = append(all, at)
			}
		}
	}
	return all
}

// rows are a table, of a blow each.
func rows(blows []*blow) string {
	var text strings.Builder
	tabs := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tabs, "\tfault\tseconds without service, any node\t(KV)\tworst node\t(KV)\tall serve after\trefreshed twice\tsessions interrupted\tcredentials lost\n")
	for i, b := range blows {
		fmt.Fprintf(tabs, "%d\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%d\t%d\n", i+1, b.name, b.ours.any.Seconds(), b.yardstick.any.Seconds(),
			b.ours.worst.Seconds(), b.yardstick.worst.Seconds(), b.settled.Sub(b.begun).Seconds(), len(b.traded), b.interrupted, len(b.lost))
	}
	_ = tabs.Flush() // a Builder takes everything
	return text.String()
}

// sums are what the whole run comes to.
func (l *load) sums(r reckoning) string {
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
