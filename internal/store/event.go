package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// An EventType names what happened.
type EventType string

// The types of events.
const (
	ConnectionCreated       EventType = "connection.created"
	ConnectionReconnected   EventType = "connection.reconnected"
	ConnectionRefreshed     EventType = "connection.refreshed"
	ConnectionRefreshFailed EventType = "connection.refresh_failed"
	ConnectionExpiring      EventType = "connection.expiring" // the token or its data access ends in 7 days, in 1 day
	ConnectionFailed        EventType = "connection.failed"   // its token has expired while refreshing failed
	ConnectionNeedsReauth   EventType = "connection.needs_reauth"
	ConnectionRecovered     EventType = "connection.recovered"
	ConnectionRevoked       EventType = "connection.revoked"
	ConnectionDeleted       EventType = "connection.deleted"
	// ConnectionUnrevoked is of a credential that is forgotten by force: the grant
	// stands at the provider.
	ConnectionUnrevoked EventType = "connection.unrevoked"
	ScopesChanged       EventType = "scopes.changed"
	// SessionCodeReused is of a code that was presented in two sessions: one event
	// for the ref of each.
	SessionCodeReused     EventType = "session.code_reused"
	TenantSuspended       EventType = "tenant.suspended"
	TenantResumed         EventType = "tenant.resumed" // its suspension was lifted
	TenantKeyRotated      EventType = "tenant.key_rotated"
	TenantDeleted         EventType = "tenant.deleted"
	ProviderMisconfigured EventType = "provider.misconfigured"
	ProviderThrottled     EventType = "provider.throttled"
	ProviderUnavailable   EventType = "provider.unavailable"
	ProviderRecovered     EventType = "provider.recovered"
)

