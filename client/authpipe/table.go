package authpipe

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// Marks of an entry.
const (
	recent = 1 << iota // asked for since the hand of the clock passed it
	used               // asked for since its answer came
	asleep             // not in use when its renewal was due: nobody knows any more what is so
)

// An entry is a place in the table.
type entry struct {
	ref    ref
	answer atomic.Pointer[answer] // never nil
	marks  atomic.Uint32
	next   atomic.Pointer[entry] // in its bucket

	// With the client's lock only:

	slot     int         // where it is in the table's ring
	index    int         // where it is in the agenda; -1: nowhere, it sleeps
	failures int         // since an answer came
	untold   *Credential // what was reported dead, and is yet to be checked
}

// A table is a hash table of bounded size, whose readers take no lock. Writers take the client's.
//
// A reader that walks a bucket while an entry is unlinked may still find that entry, or one that was linked in too late, or not
// find one that is being moved to its end; it never finds another ref's. So it may ask in vain, and be told better.
//
// Which entry goes when one too many comes is decided by a clock: a hand goes round, takes the mark off those that were asked
// for since it last came by, and throws out the first that was not.
type table struct {
	seed    maphash.Seed
	mask    uint64
	buckets []atomic.Pointer[entry]

	ring []*entry // all there are; of the bound's capacity
	hand int
}

func newTable(size int) table {
	n := 1 << bits.Len(uint(size-1))
	return table{seed: maphash.MakeSeed(), mask: uint64(n - 1), buckets: make([]atomic.Pointer[entry], n), ring: make([]*entry, 0, size)}
}

// bucket hashes what tells refs apart: few of them differ in nothing but the provider. To hash a string is a third of the cost of
// a read, so an empty one is left out.
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

// put adds an entry for r, which has none, and returns it along with the one that had to go for it, if one had to.
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

// coldest turns the hand until it finds one that nobody has asked for lately. After one round there is one.
func (t *table) coldest() *entry {
	for {
		e := t.ring[t.hand]
		t.hand = (t.hand + 1) % len(t.ring)
		if e.marks.And(^uint32(recent))&recent == 0 {
			return e
		}
	}
}

// remove takes e out; e must be in.
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

// those returns the entries of the refs that are meant.
func (t *table) those(meant func(ref) bool) (found []*entry) {
	for _, e := range t.ring {
		if meant(e.ref) {
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
