package store

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/vault/sdk/logical"
)

// How many records of a kind stay decoded in memory.
const (
	credentialsKept = 10_000
	tenantsKept     = 10_000
	keyringsKept    = 4096
	configsKept     = 64
)

const (
	// standbyTrust is for how long a node that may not write trusts what it has
	// read: Vault tells it what another node wrote, but a word may get lost. Half
	// a minute, for a record may be opened with a keyring that was remembered, too:
	// nothing is served a minute after its key was destroyed.
	standbyTrust = 30 * time.Second
	// doubt is for how long nothing is remembered of a record whose write failed:
	// storage may yet carry out what the writer has given up.
	doubt = time.Minute
)

// memory keeps decoded records, so that to read one again costs no storage
// call. What is absent or does not open is not remembered.
//
// A reader who is slow must not bring an old record back: it takes the key's
// stamp before it reads, and what it read is kept only if the stamp is still
// the same. Whoever has written changes the stamp. Until the write returns,
// what was there before may be served.
//
// What decides a write is read from storage all the same. So memory could at
// worst serve something old, and never make it last.
type memory struct {
	now      func() time.Time
	writable func() bool
	kinds    []interface {
		Remove(key string) bool
		Keys() []string
		Purge()
	}
	told    []func() Memory // of each kind
	standby atomic.Bool     // what writable last said
	epoch   atomic.Uint64   // how often that changed
	seed    maphash.Seed
	shards  [256]shard // by hash of the key
}

type shard struct {
	mu     sync.Mutex
	stamp  uint64
	failed time.Time // when a write last did
}

// A sighting is when somebody set out to read a record.
type sighting struct {
	stamp uint64
	at    time.Time
}

func newMemory(now func() time.Time, writable func() bool) *memory {
	if writable == nil {
		writable = func() bool { return true }
	}
	return &memory{now: now, writable: writable, seed: maphash.MakeSeed()}
}

func (m *memory) shard(key string) *shard {
	return &m.shards[maphash.String(m.seed, key)%uint64(len(m.shards))]
}

// isStandby reports whether this node may not write. When that changes,
// everything is forgotten: it was kept on other terms. Nothing is recalled
// before this was asked.
func (m *memory) isStandby() bool {
	standby := !m.writable()
	if standby != m.standby.Load() {
		m.forgetUnder("")
		m.standby.Store(standby)
		m.epoch.Add(1)
	}
	return standby
}

// look is called before a record is read.
func (m *memory) look(key string) sighting {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return sighting{s.stamp, m.now()}
}

// forget is called when the record under key is, or may have been, written.
func (m *memory) forget(key string) sighting {
	if under, ok := openedBy(key); ok {
		m.forgetOne(key) // first, or else somebody opens with it what is just being forgotten
		m.forgetUnder(under)
	}
	return m.forgetOne(key)
}

func (m *memory) forgetOne(key string) sighting {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamp++
	for _, kind := range m.kinds {
		kind.Remove(key)
	}
	return sighting{s.stamp, m.now()}
}

// mistrust is called when a write of the record under key has failed.
func (m *memory) mistrust(key string) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = m.now()
}

