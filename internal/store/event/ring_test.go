package event_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
)

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func now() time.Time      { return noon }
func epoch() uint64       { return 0 }
func wrote([]event.Event) {}

func newRing() (*event.Ring, *storagetest.Storage) {
	storage := storagetest.New()
	return event.New(storage, now, epoch, wrote), storage
}

// TestRingHoldsNewestEvents goes once around the ring and some way further.
func TestRingHoldsNewestEvents(t *testing.T) {
	r, storage := newRing()
	for i := range 130 {
		batch := make([]event.Event, 97)
		for j := range batch {
			batch[j] = event.Event{Type: event.ConnectionRefreshed, Ref: fmt.Sprint(i*97 + j + 1)}
		}
		r.Add(batch...)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.After(t.Context(), 0, 100_000)
	if err != nil || len(all) < 10_000 || len(all) > 20_200 || all[len(all)-1].Ref != fmt.Sprint(130*97) {
		t.Fatalf("%d events are kept, the last is %v, %v", len(all), all[len(all)-1], err)
	}
	for i, e := range all {
		if e.Ref != fmt.Sprint(130*97-len(all)+i+1) || i > 0 && e.ID <= all[i-1].ID {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	keys, err := storage.Keys(t.Context(), "event/")
	if err != nil || len(keys) > 101 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if some, err := r.After(t.Context(), all[len(all)-251].ID, 100); err != nil || len(some) != 100 || some[0] != all[len(all)-250] {
		t.Errorf("%d events, %v", len(some), err)
	}
	if none, err := r.After(t.Context(), all[len(all)-1].ID+1000, 100); err != nil || len(none) > 0 {
		t.Errorf("events of the future: %v, %v", none, err)
	}
}

func TestFlushWritesOnce(t *testing.T) {
	r, storage := newRing()
	r.Add(event.Event{Type: event.ConnectionRefreshed})
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	storage.Reset()
	r.Add(event.Event{Type: event.ConnectionRefreshed}, event.Event{Type: event.ScopesChanged})
	if err := r.Flush(t.Context()); err != nil || len(storage.Operations()) != 1 {
		t.Errorf("%v, %v", storage.Operations(), err)
	}
	storage.Reset()
	if err := r.Flush(t.Context()); err != nil || len(storage.Operations()) != 0 {
		t.Errorf("with nothing to write: %v, %v", storage.Operations(), err)
	}
}

// TestPendingEventsAreBounded has storage refuse them for long: they
// are kept in memory, and only the newest.
func TestPendingEventsAreBounded(t *testing.T) {
	r, storage := newRing()
	storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" {
			return storagetest.ErrStorage
		}
		return nil
	})
	for i := range 300 {
		batch := make([]event.Event, 100)
		for j := range batch {
			batch[j] = event.Event{Type: event.ConnectionRefreshed, Ref: fmt.Sprint(i*100 + j + 1)}
		}
		r.Add(batch...)
		if err := r.Flush(t.Context()); err == nil {
			t.Fatal("storage fails, and Flush does not")
		}
	}
	storage.Fail(nil)
	r.Add(event.Event{Type: event.ConnectionRefreshed, Ref: "30001"})
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := r.After(t.Context(), 0, 100_000)
	if err != nil || len(all) == 0 {
		t.Fatal(len(all), err)
	}
	if first, last := all[0], all[len(all)-1]; first.ID != 1 || first.Ref != "20001" || last.Ref != "30001" {
		t.Errorf("of 30,001 events that waited, %d are kept, from %+v to %+v", len(all), first, last)
	}
}

// TestForeignPageDoesNotStopRing has a page in storage that no version of the ring
// has written.
func TestForeignPageDoesNotStopRing(t *testing.T) {
	for name, page := range map[string]string{
		"too many events":     `{"version":1,"number":0,"events":[` + strings.Repeat("{},", 100) + `{}]}`,
		"a number of no page": `{"version":1,"number":9223372036854775807,"events":[]}`,
		"another's place":     `{"version":1,"number":7,"events":[` + strings.Repeat("{},", 99) + `{}]}`,
		"a negative number":   `{"version":1,"number":-7,"events":[]}`,
	} {
		r, storage := newRing()
		if err := storage.Put(t.Context(), &logical.StorageEntry{Key: "event/000", Value: []byte(page)}); err != nil {
			t.Fatal(err)
		}
		r.Add(event.Event{At: noon, Type: event.TenantResumed, Ref: "org_acme"})
		flush := func() (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			return r.Flush(t.Context())
		}
		if err := flush(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		events, err := r.After(t.Context(), 0, 1000)
		if n := len(events); err != nil || n == 0 || events[n-1].Ref != "org_acme" || events[n-1].ID <= 0 {
			t.Errorf("%s: the newest of %d events is not found: %v", name, n, err)
		}
	}
}

// TestLostPageIDsAreNotReused spoils the newest pages and opens the ring again:
// a follower that has seen the last event sees the next one too.
func TestLostPageIDsAreNotReused(t *testing.T) {
	for name, c := range map[string]struct{ added, spoilt int }{
		"the only page":         {50, 1},
		"the newest":            {350, 1},
		"the newest two":        {350, 2},
		"when the ring is full": {15_050, 1},
	} {
		r, storage := newRing()
		add := func(r *event.Ring, n int) {
			for range n {
				r.Add(event.Event{Type: event.ConnectionRefreshed})
			}
			if err := r.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for left := c.added; left > 0; left -= 50 {
			add(r, 50)
		}
		all, err := r.After(t.Context(), 0, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		last := all[len(all)-1].ID
		for i := range c.spoilt {
			spoilt := fmt.Sprintf("event/%03d", ((last-1)/200-int64(i))%101)
			if err := storage.Put(t.Context(), &logical.StorageEntry{Key: spoilt, Value: []byte("{")}); err != nil {
				t.Fatal(err)
			}
		}
		r = event.New(storage, now, epoch, wrote)
		add(r, 1)
		if news, err := r.After(t.Context(), last, 10); err != nil || len(news) != 1 {
			t.Errorf("%s: after the event %d comes %v, %v", name, last, news, err)
		}
	}
}

// TestFollowerReadsTwoPagesAtMost reads from each cursor of many pages: a follower
// does so every few seconds, and may wait at the last event of a page as at any other.
func TestFollowerReadsTwoPagesAtMost(t *testing.T) {
	r, storage := newRing()
	cursor := int64(0)
	for i := range 10_500 {
		r.Add(event.Event{Type: event.ConnectionRefreshed})
		if i%100 > 2 && i%100 < 98 {
			continue
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		news, err := r.After(t.Context(), cursor, 1000)
		if err != nil || len(news) == 0 {
			t.Fatalf("after %d come %v, %v", cursor, news, err)
		}
		cursor = news[len(news)-1].ID
		storage.Reset()
		events, err := r.After(t.Context(), cursor, 1000)
		if n := len(storage.Operations()); err != nil || len(events) > 0 || n > 2 {
			t.Fatalf("after %d come %d events for %d storage calls, %v", cursor, len(events), n, err)
		}
	}
}

// TestFlushWritesOnceAtPageEnd adds two events where one place
// is left.
func TestFlushWritesOnceAtPageEnd(t *testing.T) {
	r, storage := newRing()
	r.Add(make([]event.Event, 99)...)
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	storage.Reset()
	r.Add(event.Event{Type: event.ConnectionReconnected}, event.Event{Type: event.ScopesChanged})
	if err := r.Flush(t.Context()); err != nil || len(storage.Writes()) != 1 {
		t.Errorf("%v, %v", storage.Writes(), err)
	}
}
