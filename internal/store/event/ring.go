package event

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// A Ring holds the newest 10,000 events and up to as many more. It is safe for
// concurrent use.
type Ring struct {
	storage logical.Storage
	now     func() time.Time
	epoch   func() uint64
	wrote   func([]Event)

	writing sync.Mutex // held while a page is written
	mu      sync.Mutex
	pending []Event // not written yet
	loaded  bool
	loadEra uint64 // the epoch at which it was loaded
	newest  page
}

// New returns the Ring in storage. Epoch returns another number each time that this node
// has begun or ceased to be allowed to write: another node may have written meanwhile.
// Wrote gets events once they are written, and must not take long.
func New(storage logical.Storage, now func() time.Time, epoch func() uint64, wrote func([]Event)) *Ring {
	return &Ring{storage: storage, now: now, epoch: epoch, wrote: wrote}
}

// Invalidate has the newest page be looked up again: another node has written one.
func (r *Ring) Invalidate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded = false
}

// Add adds events to those that [Ring.Flush] writes. They are lost if the process ends
// before: a record says what is, an event only that it changed.
func (r *Ring) Add(events ...Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, events...)
}

// FlushFull is [Ring.Flush] once there is a page full of events, for long work.
func (r *Ring) FlushFull(ctx context.Context) error {
	r.mu.Lock()
	full := len(r.pending) >= eventsPerPage
	r.mu.Unlock()
	if !full {
		return nil
	}
	return r.Flush(ctx)
}

// Flush writes the events that were added: in one write, unless they do not fit into a
// page. Those that could not be written are written by the next Flush.
func (r *Ring) Flush(ctx context.Context) error {
	r.mu.Lock()
	idle := len(r.pending) == 0
	r.mu.Unlock()
	if idle {
		return nil
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if err := r.load(ctx); err != nil {
		return err
	}
	for {
		done, err := r.flushPage(ctx)
		if done || err != nil {
			return err
		}
	}
}

// flushPage writes as many pending events as fit into the newest page, or begins another.
func (r *Ring) flushPage(ctx context.Context) (done bool, err error) {
	r.mu.Lock()
	p := r.newest
	if p.full() {
		p = page{Version: formatVersion, Number: p.Number + 1}
	}
	n := len(r.pending)
	if n > eventsPerPage {
		n = eventsPerPage - len(p.Events)
	}
	p.Events = slices.Clone(p.Events)
	for _, e := range r.pending[:n] {
		e.ID = p.last() + 1
		p.Events = append(p.Events, e)
	}
	r.mu.Unlock()
	if n == 0 {
		return true, nil
	}
	err = r.putPage(ctx, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		// There may never be another Flush: what is pending is bounded.
		r.pending = r.pending[max(0, len(r.pending)-eventsKept):]
		return false, err
	}
	r.pending, r.newest = r.pending[n:], p
	r.wrote(p.Events[len(p.Events)-n:])
	return len(r.pending) == 0, nil
}

// load finds the newest page. It is called with writing held.
func (r *Ring) load(ctx context.Context) error {
	era := r.epoch()
	r.mu.Lock()
	loaded := r.loaded && r.loadEra == era
	r.mu.Unlock()
	if loaded {
		return nil
	}
	_, newest, err := r.pages(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest, r.loaded, r.loadEra = newest, true, era
	return nil
}

// After returns the events after the one with that id, oldest first, limit at most. Those
// that the ring does not hold any more are skipped.
func (r *Ring) After(ctx context.Context, id int64, limit int) (events []Event, err error) {
	// The page of the event itself is there. Whether the next one has begun would take a
	// look at them all.
	number := max(id-1, 0) / idsPerPage
	p, err := r.page(ctx, key(number))
	if err == nil && p.Number != number || errors.Is(err, errUnreadable) {
		// It was written over, or never was.
		oldest, newest, pagesErr := r.pages(ctx)
		if pagesErr != nil || number > newest.Number {
			return nil, pagesErr
		}
		number = max(number, oldest)
		p, err = r.readable(ctx, &number, newest.Number)
		if err != nil {
			return nil, err
		}
	}
	for err == nil && p.Number == number {
		for _, e := range p.Events {
			if e.ID > id && len(events) < limit {
				events = append(events, e)
			}
		}
		if len(events) == limit || len(p.Events) < eventsPerPage {
			return events, nil
		}
		number++
		if p, err = r.page(ctx, key(number)); errors.Is(err, errUnreadable) {
			_, newest, pagesErr := r.pages(ctx)
			if pagesErr != nil {
				return nil, pagesErr
			}
			if p, err = r.readable(ctx, &number, newest.Number); err != nil {
				return nil, err
			}
		}
	}
	return events, err
}
