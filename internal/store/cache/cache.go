// Package cache holds decoded records in memory, so that to read one again costs no
// storage call. Absent records, and those that cannot be opened, are not cached.
//
// A slow reader must not bring an old record back: it takes the key's stamp before it
// reads, and what it read is cached only if the stamp is still the same. Each write
// changes the stamp. Until the write returns, readers may get the record from before it.
//
// A read that decides a write goes to storage. So the cache can serve an old record for a
// while, and can never make it last.
package cache

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

const (
	// standbyAge is for how long a node that may not write uses what it has read: Vault
	// sends it the keys that another node has written, but such a message may get lost.
	// Half a minute, for a record may be opened with a cached keyring, too: nothing is
	// served a minute after its key was destroyed.
	standbyAge = 30 * time.Second
	// failedWriteAge is for how long a record is not cached after a write of it has
	// failed: storage may still carry out a write that the writer has given up.
	failedWriteAge = time.Minute
)

// A Cache holds the records of one mount. It is safe for concurrent use.
type Cache struct {
	now      func() time.Time
	writable func() bool
	// dependents returns the prefix of the keys of the records that are opened with the
	// record under key, if there are any.
	dependents func(key string) (prefix string, ok bool)
	kinds      []interface {
		Remove(key string) bool
		Keys() []string
		Purge()
	}
	stats   []func() Stats // of each kind
	standby atomic.Bool    // what writable last returned, negated
	epoch   atomic.Uint64  // how often that has changed
	seed    maphash.Seed
	shards  [256]shard // by hash of the key
}

// A shard guards the keys whose hashes fall into it.
type shard struct {
	mu     sync.Mutex
	stamp  uint64
	failed time.Time // when a write last failed
}

// A sighting says when a read of a record began.
type sighting struct {
	stamp uint64
	at    time.Time
}

// New returns an empty Cache. Writable reports whether this node may write; it is called
// at every read and must return fast. Nil: the node may. Dependents returns the prefix of
// the keys of the records that are opened with the record under key, if there are any: they
// leave the cache with it.
func New(now func() time.Time, writable func() bool, dependents func(key string) (prefix string, ok bool)) *Cache {
	if writable == nil {
		writable = func() bool { return true }
	}
	return &Cache{now: now, writable: writable, dependents: dependents, seed: maphash.MakeSeed()}
}

func (c *Cache) shard(key string) *shard {
	return &c.shards[maphash.String(c.seed, key)%uint64(len(c.shards))]
}

// Standby reports whether this node may not write. When that changes the cache is emptied:
// its records were cached under other conditions. Each read of the cache calls it first.
func (c *Cache) Standby() bool {
	standby := !c.writable()
	if standby != c.standby.Load() {
		c.removeUnder("")
		c.standby.Store(standby)
		c.epoch.Add(1)
	}
	return standby
}

// Epoch returns a number that is another one each time that the node has begun or ceased
// to be allowed to write.
func (c *Cache) Epoch() uint64 {
	c.Standby()
	return c.epoch.Load()
}

// look returns the sighting of a read that begins now.
func (c *Cache) look(key string) sighting {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return sighting{s.stamp, c.now()}
}

// Remove removes the record under key, which was written or may have been.
func (c *Cache) Remove(key string) { c.remove(key) }

func (c *Cache) remove(key string) sighting {
	if prefix, ok := c.dependents(key); ok {
		c.removeOne(key) // first, or else a reader opens with it what is being removed
		c.removeUnder(prefix)
	}
	return c.removeOne(key)
}

func (c *Cache) removeOne(key string) sighting {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamp++
	for _, kind := range c.kinds {
		kind.Remove(key)
	}
	return sighting{s.stamp, c.now()}
}

// writeFailed records that a write of the record under key has failed.
func (c *Cache) writeFailed(key string) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = c.now()
}

// removeUnder removes all records whose keys begin with prefix. It is rare.
func (c *Cache) removeUnder(prefix string) {
	for i := range c.shards {
		c.shards[i].mu.Lock()
		c.shards[i].stamp++
		c.shards[i].mu.Unlock()
	}
	for _, kind := range c.kinds {
		if prefix == "" {
			kind.Purge()
			continue
		}
		for _, key := range kind.Keys() {
			if strings.HasPrefix(key, prefix) {
				kind.Remove(key)
			}
		}
	}
}

// Stats says what the cache of one kind of record has done.
type Stats struct {
	Record       string // its kind: "credential", "tenant", …
	Hits, Misses uint64
	Records      int
}

// Stats returns those of each kind.
func (c *Cache) Stats() []Stats {
	all := make([]Stats, len(c.stats))
	for i, stats := range c.stats {
		all[i] = stats()
	}
	return all
}

type uncachedKey struct{}

// Uncached returns a context for work that reads very many records once each: these are not
// cached in place of records that are read again and again.
func Uncached(ctx context.Context) context.Context {
	return context.WithValue(ctx, uncachedKey{}, true)
}

// Storage is storage whose writes remove records from the cache. A store has no other
// access to storage, so that no write leaves an old record in the cache.
type Storage struct {
	logical.Storage
	cache *Cache
}

// Storage returns s with its writes watched.
func (c *Cache) Storage(s logical.Storage) Storage { return Storage{s, c} }

// Put implements [logical.Storage].
func (s Storage) Put(ctx context.Context, e *logical.StorageEntry) error {
	_, err := s.put(ctx, e)
	return err
}

// put is Put. The record that was written may be cached with the sighting.
func (s Storage) put(ctx context.Context, e *logical.StorageEntry) (sighting, error) {
	return s.change(e.Key, func() error { return s.Storage.Put(ctx, e) })
}

// Delete implements [logical.Storage].
func (s Storage) Delete(ctx context.Context, key string) error {
	_, err := s.change(key, func() error { return s.Storage.Delete(ctx, key) })
	return err
}

func (s Storage) change(key string, change func() error) (sighting, error) {
	err := change()
	if err != nil {
		s.cache.writeFailed(key)
	}
	return s.cache.remove(key), err
}
