package metric

import (
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
)

// ok is the outcome of success.
const ok = "ok"

// counters are the counters and histograms.
type counters struct {
	requests *prometheus.CounterVec
	// served is the counter of requests for reads of credentials, looked up once:
	// the hot path.
	served       prometheus.Counter
	calls        *prometheus.CounterVec
	callSeconds  *prometheus.HistogramVec
	outcomes     map[string]*prometheus.CounterVec // by the names of the calls
	begun, ended *prometheus.CounterVec
	events       *prometheus.CounterVec
	announced    *prometheus.CounterVec
	sweeps       *prometheus.CounterVec
	swept        prometheus.Counter
	sweepSeconds prometheus.Histogram
	storage      storageCounters
}

// Buckets of durations. A call to a provider ends after ten seconds. A storage
// operation of Vault's takes a fraction of a millisecond, or some milliseconds
// on a busy disk. A sweep should end before the next begins.
var (
	callBuckets    = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10}
	storageBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .1, .5, 2.5}
	sweepBuckets   = []float64{.001, .01, .1, 1, 5, 15, 30, 60, 300, 1800}
)

func newCounters(registry *prometheus.Registry, providers []string) counters {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return promauto.With(registry).NewCounterVec(prometheus.CounterOpts{Name: "authpipe_" + name, Help: help}, labels)
	}
	durations := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "authpipe_" + name, Help: help, Buckets: buckets}
	}
	c := counters{
		requests:    vec("requests_total", "Requests that this node has answered, by path, operation and outcome.", "path", "operation", "outcome"),
		calls:       vec("provider_calls_total", "Calls to a provider, by operation and outcome.", "provider", "operation", "outcome"),
		callSeconds: promauto.With(registry).NewHistogramVec(durations("provider_call_duration_seconds", "How long calls to a provider took.", callBuckets), []string{"provider", "operation"}),
		outcomes: map[string]*prometheus.CounterVec{
			"refresh": vec("refreshes_total", "Refreshes of credentials, by outcome.", "provider", "outcome"),
			"check":   vec("checks_total", "Checks whether a token is alive, by outcome.", "provider", "outcome"),
		},
		begun:        vec("sessions_begun_total", "Sessions that were begun.", "provider"),
		ended:        vec("sessions_ended_total", "Sessions that were completed or failed, by outcome.", "provider", "outcome"),
		events:       vec("events_total", "Lifecycle events that were written, by type.", "type"),
		announced:    vec("announcements_total", "Lifecycle events that were published, by sink and outcome.", "medium", "outcome"),
		sweeps:       vec("sweeps_total", "Sweeps of due work, by outcome.", "outcome"),
		swept:        promauto.With(registry).NewCounter(prometheus.CounterOpts{Name: "authpipe_swept_total", Help: "Pieces of due work that sweeps have found."}),
		sweepSeconds: promauto.With(registry).NewHistogram(durations("sweep_duration_seconds", "How long sweeps of due work took.", sweepBuckets)),
		storage:      newStorageCounters(registry),
	}
	c.served = c.requests.WithLabelValues("creds", "read", ok)
	c.zero(providers)
	return c
}

// zero starts the series of alerts at zero: if a series starts at one,
// Prometheus sees no increase.
func (c *counters) zero(providers []string) {
	for _, code := range []oauth.Code{oauth.NeedsReauth, oauth.Revoked, oauth.Failed, oauth.Misconfigured, oauth.Throttled, oauth.Unavailable, "error"} {
		c.requests.WithLabelValues("creds", "read", string(code))
	}
	for _, kind := range []string{"deauthorize", "data-deletion", "notify"} {
		c.requests.WithLabelValues("webhooks/"+kind, "update", ok)
		c.requests.WithLabelValues("webhooks/"+kind, "update", string(oauth.InvalidRequest))
	}
	for _, outcome := range []string{ok, "failed"} {
		c.sweeps.WithLabelValues(outcome)
	}
	for _, t := range []event.Type{event.ConnectionNeedsReauth, event.ConnectionRevoked} {
		c.events.WithLabelValues(string(t))
	}
	for _, p := range providers {
		c.begun.WithLabelValues(p)
		for _, outcome := range ends {
			c.ended.WithLabelValues(p, outcome)
		}
		for name, outcomes := range c.outcomes {
			for _, outcome := range append([]string{call.Succeeded(name), "error"}, classes...) {
				outcomes.WithLabelValues(p, outcome)
			}
		}
	}
}

var classes = []string{
	string(provider.Transient), string(provider.Throttled), string(provider.NeedsReauth), string(provider.Revoked),
	string(provider.Permission), string(provider.Misconfigured), string(provider.Caller),
}

// completed is the outcome of a completed session; ends are the usual outcomes.
const completed = "completed"

var ends = []string{
	completed, string(oauth.AccessDenied), string(oauth.ActorMismatch), string(oauth.AccountMismatch), string(oauth.SessionExpired),
	string(oauth.SessionUsed), string(oauth.Cancelled), string(oauth.Interrupted), string(oauth.Misconfigured),
}

// Request counts a request. Outcome is "ok" or a code of the engine's.
func (m *Metrics) Request(op logical.Operation, path, outcome string) {
	switch {
	case op == logical.RollbackOperation:
		return // Vault's tick, not a client's request
	case op == logical.ReadOperation && outcome == ok && strings.HasPrefix(path, "creds/"):
		m.served.Inc()
		return
	}
	m.requests.WithLabelValues(template(path), string(op), outcome).Inc()
}

// Called counts a call to a provider.
func (m *Metrics) Called(name, operation string, err error, took time.Duration) {
	m.calls.WithLabelValues(m.known(name), operation, callOutcome(err)).Inc()
	m.callSeconds.WithLabelValues(m.known(name), operation).Observe(took.Seconds())
}

func callOutcome(err error) string {
	var e *provider.Error
	switch {
	case err == nil:
		return ok
	case !errors.As(err, &e):
		return "error" // of storage, or the engine's shutdown
	case errors.Is(e, provider.ErrPending), errors.Is(e, provider.ErrSlowDown):
		return "pending"
	}
	return string(e.Class)
}

// CallEnded counts a refresh or a check of a credential.
func (m *Metrics) CallEnded(name, operation, outcome string) {
	m.outcomes[operation].WithLabelValues(m.known(name), outcome).Inc()
}

// Begun counts a new session.
func (m *Metrics) Begun(name string) { m.begun.WithLabelValues(m.known(name)).Inc() }

// Ended counts a session that was completed or, if there is a code, failed.
func (m *Metrics) Ended(name string, code oauth.Code) {
	outcome := completed
	if code != "" {
		outcome = string(code)
	}
	m.ended.WithLabelValues(m.known(name), outcome).Inc()
}

// Wrote counts written events.
func (m *Metrics) Wrote(events []event.Event) {
	for _, e := range events {
		m.events.WithLabelValues(string(e.Type)).Inc()
	}
}

// Published counts events that were published to a sink, or dropped.
func (m *Metrics) Published(sink, outcome string, n int) {
	m.announced.WithLabelValues(sink, outcome).Add(float64(n))
}

// Swept counts a sweep.
func (m *Metrics) Swept(s sweep.Result) {
	outcome := ok
	if s.Failed {
		outcome = "failed"
	}
	m.sweeps.WithLabelValues(outcome).Inc()
	m.swept.Add(float64(s.Due))
	m.sweepSeconds.Observe(max(s.Took, 0).Seconds())
}
