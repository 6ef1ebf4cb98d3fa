package cache

import (
	"context"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/vault/sdk/logical"
)

// Records are the cached records of one kind, by storage key.
type Records[T any] struct {
	cache   *Cache
	storage Storage
	entries *lru.Cache[string, *entry[T]]
	// scanned says that some work reads all records of the kind: see [Uncached].
	scanned      bool
	hits, misses atomic.Uint64
}

type entry[T any] struct {
	record T
	at     time.Time
}

// NewRecords adds a kind of record to the cache of s, which holds the last size of them.
// Scanned says that some work reads all of them, under a context from [Uncached].
func NewRecords[T any](s Storage, name string, size int, scanned bool) *Records[T] {
	entries, err := lru.New[string, *entry[T]](size)
	if err != nil {
		panic(err) // only for a size below 1
	}
	r := &Records[T]{cache: s.cache, storage: s, entries: entries, scanned: scanned}
	s.cache.kinds = append(s.cache.kinds, entries)
	s.cache.stats = append(s.cache.stats, func() Stats { return Stats{name, r.hits.Load(), r.misses.Load(), entries.Len()} })
	return r
}

// Cached returns the record under key if it is cached.
func (r *Records[T]) Cached(key string) (record T, ok bool) {
	if record, ok = r.cached(key); ok {
		r.hits.Add(1)
	} else {
		r.misses.Add(1)
	}
	return record, ok
}

func (r *Records[T]) cached(key string) (record T, ok bool) {
	standby := r.cache.Standby()
	e, ok := r.entries.Get(key)
	if !ok {
		return record, false
	}
	if standby {
		// By a clock that was set back its age is not known.
		if age := r.cache.now().Sub(e.at); age < 0 || age >= standbyAge {
			return record, false
		}
	}
	return e.record, true
}

// Load reads the record under key from storage, opens it and caches it. Open gets nil if
// there is none; a record for which it returns an error is not cached.
func (r *Records[T]) Load(ctx context.Context, key string, open func([]byte) (T, error)) (record T, err error) {
	seen := r.cache.look(key)
	e, err := r.storage.Get(ctx, key)
	if err != nil {
		return record, err
	}
	var b []byte
	if e != nil {
		b = e.Value
	}
	if record, err = open(b); err != nil {
		r.cache.removeOne(key) // what is cached is no longer so
		return record, err
	}
	if r.wants(ctx, key) {
		r.add(key, seen, record)
	}
	return record, nil
}

// Save puts the entry and caches the record that a reader will open from it: the writer's
// may differ by what is not stored, and the writer goes on using it. It is called under
// the record's lock.
func (r *Records[T]) Save(ctx context.Context, e *logical.StorageEntry, open func([]byte) (T, error)) error {
	wanted := r.wants(ctx, e.Key)
	seen, err := r.storage.put(ctx, e)
	if err != nil || !wanted {
		return err
	}
	if record, err := open(e.Value); err == nil {
		r.add(e.Key, seen, record)
	}
	return nil
}

// wants reports whether a record is to be cached that is read or written under ctx.
func (r *Records[T]) wants(ctx context.Context, key string) bool {
	return !r.scanned || ctx.Value(uncachedKey{}) == nil || r.entries.Contains(key)
}

// add caches the record unless it was written, or its write failed, since it was seen.
func (r *Records[T]) add(key string, seen sighting, record T) {
	s := r.cache.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp == seen.stamp && (s.failed.IsZero() || r.cache.now().Sub(s.failed) >= failedWriteAge) {
		r.entries.Add(key, &entry[T]{record, seen.at})
	}
}
