// Package metric tells an operator in numbers how a mount is, before it hurts.
// It is the only room that knows Prometheus: the others say what happens, by
// the functions that their options take, and the methods of [Metrics] fit
// those.
//
// A label's values are few, whoever uses the mount however: providers that this
// build knows, and words of its own. No tenant, user or ref is one, and no text
// that comes from outside. What a mount counts lies in its process and begins at
// zero with it; docs/metrics.md says what each number is good for.
package metric

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/version"
)

// ContentType is that of Prometheus' text exposition format, in which
// [Metrics.Text] answers.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Options are what Metrics need.
type Options struct {
	Build version.Build
	// Providers are the names that may stand in a label; any other is "other".
	Providers []string
	Now       func() time.Time
}

// Metrics are those of one mount. Several mounts share a process, so they are
// registered nowhere else. Make them with [New]. They are safe for concurrent
// use.
type Metrics struct {
	Options
	counters
	registry *prometheus.Registry
	// asking is held by who answers: what is read from storage then is shown to
	// nobody else meanwhile.
	asking sync.Mutex
	state  *state
}

// goCollector is one for the process: it tells of the process, and making one costs milliseconds.
var goCollector = sync.OnceValue(func() prometheus.Collector { return collectors.NewGoCollector() })

// New returns Metrics that count. Before they are asked for, [Metrics.Watch]
// must be called.
func New(o Options) *Metrics {
	registry := prometheus.NewRegistry()
	m := &Metrics{Options: o, registry: registry, counters: newCounters(registry, o.Providers)}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "authpipe_build_info", Help: "Which build of the plugin this is. Always 1.",
	}, []string{"version", "commit", "go_version"})
	build.WithLabelValues(o.Build.Version, o.Build.Commit, o.Build.Go).Set(1)
	registry.MustRegister(build, goCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Watch names the rooms whose state is looked at whenever somebody asks.
func (m *Metrics) Watch(s *store.Store, b *breaker.Breaker, w *sweep.Worker) {
	m.state = &state{store: s, breaker: b, worker: w, known: m.known, now: m.Now}
	m.registry.MustRegister(m.state)
}

// Describe implements what a [prometheus.Collector] says of its metrics, those
// that have no value yet among them.
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) { m.registry.Describe(descriptions) }

// Text returns all metrics in the format of [ContentType]. What storage does
// not tell is left out, and authpipe_scrape_complete says so.
func (m *Metrics) Text(ctx context.Context) ([]byte, error) {
	m.asking.Lock()
	defer m.asking.Unlock()
	m.state.look(ctx)
	families, err := m.registry.Gather()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// known returns the provider's name as a label may show it.
func (m *Metrics) known(provider string) string {
	if slices.Contains(m.Providers, provider) {
		return provider
	}
	return "other"
}
