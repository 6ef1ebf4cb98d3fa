package authpipetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// server serves requests: it reads a request, finds its endpoint, logs it, and applies a [Fault] if one is active.
type server struct {
	*settings
	mu     *sync.Mutex
	graph  *graph
	faults *faults
	log    *requestLog

	routes              []route
	batch, ids, unknown func(*call) answer // not found by method and path alone
}

func newServer(f *Facebook) *server {
	e := f.endpoints
	s := &server{settings: f.settings, mu: &f.mu, graph: e.graph, faults: f.faults, log: f.log, routes: e.routes()}
	s.batch = (&batches{settings: f.settings, mu: &f.mu, graph: e.graph, send: s.serveInMemory}).serve
	s.ids, s.unknown = e.graph.endpoint(e.nodes.multiple), e.graph.endpoint(e.graph.unknown)
	return s
}

// ServeHTTP implements [http.Handler].
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := readCall(r, s.options().OldApps)
	c.route = s.findRoute(c)
	fault := s.arrive(c)
	if fault == nil {
		s.send(w, c, s.answer(c))
		return
	}
	if !fault.AfterEffect {
		s.fail(w, c, fault, nil)
		return
	}
	done := s.answer(c)
	s.tookEffect(c)
	s.fail(w, c, fault, &done)
}

// serveInMemory serves one request without a network. net/http's panic, by which a Fault breaks the connection, becomes
// an error.
func (s *server) serveInMemory(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch broken := recover(); broken {
		case nil:
		case http.ErrAbortHandler:
			err = errors.New("opening the dialog: the connection was reset")
		default:
			panic(broken)
		}
	}()
	s.ServeHTTP(w, r)
	return nil
}

// arrive logs a request and returns the fault that applies to it, or nil.
func (s *server) arrive(c *call) *activeFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry = &Request{
		Time: s.options().Now(), Endpoint: c.route.endpoint, Method: c.request.Method, Path: c.request.URL.Path,
		Query: c.query, Form: c.form, Header: c.request.Header.Clone(), Batched: c.batched,
	}
	s.log.add(c.entry, s.options().LogLimit)
	fault := s.faults.take(c.route.endpoint)
	if fault != nil && fault.AfterEffect {
		s.log.expect(c.entry, 1)
	}
	s.log.announce()
	return fault
}

// tookEffect records that a request has taken effect whose response a fault holds.
func (s *server) tookEffect(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.expect(c.entry, -1)
	s.log.announce()
}

// answer calls the endpoint.
func (s *server) answer(c *call) answer {
	defer s.markServed(c)
	switch c.route.endpoint { // both make requests of their own, so they run without the lock
	case EndpointBatch, EndpointSubscribe:
		return c.route.serve(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.route.serve(c)
}

func (s *server) markServed(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.Served = true
}

// send logs the status before it writes the response, so that the log is complete when the client has the response.
func (s *server) send(w http.ResponseWriter, c *call, a answer) {
	s.mu.Lock()
	c.entry.Status = a.status
	s.mu.Unlock()
	a.write(w)
}

// fail applies the fault. done is the answer of a call that has already taken effect, or nil.
func (s *server) fail(w http.ResponseWriter, c *call, fault *activeFault, done *answer) {
	waited := fault.wait(c.request.Context())
	s.faults.release(c.route.endpoint, fault)
	if !waited {
		panic(http.ErrAbortHandler) // the client has gone
	}
	var a answer
	switch {
	case fault.Reset:
		reset(w)
		return
	case fault.answers():
		s.mu.Lock()
		a = fault.answer(c, s.graph)
		s.mu.Unlock()
	case done != nil:
		a = *done
	default:
		a = s.answer(c)
	}
	if fault.Truncate {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
		a.body = a.body[:len(a.body)/2]
	}
	s.send(w, c, a)
	if fault.Truncate {
		_ = http.NewResponseController(w).Flush() // otherwise nothing might be sent
		panic(http.ErrAbortHandler)               // otherwise net/http keeps the connection open, and the client waits for the rest
	}
}

// Request is an entry of the request log. Nothing is masked in it, not even secrets and tokens.
type Request struct {
	Time     time.Time // by the simulator's clock
	Endpoint string    // one of the Endpoint names
	Method   string
	Path     string
	Query    url.Values
	Form     url.Values // parameters of the body, also of a JSON body
	Header   http.Header
	Batched  bool // an entry of a batch; the batch itself precedes it in the log
	Served   bool // an endpoint answered it, not only a Fault
	// Discontinued names the feature in the request that Meta refuses to new apps, such as "HTTP method override".
	// Empty: none.
	Discontinued string
	Status       int // zero until the response, and also if a Fault broke the connection
}

// requestLog records and counts requests.
type requestLog struct {
	requests []*Request
	counts   map[string]int // by endpoint; "" counts all but entries of batches
	pending  map[string]int // the part of counts that has yet to take effect before a fault holds the response
	arrival  chan struct{}  // closed and replaced when a request arrives or takes effect
}

func newRequestLog() *requestLog {
	return &requestLog{counts: map[string]int{}, pending: map[string]int{}, arrival: make(chan struct{})}
}

// Requests returns the log so far, in the order of arrival. If [Options].LogLimit is set, it has only the newest
// requests.
func (f *Facebook) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.newest(f.settings.options().LogLimit)
}

// Count returns how many requests an endpoint has received, answered or not, including entries of batches. An empty
// name counts HTTP requests: a batch is one. Requests that LogLimit removed from the log still count.
func (f *Facebook) Count(endpoint string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.counts[endpoint]
}

// AwaitCount returns when an endpoint has received n requests, answered or not. A test calls it to go on while a
// [Fault] holds a request. A request to which a Fault with AfterEffect applies counts when it has taken effect.
// AwaitCount returns an error if ctx ends first.
func (f *Facebook) AwaitCount(ctx context.Context, endpoint string, n int) error {
	for {
		f.mu.Lock()
		have, arrival := f.log.counts[endpoint]-f.log.pending[endpoint], f.log.arrival
		f.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-arrival:
		case <-ctx.Done():
			return fmt.Errorf("awaiting request %d of %q: %d so far: %w", n, endpoint, have, ctx.Err())
		}
	}
}

// newest returns copies of the last requests: limit of them, or all if limit is zero.
func (l *requestLog) newest(limit int) []Request {
	log := make([]Request, 0, len(l.requests))
	for _, r := range l.requests {
		log = append(log, *r)
	}
	if n := len(log) - limit; n > 0 && limit > 0 {
		log = log[n:]
	}
	return log
}

// add counts and logs a request. The log shrinks to limit only when it is twice as long, so that it is not copied at
// each request.
func (l *requestLog) add(r *Request, limit int) {
	l.counts[r.Endpoint]++
	if !r.Batched {
		l.counts[""]++
	}
	if limit > 0 && len(l.requests) >= 2*limit {
		l.requests = append(l.requests[:0:0], l.requests[limit:]...)
	}
	l.requests = append(l.requests, r)
}

// expect changes the number of requests that have arrived and have yet to take effect.
func (l *requestLog) expect(r *Request, n int) {
	l.pending[r.Endpoint] += n
	if !r.Batched {
		l.pending[""] += n
	}
}

// announce wakes the callers of [Facebook.AwaitCount].
func (l *requestLog) announce() {
	close(l.arrival)
	l.arrival = make(chan struct{})
}
