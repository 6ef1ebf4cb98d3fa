package authpipetest

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
)

// Facebook is a simulated Facebook. One [http.Handler] serves both www.facebook.com, as far as its login dialog goes,
// and graph.facebook.com. It is safe for concurrent use. Make one with [NewFacebook]; the zero value does not work.
type Facebook struct {
	mu sync.Mutex // guards the state of all subjects

	// Each subject has its own state and file, and uses only those above it.
	settings      *settings      // options.go: options in force, clock, API versions
	directory     *directory     // directory.go: apps, people, pages, businesses
	notifications *notifications // notification.go: what apps receive from Facebook
	grants        *grants        // grant.go: permissions that people and businesses gave to apps
	tokens        *tokens        // token.go
	throttles     *throttles     // throttle.go
	faults        *faults        // fault.go
	behaviors     *behaviors     // fault.go
	log           *requestLog    // server.go
	endpoints     endpoints      // route.go: the handlers of requests
	server        *server        // server.go: from a request to its response
}

// NewFacebook returns a Facebook without apps, people and pages.
func NewFacebook(o Options) *Facebook {
	f := &Facebook{settings: newSettings(o), log: newRequestLog()}
	f.directory = newDirectory(f.settings)
	f.notifications = newNotifications(&f.mu, f.settings, f.directory)
	f.grants = newGrants(f.settings, f.directory, f.notifications)
	f.tokens = newTokens(f.settings, f.directory)
	f.throttles = &throttles{settings: f.settings}
	f.faults = newFaults(&f.mu)
	f.behaviors = newBehaviors(&f.mu, f.settings, f.faults)
	f.endpoints = newEndpoints(f)
	f.server = newServer(f)
	return f
}

// Start serves f on a free port of 127.0.0.1 until the test ends. It returns the base URL of the dialog and the Graph
// API. A request that a [Fault] still holds when the test ends is released.
func (f *Facebook) Start(tb testing.TB) (baseURL string) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewUnstartedServer(f)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	tb.Cleanup(func() {
		cancel() // before Close, which waits for open requests
		server.Close()
	})
	return server.URL
}

// ServeHTTP answers as Facebook: each path may be preceded by a version, such as /v26.0.
func (f *Facebook) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.server.ServeHTTP(w, r) }

// Transport returns a transport through which f answers in memory, whatever host a request is for. Use it where a test
// makes so many calls that sockets would take most of the time. A [Fault] that breaks the connection, or cuts the
// response short, arrives as the error that a socket would have given.
func (f *Facebook) Transport() http.RoundTripper { return transport{f.server} }

type transport struct{ server *server }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	request := r.Clone(r.Context())
	request.Host = cmp.Or(r.Host, r.URL.Host)
	page := httptest.NewRecorder()
	broken := t.server.serveInMemory(page, request)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if broken != nil && !page.Flushed {
		return nil, syscall.ECONNRESET
	}
	answer := page.Result()
	answer.Request = r
	if broken != nil {
		answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(page.Body.Bytes()), cut{}))
	}
	return answer, nil
}

// cut ends a response that was not sent completely.
type cut struct{}

// Read implements [io.Reader].
func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
