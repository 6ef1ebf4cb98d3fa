package metric

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type storageCounters struct {
	operations *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
}

func newStorageCounters(registry *prometheus.Registry) storageCounters {
	return storageCounters{
		promauto.With(registry).NewCounterVec(prometheus.CounterOpts{
			Name: "authpipe_storage_operations_total", Help: "Operations of Vault's storage, by outcome.",
		}, []string{"operation", "outcome"}),
		promauto.With(registry).NewHistogramVec(prometheus.HistogramOpts{
			Name: "authpipe_storage_operation_duration_seconds", Help: "How long operations of Vault's storage took.", Buckets: storageBuckets,
		}, []string{"operation"}),
	}
}

// Storage returns s with its operations counted.
func (m *Metrics) Storage(s logical.Storage) logical.Storage {
	return storage{s, m.Now, m.verb("get"), m.verb("put"), m.verb("delete"), m.verb("list")}
}

type storage struct {
	logical.Storage
	now                    func() time.Time
	get, put, delete, list verb
}

// A verb has the counters of one storage operation.
type verb struct {
	done, failed, refused, cancelled prometheus.Counter
	seconds                          prometheus.Observer
}

func (m *Metrics) verb(name string) verb {
	counter := func(outcome string) prometheus.Counter {
		return m.storage.operations.WithLabelValues(name, outcome)
	}
	return verb{counter(ok), counter("error"), counter("read_only"), counter("cancelled"), m.storage.seconds.WithLabelValues(name)}
}

func (v verb) count(took time.Duration, err error) {
	v.seconds.Observe(max(took, 0).Seconds())
	switch {
	case err == nil:
		v.done.Inc()
	case errors.Is(err, logical.ErrReadOnly):
		v.refused.Inc() // Vault forwards the request to the active node
	case errors.Is(err, context.Canceled), status.Code(err) == codes.Canceled:
		v.cancelled.Inc() // the caller has gone, which is no failure of storage
	default:
		v.failed.Inc()
	}
}

// Get implements [logical.Storage].
func (s storage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	began := s.now()
	e, err := s.Storage.Get(ctx, key)
	s.get.count(s.now().Sub(began), err)
	return e, err
}

// Put implements [logical.Storage].
func (s storage) Put(ctx context.Context, e *logical.StorageEntry) error {
	began := s.now()
	err := s.Storage.Put(ctx, e)
	s.put.count(s.now().Sub(began), err)
	return err
}

// Delete implements [logical.Storage].
func (s storage) Delete(ctx context.Context, key string) error {
	began := s.now()
	err := s.Storage.Delete(ctx, key)
	s.delete.count(s.now().Sub(began), err)
	return err
}

// List implements [logical.Storage].
func (s storage) List(ctx context.Context, prefix string) ([]string, error) {
	began := s.now()
	keys, err := s.Storage.List(ctx, prefix)
	s.list.count(s.now().Sub(began), err)
	return keys, err
}
