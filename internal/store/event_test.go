package store_test

import (
	"fmt"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// TestTheNewestEventsAreKept goes once around the ring and some way further.
func TestTheNewestEventsAreKept(t *testing.T) {
	s, storage, _ := newStore()
	for i := range 130 {
		batch := make([]store.Event, 97)
		for j := range batch {
			batch[j] = store.Event{Type: store.ConnectionRefreshed, Ref: fmt.Sprint(i*97 + j + 1)}
		}
		s.Note(batch...)
		if err := s.FlushEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const last = 130 * 97
	all, err := s.Events(t.Context(), 0, 100_000)
	if err != nil || len(all) < 10_000 || len(all) > 10_100 || all[len(all)-1].ID != last {
		t.Fatalf("%d events are kept, the last is %v, %v", len(all), all[len(all)-1], err)
	}
	for i, e := range all {
		if e.Ref != fmt.Sprint(e.ID) || i > 0 && e.ID != all[i-1].ID+1 {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	keys, err := storage.Keys(t.Context(), "event/")
	if err != nil || len(keys) > 101 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if some, err := s.Events(t.Context(), last-250, 100); err != nil || len(some) != 100 || some[0].ID != last-249 {
		t.Errorf("%d events, %v", len(some), err)
	}
	if none, err := s.Events(t.Context(), last+1000, 100); err != nil || len(none) > 0 {
		t.Errorf("events of the future: %v, %v", none, err)
	}
}

func TestOneEventIsOneWrite(t *testing.T) {
	s, storage, _ := newStore()
	s.Note(store.Event{Type: store.ConnectionRefreshed})
	if err := s.FlushEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	storage.Reset()
	s.Note(store.Event{Type: store.ConnectionRefreshed}, store.Event{Type: store.ScopesChanged})
	if err := s.FlushEvents(t.Context()); err != nil || len(storage.Operations()) != 1 {
		t.Errorf("%v, %v", storage.Operations(), err)
	}
	storage.Reset()
	if err := s.FlushEvents(t.Context()); err != nil || len(storage.Operations()) != 0 {
		t.Errorf("with nothing to write: %v, %v", storage.Operations(), err)
	}
}
