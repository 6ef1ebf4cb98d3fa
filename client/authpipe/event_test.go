package authpipe_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

// happening responds with the events up to *last, in pages.
func happening(d *double, last *int) func(*http.Request) *http.Response {
	return func(r *http.Request) *http.Response {
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		events := []map[string]any{}
		for id := after + 1; id <= *last && len(events) < limit; id++ {
			events = append(events, map[string]any{"id": id, "at": "2026-11-23T12:00:00Z", "type": "connection.revoked", "ref": bobs})
		}
		return d.page(200, map[string]any{"data": map[string]any{"events": events, "after": after + len(events)}})
	}
}

func TestEventsComeInOrderAndGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		last := 2500
		d.intercept(happening(d, &last))
		client := newClient(t, d, authpipe.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		want := int64(8)
		for event, err := range client.Events(ctx, 7) {
			switch {
			case err != nil || event.ID != want || event.Ref != bobs:
				t.Fatalf("got %+v, %v; want %d", event, err, want)
			case want == 2500:
				wantRequests(t, d, "GET events", 3)
				last++ // a new event
			case want == 2501:
				cancel() // ends the loop at the next request
			}
			want++
		}
		if want != 2502 {
			t.Errorf("it ended before %d", want)
		}
	})
}

func TestEventsCanBeLoopedOverTwice(t *testing.T) {
	d := newDouble(time.Now)
	last := 3
	d.intercept(happening(d, &last))
	events := newClient(t, d, authpipe.Options{}).Events(t.Context(), 0)
	for range 2 {
		for event, err := range events {
			if err != nil || event.ID != 1 {
				t.Errorf("got %+v, %v", event, err)
			}
			break
		}
	}
}

func TestEventsGoOnAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		last, begun := 3, time.Now()
		d.intercept(func(r *http.Request) *http.Response {
			if since := time.Since(begun); since > 0 && since < time.Minute {
				last = 5
				return d.refuse(503, "Vault is sealed")
			}
			return happening(d, &last)(r)
		})
		client := newClient(t, d, authpipe.Options{})
		var ids []int64
		failed := 0
		for event, err := range client.Events(t.Context(), 0) {
			if err != nil {
				failed++
				if !errors.Is(err, authpipe.ErrUnavailable) || event != (authpipe.Event{}) {
					t.Errorf("got %+v, %v", event, err)
				}
				continue
			}
			if ids = append(ids, event.ID); event.ID == 5 {
				break
			}
		}
		if len(ids) != 5 || failed < 3 || failed > 15 {
			t.Errorf("got %v, and %d failures within a minute", ids, failed)
		}
	})
}

func TestEventsEndWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		last := 0
		d.intercept(happening(d, &last))
		client := newClient(t, d, authpipe.Options{})
		var ended []error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, err := range client.Events(t.Context(), 0) {
				ended = append(ended, err)
			}
		}()
		synctest.Wait()
		client.Close()
		<-done
		if len(ended) != 1 || !errors.Is(ended[0], authpipe.ErrClosed) {
			t.Errorf("got %v", ended)
		}
	})
}

func TestTokenSourceEndsWithItsContext(t *testing.T) {
	d := newDouble(time.Now)
	d.put(bobs, stored{token: "one"})
	ctx, cancel := context.WithCancel(t.Context())
	source := newClient(t, d, authpipe.Options{}).TokenSource(ctx, bob())
	if _, err := source.Token(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := source.Token(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTokenSourceReturnsReplacedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: time.Now().Add(time.Hour), ttl: 30 * time.Minute})
		client := newClient(t, d, authpipe.Options{})
		source := client.TokenSource(t.Context(), bob())
		token, err := source.Token()
		if err != nil || token.AccessToken != "one" || token.Type() != "Bearer" || token.Expiry.After(time.Now().Add(time.Minute)) || !token.Valid() {
			t.Fatalf("got %+v, %v", token, err)
		}
		time.Sleep(time.Hour - 30*time.Second)
		if token, err = source.Token(); err != nil || token.Expiry.After(time.Now().Add(30*time.Second)) {
			t.Errorf("half a minute before its end: %+v, %v", token, err)
		}
		d.put(bobs, stored{refusal: "needs_reauth: it is dead"})
		time.Sleep(time.Minute)
		if _, err = source.Token(); !errors.Is(err, authpipe.ErrNeedsReauth) {
			t.Errorf("once dead: %v", err)
		}
		if _, err = client.TokenSource(t.Context(), authpipe.Request{Tenant: "t", Provider: "stripe", Static: "key"}).Token(); err == nil {
			t.Error("a static credential has a token")
		}
	})
}
