package authpipe

import (
	"context"
	"sync"
	"time"
)

// A cache holds the engine's answer about each ref, and renews those in use. lookup takes no lock; methods that must be called with mu
// held say so.
type cache struct {
	mount   *mount
	options Options
	now     func() time.Duration // the client's clock: the time since New
	running sync.WaitGroup       // the scheduler and the calls

	table table // readers take no lock; writers take mu

	mu         sync.Mutex
	closed     bool
	calls      map[ref]*call // at most one for each ref
	queue      queue         // the entries that are to be renewed
	background int           // calls that the scheduler began
	wake       chan struct{} // wakes the scheduler
}

func newCache(m *mount, options Options, now func() time.Duration) *cache {
	c := &cache{
		mount: m, options: options, now: now,
		table: newTable(options.Size), calls: map[ref]*call{}, wake: make(chan struct{}, 1),
	}
	c.running.Go(c.schedule)
	return c
}

// close empties the cache and lets it learn nothing more.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.table.clear()
	c.queue = nil
}

// lookup returns the cached answer about r, or nil.
func (c *cache) lookup(r *ref, now time.Duration) *answer {
	e := c.table.get(r)
	if e == nil {
		return nil
	}
	a := e.answer.Load()
	if !c.usable(e, a, now) {
		return nil
	}
	c.use(e, a, now)
	return a
}

// usable reports whether e's answer may be returned: not if it is over, nor if e was idle for so long that it is too old.
func (c *cache) usable(e *entry, a *answer, now time.Duration) bool {
	return now < a.until && (e.marks.Load()&idle == 0 || now-a.due < c.options.MaxAge)
}

// use marks e as in use. It writes only if the marks change, so that an entry that all cores read stays in all their caches.
func (c *cache) use(e *entry, a *answer, now time.Duration) {
	if e.marks.Load() != recent|used {
		e.marks.Store(recent | used)
	}
	if now >= a.due && !a.requeued.Load() && a.requeued.CompareAndSwap(false, true) {
		c.requeue(e)
	}
}

// read returns the answer about r from a call that is under way, or from a new one.
func (c *cache) read(ctx context.Context, r ref) (*answer, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	for {
		k, a, err := c.join(r)
		if err != nil || a != nil {
			return a, err
		}
		a, err = k.wait(ctx)
		// The token may have expired before this goroutine woke. An error is good for every caller that has waited for it.
		if err != nil || a.err != nil || c.now() < a.ends {
			return a, err
		}
	}
}

// join returns the call for r, which it begins if there is none, or the answer of one that has just finished.
func (c *cache) join(r ref) (*call, *answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, ErrClosed
	}
	if k := c.calls[r]; k != nil {
		return k, nil, nil
	}
	if e := c.table.get(&r); e != nil {
		if a := e.answer.Load(); c.usable(e, a, c.now()) {
			return nil, a, nil
		}
	}
	return c.begin(r, nil, false), nil, nil
}

// forgetTenant drops all of a tenant's credentials.
func (c *cache) forgetTenant(tenant string) {
	c.forgetAll(func(r ref) bool { return r.tenant == tenant })
}

// forget drops r and the pages that are reached through it.
func (c *cache) forget(r ref) {
	c.forgetAll(func(q ref) bool { return q == r || q.above() == r })
}

// forgetAll drops the entries that match. A call under way for one of them sends its request again: the response may be older.
func (c *cache) forgetAll(match func(ref) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.table.matching(match) {
		c.drop(e)
	}
	for _, k := range c.calls {
		if match(k.ref) {
			k.again = true
		}
	}
}

// store stores what a call brought about r, and returns the answer that callers get. It is called with mu held.
func (c *cache) store(r ref, o outcome) *answer {
	now := c.now()
	e := c.table.get(&r)
	failures := 1
	if e != nil {
		failures = e.failures + 1
	}
	a := o.answer
	switch {
	case a != nil:
		failures = 0
		if o.noCheck > 0 {
			a.checked = now + o.noCheck
		} else if e != nil {
			a.checked = e.answer.Load().checkedAs(a.credential, now)
		}
	case e != nil && !definitive(o.err) && e.answer.Load().stands(now):
		a = c.options.deferred(e.answer.Load(), now, failures)
	default:
		a = c.options.refusal(o.err, now, failures)
	}
	switch {
	case e == nil && a.err != nil && !definitive(a.err) && c.table.full():
		// An outage evicts no credential, which perhaps cannot be read again either.
		return a
	case e == nil:
		var gone *entry
		if e, gone = c.table.put(r, a); gone != nil {
			c.queue.remove(gone)
		}
	default:
		e.marks.And(^uint32(used))
		e.answer.Store(a)
		e.marks.And(^uint32(idle))
	}
	e.failures, e.unchecked = failures, o.unchecked
	c.enqueue(e)
	return a
}

// drop takes e out of the cache. It is called with mu held.
func (c *cache) drop(e *entry) {
	c.queue.remove(e)
	c.table.remove(e)
}
