package authpipe

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// Marks of an entry.
const (
	recent = 1 << iota // read since the clock's hand passed it
	used               // read since its answer came
	idle               // not read before its renewal was due, so its answer was not renewed
)

// An entry is a ref with its answer.
type entry struct {
	ref    ref
	answer atomic.Pointer[answer] // never nil
	marks  atomic.Uint32
	next   atomic.Pointer[entry] // in its bucket

	// Guarded by the cache's mu:

	slot      int         // its index in the table's ring
	index     int         // its index in the queue; -1: it is not in the queue
	failures  int         // since the last answer
	unchecked *Credential // was reported dead, and could not be checked yet
}

// A table is a hash table of bounded size. Readers take no lock; writers take the cache's.
//
// A reader in a bucket that is being changed may find an entry that has just been removed, or miss one that has just been added. It
// never finds another ref's entry. A reader that misses an entry looks again with the lock.
//
// A full table evicts an entry by the clock algorithm: a hand goes round, clears the recent mark of the entries that have it, and
// evicts the first one without it.
type table struct {
	seed    maphash.Seed
	mask    uint64
	buckets []atomic.Pointer[entry]

	ring []*entry // all entries; its capacity is the bound
	hand int
}

func newTable(size int) table {
	n := 1 << bits.Len(uint(size-1))
	return table{seed: maphash.MakeSeed(), mask: uint64(n - 1), buckets: make([]atomic.Pointer[entry], n), ring: make([]*entry, 0, size)}
}

// bucket hashes all but the provider, which few refs differ in alone. To hash a string is a third of the cost of a read, so empty
// ones are left out.
func (t *table) bucket(r *ref) *atomic.Pointer[entry] {
	h := maphash.String(t.seed, r.tenant)
	for _, part := range [...]string{r.user, r.page, r.name} {
		h = bits.RotateLeft64(h, 21)
		if part != "" {
			h ^= maphash.String(t.seed, part)
		}
	}
	return &t.buckets[h&t.mask]
}

// get returns r's entry, or nil.
func (t *table) get(r *ref) *entry {
	e := t.bucket(r).Load()
	for e != nil && e.ref != *r {
		e = e.next.Load()
	}
	return e
}

func (t *table) full() bool { return len(t.ring) == cap(t.ring) }

// put adds an entry for r, which has none, and returns it with the one that it has evicted, if any.
func (t *table) put(r ref, a *answer) (added, gone *entry) {
	added = &entry{ref: r, index: -1}
	added.answer.Store(a)
	if !t.full() {
		added.slot = len(t.ring)
		t.ring = append(t.ring, added)
	} else {
		gone = t.coldest()
		added.slot = gone.slot
		t.unlink(gone)
		t.ring[added.slot] = added
	}
	bucket := t.bucket(&r)
	added.next.Store(bucket.Load())
	bucket.Store(added)
	return added, gone
}

// coldest turns the hand to the first entry that was not read recently. After one round there is one.
func (t *table) coldest() *entry {
	for {
		e := t.ring[t.hand]
		t.hand = (t.hand + 1) % len(t.ring)
		if e.marks.And(^uint32(recent))&recent == 0 {
			return e
		}
	}
}

// remove removes e, which must be in the table.
func (t *table) remove(e *entry) {
	t.unlink(e)
	last := t.ring[len(t.ring)-1]
	t.ring[e.slot], last.slot = last, e.slot
	t.ring[len(t.ring)-1] = nil
	t.ring = t.ring[:len(t.ring)-1] // the hand moves only when the ring is full again
}

func (t *table) unlink(e *entry) {
	link := t.bucket(&e.ref)
	for link.Load() != e {
		link = &link.Load().next
	}
	link.Store(e.next.Load())
}

// matching returns the entries of the refs that match.
func (t *table) matching(match func(ref) bool) (found []*entry) {
	for _, e := range t.ring {
		if match(e.ref) {
			found = append(found, e)
		}
	}
	return found
}

func (t *table) clear() {
	for i := range t.buckets {
		t.buckets[i].Store(nil)
	}
	clear(t.ring)
	t.ring, t.hand = t.ring[:0], 0
}