// forgetUnder forgets all records whose keys begin with prefix. It is rare.
func (m *memory) forgetUnder(prefix string) {
	for i := range m.shards {
		m.shards[i].mu.Lock()
		m.shards[i].stamp++
		m.shards[i].mu.Unlock()
	}
	for _, kind := range m.kinds {
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

// openedBy returns the prefix of what is opened with the keyring under key.
func openedBy(key string) (prefix string, ok bool) {
	if id, ok := strings.CutPrefix(key, tenantKeyringPrefix); ok {
		return credentialPrefix + id + "/", true
	}
	return configPrefix, key == mountKeyringKey
}

// A kind is what memory keeps of one kind of record, by storage key.
type kind[T any] struct {
	*memory
	entries *lru.Cache[string, *entry[T]]
	// many says that some go through all there are: see [Passing].
	many         bool
	hits, misses atomic.Uint64
}

// A Memory says how what is remembered of one kind of record serves.
type Memory struct {
	Record       string // its kind: "credential", "tenant", …
	Hits, Misses uint64
	Records      int
}

// Memory returns that of each kind.
func (s *Store) Memory() []Memory {
	all := make([]Memory, len(s.memory.told))
	for i, tell := range s.memory.told {
		all[i] = tell()
	}
	return all
}

type passingKey struct{}

// Passing returns a context for who goes through very many credentials, each
// once: they are not remembered for it, in place of those that are read again
// and again.
func Passing(ctx context.Context) context.Context {
	return context.WithValue(ctx, passingKey{}, true)
}

// wants reports whether a record is to be remembered that is read or written
// under ctx.
func (k *kind[T]) wants(ctx context.Context, key string) bool {
	return !k.many || ctx.Value(passingKey{}) == nil || k.entries.Contains(key)
}

type entry[T any] struct {
	record T
	at     time.Time
}

// newKind adds a kind to memory, of which size records are kept.
func newKind[T any](m *memory, name string, size int) *kind[T] {
	entries, err := lru.New[string, *entry[T]](size)
	if err != nil {
		panic(err) // only for a size below 1
	}
	k := &kind[T]{memory: m, entries: entries}
	m.kinds = append(m.kinds, entries)
	m.told = append(m.told, func() Memory { return Memory{name, k.hits.Load(), k.misses.Load(), entries.Len()} })
	return k
}

// recall returns the record under key if it is remembered.
func (k *kind[T]) recall(key string) (record T, ok bool) {
	if record, ok = k.remembered(key); ok {
		k.hits.Add(1)
	} else {
		k.misses.Add(1)
	}
	return record, ok
}

func (k *kind[T]) remembered(key string) (record T, ok bool) {
	standby := k.isStandby()
	e, ok := k.entries.Get(key)
	if !ok {
		return record, false
	}
	if standby {
		// A clock that was set back cannot tell how old it is.
		if age := k.now().Sub(e.at); age < 0 || age >= standbyTrust {
			return record, false
		}
	}
	return e.record, true
}

// keep remembers the record that was read under key.
func (k *kind[T]) keep(key string, seen sighting, record T) {
	s := k.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp == seen.stamp && (s.failed.IsZero() || k.now().Sub(s.failed) >= doubt) {
		k.entries.Add(key, &entry[T]{record, seen.at})
	}
}

// load reads the record under key from storage, opens it and remembers it.
// ErrNotFound is returned if there is none.
func load[T any](ctx context.Context, s *Store, k *kind[T], key string, open func([]byte) (T, error)) (record T, err error) {
	seen := k.look(key)
	b, err := s.get(ctx, key)
	if err == nil && b == nil {
		err = ErrNotFound
	}
	if err == nil {
		record, err = open(b)
	}
	if err != nil {
		k.forgetOne(key) // storage knows better
		return record, err
	}
	if k.wants(ctx, key) {
		k.keep(key, seen, record)
	}
	return record, nil
}

// save puts the entry and remembers the record that a reader will open from
// it: what the writer has in hand may differ by what is not stored, and the
// writer goes on using it. It is called under the record's lock.
func save[T any](ctx context.Context, s *Store, k *kind[T], e *logical.StorageEntry, open func([]byte) (T, error)) error {
	wanted := k.wants(ctx, e.Key)
	seen, err := s.storage.write(ctx, e)
	if err != nil || !wanted {
		return err
	}
	if record, err := open(e.Value); err == nil {
		k.keep(e.Key, seen, record)
	}
	return nil
}

// A watched storage has memory forget what is written. The Store has no other
// way to storage, so that no write can pass memory by.
type watched struct {
	logical.Storage
	memory *memory
}

// Put implements [logical.Storage].
func (w watched) Put(ctx context.Context, e *logical.StorageEntry) error {
	_, err := w.write(ctx, e)
	return err
}

// write is Put. What was written may be kept as what was seen.
func (w watched) write(ctx context.Context, e *logical.StorageEntry) (sighting, error) {
	return w.change(e.Key, func() error { return w.Storage.Put(ctx, e) })
}

// Delete implements [logical.Storage].
func (w watched) Delete(ctx context.Context, key string) error {
	_, err := w.change(key, func() error { return w.Storage.Delete(ctx, key) })
	return err
}

func (w watched) change(key string, change func() error) (sighting, error) {
	err := change()
	if err != nil {
		w.memory.mistrust(key)
	}
	return w.memory.forget(key), err
}
