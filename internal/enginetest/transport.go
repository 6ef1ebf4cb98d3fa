package enginetest

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// panics is a transport that panics where a request asks for it. It holds each
// call to the time that it may take.
type panics struct {
	http.RoundTripper
	t    testing.TB
	ends *sync.Map // when each call must be over
}

func (p panics) RoundTrip(r *http.Request) (*http.Response, error) {
	if end, ok := r.Context().Deadline(); !ok || time.Until(end) > 10*time.Second {
		p.t.Errorf("a call to %s may take until %v", r.URL.Path, end)
	} else {
		p.ends.Store(end, true)
	}
	if strings.Contains(r.URL.Path, "v99.9") {
		panic("an unexpected answer")
	}
	return p.RoundTripper.RoundTrip(r)
}

// Unhurried is a transport whose calls do not end at their context's deadline. The
// simulated Facebook answers at once, or when the test says so: a call is late only
// because the machine stood still.
type Unhurried struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (u Unhurried) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	context.AfterFunc(r.Context(), func() {
		if r.Context().Err() != context.DeadlineExceeded {
			cancel()
		}
	})
	return u.RoundTripper.RoundTrip(r.WithContext(ctx))
}
