package ha_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A probe reads through one node, again and again, and notes when it was served.
type probe struct {
	node  int
	kv    bool // it reads the yardstick
	paths []string
	right func(path string, answer map[string]any, status int) (flaw string)

	mu      sync.Mutex
	served  []time.Time
	failed  []time.Time // when the response was a 5xx
	last    string      // the last 5xx
	refused []string    // responses that deny an existing credential
}

// pace is the interval of a probe's reads.
const pace = 25 * time.Millisecond

func (p *probe) run(ctx context.Context, w *environment) {
	again := time.NewTicker(pace)
	defer again.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		path := p.paths[i%len(p.paths)]
		once, cancel := context.WithTimeout(ctx, time.Second)
		answer, status := w.request(once, p.node, http.MethodGet, path, nil)
		cancel()
		if ctx.Err() == nil {
			p.note(path, answer, status)
		}
	}
}

func (p *probe) note(path string, answer map[string]any, status int) {
	flaw := p.right(path, answer, status)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case status == 0:
		return // no service, or the machine stalled
	case status >= 500:
		p.failed = append(p.failed, time.Now())
		p.last = fmt.Sprintf("status %d: %v", status, answer)
		return
	}
	if flaw != "" {
		p.refused = append(p.refused, fmt.Sprintf("%s node %d, %s: %s", time.Now().Format(time.StampMilli), p.node+1, path, flaw))
		return
	}
	p.served = append(p.served, time.Now())
}

func (p *probe) lastFailures() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	refused := p.refused[max(len(p.refused)-1, 0):]
	return fmt.Sprintf("%d, the last one %q; wrongly refused: %q", len(p.failed), p.last, refused)
}

// right is flaw for what a probe reads.
func (l *load) right(path string, answer map[string]any, status int) string {
	return l.flaw(answer, status, l.personOf(strings.TrimPrefix(path, "authpipe/creds/")))
}

// alive is right for the yardstick.
func alive(_ string, answer map[string]any, status int) string {
	if status != http.StatusOK {
		return fmt.Sprintf("status %d: %v", status, answer)
	}
	return ""
}

func (p *probe) since(t time.Time) (served int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := slices.BinarySearchFunc(p.served, t, time.Time.Compare)
	return len(p.served) - i
}

func (p *probe) between(begun, ended time.Time) []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := slices.BinarySearchFunc(p.served, begun, time.Time.Compare)
	j, _ := slices.BinarySearchFunc(p.served, ended, time.Time.Compare)
	return slices.Clone(p.served[i:j])
}

// aGap is the shortest time without a served read that counts as a gap, and not as the interval of reads on a busy machine.
const aGap = 250 * time.Millisecond

// without returns the sum of the gaps.
func without(served []time.Time, begun, ended time.Time) (sum time.Duration) {
	last := begun
	for _, at := range append(slices.Clone(served), ended) {
		if gap := at.Sub(last); gap > aGap {
			sum += gap
		}
		last = at
	}
	return sum
}

// An outage is the time without service.
type outage struct {
	any   time.Duration // on all nodes: what a client sees that tries the next one
	worst time.Duration // on the worst node
}

func (l *load) outage(kv bool, begun, ended time.Time) (o outage) {
	var any []time.Time
	for _, p := range l.probes {
		if p.kv == kv {
			served := p.between(begun, ended)
			any = append(any, served...)
			o.worst = max(o.worst, without(served, begun, ended))
		}
	}
	slices.SortFunc(any, time.Time.Compare)
	o.any = without(any, begun, ended)
	return o
}
