package metric

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
)

// state collects the mount's state at a scrape. The metrics from storage are
// read once a minute at most, with a handful of storage calls.
type state struct {
	store   *store.Store
	breaker *breaker.Breaker
	worker  *sweep.Worker
	known   func(provider string) string
	now     func() time.Time

	stored    []prometheus.Metric // from storage
	at        time.Time           // when they were read
	complete  bool                // whether all storage calls succeeded
	providers []prometheus.Metric
}

// lookEvery is the least time between two reads from storage: that between two
// sweeps, which change it.
const lookEvery = time.Minute

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("authpipe_"+name, help, labels, nil)
}

var (
	credentialsDesc = desc("credentials", "Credentials in each status other than active.", "provider", "status")
	dueDesc         = desc("due_entries", "Pieces of work that are due by now.")
	overdueDesc     = desc("overdue_entries", "Pieces of work that should have been done minutes ago.")
	completeDesc    = desc("scrape_complete", "1 if all storage calls of this scrape succeeded, else 0.")

	lastSweepDesc = desc("last_sweep_timestamp_seconds", "When the last sweep of this process began, in Unix time.")
	lastTookDesc  = desc("last_sweep_duration_seconds", "How long it took.")

	stateDesc = desc("provider_state", "1 for the state that the provider is in, else 0.", "provider", "state")
	sinceDesc = desc("provider_left_alone_since_timestamp_seconds", "Since when no calls are made to the provider, in Unix time; absent while they are.", "provider")
	untilDesc = desc("provider_left_alone_until_timestamp_seconds", "Until when no calls are made to the provider, if that is known.", "provider")
	skewDesc  = desc("provider_clock_skew_seconds", "By how much this server's clock is ahead of the provider's.", "provider")
	endedDesc = desc("provider_version_ended", "1 if the provider answers with another API version than the configured one, else 0.", "provider")

	cacheReadsDesc   = desc("cache_reads_total", "Reads from the cache of decoded records, by outcome.", "record", "outcome")
	cacheRecordsDesc = desc("cache_records", "Records in the cache.", "record")
)

// Describe implements [prometheus.Collector].
func (*state) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		credentialsDesc, dueDesc, overdueDesc, completeDesc, lastSweepDesc, lastTookDesc,
		stateDesc, sinceDesc, untilDesc, skewDesc, endedDesc, cacheReadsDesc, cacheRecordsDesc,
	} {
		descriptions <- d
	}
}

// Collect implements [prometheus.Collector]: the metrics that look has read, and
// those that are in memory.
func (s *state) Collect(metrics chan<- prometheus.Metric) {
	for _, m := range s.stored {
		metrics <- m
	}
	for _, m := range s.providers {
		metrics <- m
	}
	metrics <- gauge(completeDesc, truth(s.complete))
	if last := s.worker.Last(); last != nil {
		metrics <- gauge(lastSweepDesc, unix(last.At))
		metrics <- gauge(lastTookDesc, max(last.Took, 0).Seconds())
	}
	for _, cache := range s.store.CacheStats() {
		metrics <- prometheus.MustNewConstMetric(cacheReadsDesc, prometheus.CounterValue, float64(cache.Hits), cache.Record, "hit")
		metrics <- prometheus.MustNewConstMetric(cacheReadsDesc, prometheus.CounterValue, float64(cache.Misses), cache.Record, "miss")
		metrics <- gauge(cacheRecordsDesc, float64(cache.Records), cache.Record)
	}
}

// look reads the metrics that Collect returns.
func (s *state) look(ctx context.Context) {
	now := s.now()
	// If the clock was set back, their age is unknown.
	if age := now.Sub(s.at); !s.complete || age < 0 || age >= lookEvery {
		s.stored, s.at, s.complete = nil, now, true
		s.take(s.credentials(ctx))
		s.take(s.work(ctx, now))
	}
	names, err := s.store.Mount.Configs(ctx)
	s.providers = nil
	s.complete = s.complete && err == nil
	for _, name := range names {
		if name == s.known(name) {
			metrics, err := s.provider(ctx, name)
			s.providers = append(s.providers, metrics...)
			s.complete = s.complete && err == nil
		}
	}
}

func (s *state) take(metrics []prometheus.Metric, err error) {
	s.stored = append(s.stored, metrics...)
	s.complete = s.complete && err == nil
}

func (s *state) credentials(ctx context.Context) (metrics []prometheus.Metric, err error) {
	for _, status := range store.NotActive {
		refs, err := s.store.Credentials.InStatus(ctx, status)
		if err != nil {
			return metrics, err
		}
		counts := map[string]int{}
		for name := range s.breaker.Providers {
			counts[name] = 0
		}
		for _, ref := range refs {
			counts[s.known(ref.Provider)]++
		}
		for name, n := range counts {
			metrics = append(metrics, gauge(credentialsDesc, float64(n), name, string(status)))
		}
	}
	return metrics, nil
}

func (s *state) work(ctx context.Context, now time.Time) (metrics []prometheus.Metric, err error) {
	due, _, err := s.store.Due.Overdue(ctx, now.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	overdue, _, err := s.store.Due.Overdue(ctx, now.Add(-sweep.OverdueAfter))
	if err != nil {
		return nil, err
	}
	return []prometheus.Metric{gauge(dueDesc, float64(due)), gauge(overdueDesc, float64(overdue))}, nil
}

func (s *state) provider(ctx context.Context, name string) (metrics []prometheus.Metric, err error) {
	health, err := s.breaker.Health(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, state := range breaker.States {
		metrics = append(metrics, gauge(stateDesc, truth(state == health.State), name, string(state)))
	}
	if outage := health.Outage; outage != nil && health.State != breaker.StateSuspected {
		metrics = append(metrics, gauge(sinceDesc, unix(outage.Since), name))
		if !outage.Until.IsZero() {
			metrics = append(metrics, gauge(untilDesc, unix(outage.Until), name))
		}
	}
	w, ok := s.breaker.Providers[name]
	if !ok { // another build configured it
		return metrics, nil
	}
	if ahead, known := w.Skew(); known {
		metrics = append(metrics, gauge(skewDesc, ahead.Seconds(), name))
	}
	config, err := s.store.Mount.Config(ctx, name)
	if err != nil {
		return metrics, err
	}
	if served := w.Served(); served != "" {
		metrics = append(metrics, gauge(endedDesc, truth(served != config.APIVersion), name))
	}
	return metrics, nil
}

func gauge(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
