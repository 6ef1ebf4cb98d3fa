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
	"sync/atomic"
	"syscall"
	"testing"
)

// Facebook is a simulated Facebook: www.facebook.com, as far as its login dialog goes, and graph.facebook.com, both on
// one [http.Handler]. It is safe for concurrent use. Make one with [NewFacebook]; the zero value does not work.
type Facebook struct {
	made Options                 // what it was made with
	opts atomic.Pointer[Options] // what holds now; replaced, never changed

	mu    sync.Mutex
	books books
}

// books is all that the simulator remembers, under its one lock.
type books struct {
	apps   map[string]*App
	users  map[string]*User
	people []string // ids of users, in the order in which they came
	pages  map[string]*Page

	businesses     map[string]*Business
	configurations map[string]*Configuration
	systemUsers    map[string]*SystemUser
	uninstalls     map[grantKey]int // by app and business: how often it took the app away

	grants     map[grantKey]*grant
	codes      map[string]*code
	tokens     map[string]*token
	pageTokens map[pageTokenKey]string // the page token that was made of a user token
	posts      map[string][]Post       // by page
	published  map[string]int          // by page: how many there ever were

	subscriptions map[subscriptionKey]*Subscription
	events        []event // that the apps are to be told
	delivered     []event // that they were told

	devices      []*deviceLogin
	faults       []*armedFault
	throttles    []*armedThrottle
	log          []*Request
	counts       map[string]int           // of requests, by endpoint; "" for those that came over the wire
	unextendable map[grantKey]*GraphError // what exchanges of a person's tokens are refused with
	pending      map[string]int           // of those, the ones that will take effect before a fault holds their answer
	held         map[string]int           // of those, the ones that a fault holds
	behaviors    map[string][]func()      // what clears the faults of each that is in force
	arrival      chan struct{}            // closed and made anew when a request arrives, or takes effect
}

// NewFacebook returns a Facebook where nobody has an account yet.
func NewFacebook(o Options) *Facebook {
	f := &Facebook{books: books{
		apps:       map[string]*App{},
		users:      map[string]*User{},
		pages:      map[string]*Page{},
		businesses: map[string]*Business{}, configurations: map[string]*Configuration{}, systemUsers: map[string]*SystemUser{}, uninstalls: map[grantKey]int{},
		subscriptions: map[subscriptionKey]*Subscription{},
		grants:        map[grantKey]*grant{},
		codes:         map[string]*code{},
		tokens:        map[string]*token{},
		pageTokens:    map[pageTokenKey]string{},
		posts:         map[string][]Post{},
		published:     map[string]int{},
		counts:        map[string]int{},
		pending:       map[string]int{},
		unextendable:  map[grantKey]*GraphError{},
		held:          map[string]int{},
		arrival:       make(chan struct{}),
		behaviors:     map[string][]func(){},
	}}
	f.made = o.withDefaults()
	f.chooseOptions()
	return f
}

// options are those that hold now: behaviors change them.
func (f *Facebook) options() *Options { return f.opts.Load() }

// Start serves f on a free port of 127.0.0.1 until the test ends, and returns the base URL: dialog and Graph API are both
// below it. A request that a [Fault] still holds when the test ends is let go.
func (f *Facebook) Start(tb testing.TB) (baseURL string) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewUnstartedServer(f)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	tb.Cleanup(func() {
		cancel() // before Close, which waits for the requests that are being answered
		server.Close()
	})
	return server.URL
}

// ServeHTTP answers as Facebook: each path may be preceded by a version, such as /v26.0.
func (f *Facebook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := f.receive(r)
	fault := f.arrive(c)
	if fault == nil {
		f.send(w, c, f.answer(c))
		return
	}
	if !fault.AfterEffect {
		f.strike(w, c, fault, nil)
		return
	}
	done := f.answer(c)
	f.took(c)
	f.strike(w, c, fault, &done)
}

// answer does what the call asks for.
func (f *Facebook) answer(c *call) answer {
	defer f.noteServed(c)
	switch c.route.endpoint { // what makes requests of its own runs without the lock
	case EndpointBatch:
		return f.batch(c)
	case EndpointSubscribe:
		return f.subscribe(c)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.route.serve(f, c)
}

// send notes the status before it writes, so that whoever has the answer finds it in the log.
func (f *Facebook) send(w http.ResponseWriter, c *call, a answer) {
	f.settle(c, a.status)
	a.write(w)
}

// Transport returns a transport that has f answer in memory, whatever host a request is for: for runs of so many calls that
// sockets would be what takes the time. A [Fault] that breaks the connection, or cuts the answer short, arrives as the error
// that a socket would have given.
func (f *Facebook) Transport() http.RoundTripper { return transport{f} }

type transport struct{ f *Facebook }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	request := r.Clone(r.Context())
	request.Host = cmp.Or(r.Host, r.URL.Host)
	page := httptest.NewRecorder()
	broken := t.f.browse(page, request)
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

// cut is where an answer ends that was not sent to its end.
type cut struct{}

// Read implements [io.Reader].
func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
