// Package metric has a mount's metrics, in Prometheus' format. It is the only
// package that imports Prometheus: the others take functions in their options,
// which methods of [Metrics] implement.
//
// The values of a label are few, however the mount is used: the providers of
// this build, and fixed words. A label never holds a tenant, a user, a ref or
// other text from outside. Counters are in the process' memory and start at zero
// with it. docs/metrics.md explains each metric.
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

// ContentType is the content type of [Metrics.Text]: Prometheus' text exposition
// format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Options configure [Metrics].
type Options struct {
	Build version.Build
	// Providers are the names that a label may show; any other is "other".
	Providers []string
	Now       func() time.Time
}

// Metrics are the metrics of one mount. Several mounts may share a process, so
// they have a registry of their own. Make them with [New]. They are safe for
// concurrent use.
type Metrics struct {
	Options
	counters
	registry *prometheus.Registry
	// scraping is held during a scrape, which writes to state.
	scraping sync.Mutex
	state    *state
}

// goCollector is shared by all mounts: its metrics are the process', and making one costs milliseconds.
var goCollector = sync.OnceValue(func() prometheus.Collector { return collectors.NewGoCollector() })

// New returns Metrics that count. [Metrics.Watch] must be called before
// [Metrics.Text].
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

// Watch sets the packages whose state is read at a scrape.
func (m *Metrics) Watch(s *store.Store, b *breaker.Breaker, w *sweep.Worker) {
	m.state = &state{store: s, breaker: b, worker: w, known: m.known, now: m.Now}
	m.registry.MustRegister(m.state)
}

// Describe describes all metrics, as a [prometheus.Collector] does, including
// those without a value yet.
func (m *Metrics) Describe(descriptions chan<- *prometheus.Desc) { m.registry.Describe(descriptions) }

// Text returns all metrics in the format of [ContentType]. If a storage call
// fails, its metrics are missing and authpipe_scrape_complete is 0.
func (m *Metrics) Text(ctx context.Context) ([]byte, error) {
	m.scraping.Lock()
	defer m.scraping.Unlock()
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

// known returns the provider's name for a label.
func (m *Metrics) known(provider string) string {
	if slices.Contains(m.Providers, provider) {
		return provider
	}
	return "other"
}