// An Event is something that happened. It holds no secret.
type Event struct {
	// ID is greater than those of all events before. Some numbers are of no event.
	ID   int64     `json:"id"`
	At   time.Time `json:"at"`
	Type EventType `json:"type"`
	// Ref is the credential, provider or tenant that it happened to. "": that was
	// deleted since, see [Store.ForgetEvents].
	Ref    string `json:"ref,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Events are kept in a ring of pages, so that one more costs one write and no
// deletion: event/<slot> holds the page whose number leaves that rest. The
// newest eventsKept are there, and up to as many more.
const (
	eventsKept = 10_000
	// eventsPerPage is how many fill a page. What is noted together is written
	// together, so there is room for as many more.
	eventsPerPage = 100
	idsPerPage    = 2 * eventsPerPage
	eventSlots    = eventsKept/eventsPerPage + 1
	// lastEventPage is beyond what will ever be, and such that an id is a number.
	lastEventPage = math.MaxInt64 / idsPerPage / 2
)

var errEventPage = errors.New("it is no page of events of this place")

// eventPage is what is stored of events: those of one number. The first of page
// n has the id n*idsPerPage+1.
type eventPage struct {
	Version int     `json:"version"`
	Number  int64   `json:"number"`
	Events  []Event `json:"events"`

	lost bool // it does not open, so that nobody knows which ids it gave
}

// full tells that what happens next stands on the page after.
func (p eventPage) full() bool { return p.lost || len(p.Events) >= eventsPerPage }

func (p eventPage) last() int64 { return p.Number*idsPerPage + int64(len(p.Events)) }

func eventKey(number int64) string { return fmt.Sprintf("%s%03d", eventPrefix, number%eventSlots) }

// eventLog is the end of the ring, and what was not written to it yet.
type eventLog struct {
	writing sync.Mutex // held by who writes
	mu      sync.Mutex
	pending []Event
	loaded  bool
	epoch   uint64    // of the node's role when it was loaded
	page    eventPage // the newest
}

// Note adds events to those that [Store.FlushEvents] writes. They are lost if
// the process dies before: records are the truth, events tell of them.
func (s *Store) Note(events ...Event) {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	s.events.pending = append(s.events.pending, events...)
}

// FlushFullEvents is [Store.FlushEvents] once there is a page full of them, for
// work that goes on and on.
func (s *Store) FlushFullEvents(ctx context.Context) error {
	s.events.mu.Lock()
	full := len(s.events.pending) >= eventsPerPage
	s.events.mu.Unlock()
	if !full {
		return nil
	}
	return s.FlushEvents(ctx)
}

// FlushEvents writes what was noted: in one write, unless it does not fit into
// a page. What cannot be written is noted again.
func (s *Store) FlushEvents(ctx context.Context) error {
	s.events.mu.Lock()
	idle := len(s.events.pending) == 0
	s.events.mu.Unlock()
	if idle {
		return nil
	}
	s.events.writing.Lock()
	defer s.events.writing.Unlock()
	if err := s.loadEvents(ctx); err != nil {
		return err
	}
	for {
		done, err := s.flushPage(ctx)
		if done || err != nil {
			return err
		}
	}
}

// flushPage writes as much of what was noted as fits into the newest page, or
// begins another.
func (s *Store) flushPage(ctx context.Context) (done bool, err error) {
	log := &s.events
	log.mu.Lock()
	page := log.page
	if page.full() {
		page = eventPage{Version: formatVersion, Number: page.Number + 1}
	}
	n := len(log.pending)
	if n > eventsPerPage {
		n = eventsPerPage - len(page.Events)
	}
	page.Events = slices.Clone(page.Events)
	for _, e := range log.pending[:n] {
		e.ID = page.last() + 1
		page.Events = append(page.Events, e)
	}
	log.mu.Unlock()
	if n == 0 {
		return true, nil
	}
	b, err := json.Marshal(page)
	if err == nil {
		err = s.put(ctx, eventKey(page.Number), b)
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if err != nil {
		// Nobody may ever flush again: what is kept of it has its bounds.
		log.pending = log.pending[max(0, len(log.pending)-eventsKept):]
		return false, err
	}
	log.pending, log.page = log.pending[n:], page
	s.wrote(page.Events[len(page.Events)-n:])
	return len(log.pending) == 0, nil
}

// loadEvents finds the newest page. It is called with writing held.
func (s *Store) loadEvents(ctx context.Context) error {
	s.memory.isStandby()
	epoch := s.memory.epoch.Load()
	s.events.mu.Lock()
	loaded := s.events.loaded && s.events.epoch == epoch
	s.events.mu.Unlock()
	if loaded {
		return nil
	}
	_, newest, err := s.eventPages(ctx)
	if err != nil {
		return err
	}
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	s.events.page, s.events.loaded, s.events.epoch = newest, true, epoch
	return nil
}

// eventPages returns the number of the oldest page, and the newest page. That
// may be a lost one: what comes after it must have other ids.
func (s *Store) eventPages(ctx context.Context) (oldest int64, newest eventPage, err error) {
	names, err := s.storage.List(ctx, eventPrefix)
	if err != nil {
		return 0, eventPage{}, err
	}
	newest.Number, oldest = -1, math.MaxInt64
	lost := map[string]bool{}
	for _, name := range names {
		page, err := s.eventPage(ctx, eventPrefix+name)
		switch {
		case errors.Is(err, ErrCorrupt):
			lost[eventPrefix+name] = true
			continue
		case err != nil:
			return 0, eventPage{}, err
		}
		if 0 <= page.Number && page.Number < oldest {
			oldest = page.Number
		}
		if page.Number >= newest.Number {
			newest = page
		}
	}
	// Where the next page belongs there may be what is left of it, or of one that is
	// as old as the ring: nobody can tell, and numbers are plenty.
	for next := newest.Number + 1; len(lost) > 0 && lost[eventKey(next)]; next++ {
		delete(lost, eventKey(next))
		newest = eventPage{Number: next, lost: true}
	}
	if newest.Number < 0 {
		newest = eventPage{Version: formatVersion}
	}
	return oldest, newest, nil
}

func (s *Store) eventPage(ctx context.Context, key string) (eventPage, error) {
	b, err := s.get(ctx, key)
	if b == nil || err != nil {
		return eventPage{Number: -1}, err
	}
	var p eventPage
	if err := json.Unmarshal(b, &p); err != nil {
		return p, corrupt(key, err)
	}
	if p.Version != formatVersion {
		return p, corrupt(key, errVersion)
	}
	// Nobody would find another's number, nor one more event its place.
	if p.Number < 0 || p.Number > lastEventPage || eventKey(p.Number) != key || len(p.Events) > idsPerPage {
		return p, corrupt(key, errEventPage)
	}
	return p, nil
}

// Events returns the events after the one with that id, oldest first, limit at
// most. Those that are not kept any more are passed over.
func (s *Store) Events(ctx context.Context, after int64, limit int) (events []Event, err error) {
	// The page that holds the event itself: it is there. Of the next, which may not
	// have begun, nobody could tell without looking through them all.
	number := max(after-1, 0) / idsPerPage
	page, err := s.eventPage(ctx, eventKey(number))
	if err == nil && page.Number != number || errors.Is(err, ErrCorrupt) {
		// It was written over, or never was.
		oldest, newest, pagesErr := s.eventPages(ctx)
		if pagesErr != nil || number > newest.Number {
			return nil, pagesErr
		}
		number = max(number, oldest)
		page, err = s.nextEventPage(ctx, &number, newest.Number)
		if err != nil {
			return nil, err
		}
	}
	for err == nil && page.Number == number {
		for _, e := range page.Events {
			if e.ID > after && len(events) < limit {
				events = append(events, e)
			}
		}
		if len(events) == limit || len(page.Events) < eventsPerPage {
			return events, nil
		}
		number++
		if page, err = s.eventPage(ctx, eventKey(number)); errors.Is(err, ErrCorrupt) {
			_, newest, pagesErr := s.eventPages(ctx)
			if pagesErr != nil {
				return nil, pagesErr
			}
			if page, err = s.nextEventPage(ctx, &number, newest.Number); err != nil {
				return nil, err
			}
		}
	}
	return events, err
}

// nextEventPage returns the page with that number or, if that does not open,
// the next one up to last that does. What was on the others is lost.
func (s *Store) nextEventPage(ctx context.Context, number *int64, last int64) (page eventPage, err error) {
	for ; *number <= last; *number++ {
		if page, err = s.eventPage(ctx, eventKey(*number)); !errors.Is(err, ErrCorrupt) {
			return page, err
		}
	}
	return eventPage{Number: -1}, nil
}

// eventsOf returns what happened to the credential when old became c. old is
// nil if there was none, c if there is none any more.
func (s *Store) eventsOf(ref tenant.Ref, old, c *Credential) (events []Event) {
	note := func(t EventType, reason string) {
		events = append(events, Event{At: s.now().UTC(), Type: t, Ref: ref.String(), Reason: reason})
	}
	reason := ""
	if c != nil && c.LastError != nil {
		reason = c.LastError.Message
	}
	switch {
	case c == nil:
		note(ConnectionDeleted, "")
		return events
	case old == nil:
		note(ConnectionCreated, "")
		return events
	case old.Birth != c.Birth:
		note(ConnectionReconnected, "")
	case old.Generation != c.Generation:
		note(ConnectionRefreshed, "")
	}
	switch {
	case old.Status == c.Status || old.Birth != c.Birth:
		if old.ConsecutiveFailures == 0 && c.ConsecutiveFailures > 0 && c.Status == Active {
			note(ConnectionRefreshFailed, reason)
		}
	case c.Status == Active:
		note(ConnectionRecovered, "")
	case c.Status == NeedsReauth:
		note(ConnectionNeedsReauth, reason)
	case c.Status == Revoked:
		note(ConnectionRevoked, reason)
	case c.Status == Failed:
		note(ConnectionFailed, "the token has expired: "+reason)
	}
	if !slices.Equal(old.Token.Scopes, c.Token.Scopes) {
		note(ScopesChanged, "")
	}
	return events
}
