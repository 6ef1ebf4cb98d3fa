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

// server takes a request from its arrival to its answer: it reads it, finds its endpoint, logs it, and lets faults break it.
type server struct {
	*settings
	mu     *sync.Mutex
	graph  *graph
	faults *faults
	log    *requestLog

	routes              []route
	batch, ids, unknown func(*call) answer // what is found by more than its path
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
		s.strike(w, c, fault, nil)
		return
	}
	done := s.answer(c)
	s.tookEffect(c)
	s.strike(w, c, fault, &done)
}

// serveInMemory serves one request without a network. A Fault that breaks the connection arrives as a panic of net/http's.
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

// arrive puts a request on the log and finds the fault that strikes it.
func (s *server) arrive(c *call) *armedFault {
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

// tookEffect notes that a request whose answer a fault holds has taken effect.
func (s *server) tookEffect(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.expect(c.entry, -1)
	s.log.announce()
}

// answer does what the call asks for.
func (s *server) answer(c *call) answer {
	defer s.noteServed(c)
	switch c.route.endpoint { // what makes requests of its own runs without the lock
	case EndpointBatch, EndpointSubscribe:
		return c.route.serve(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.route.serve(c)
}

func (s *server) noteServed(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.Served = true
}

// send notes the status before it writes, so that whoever has the answer finds it in the log.
func (s *server) send(w http.ResponseWriter, c *call, a answer) {
	s.mu.Lock()
	c.entry.Status = a.status
	s.mu.Unlock()
	a.write(w)
}

// strike is the fault's course. done is the answer of a call that has taken effect already, or nil.
func (s *server) strike(w http.ResponseWriter, c *call, fault *armedFault, done *answer) {
	waited := fault.wait(c.request.Context())
	s.faults.release(c.route.endpoint, fault)
	if !waited {
		panic(http.ErrAbortHandler) // nobody is there to be answered
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
		_ = http.NewResponseController(w).Flush() // or nothing at all might leave
		panic(http.ErrAbortHandler)               // net/http would keep the connection, and the client wait for the rest
	}
}

// Request is an entry of the request log. It has everything in the clear, secrets and tokens too.
type Request struct {
	Time     time.Time // by the simulator's clock
	Endpoint string    // one of the Endpoint names
	Method   string
	Path     string
	Query    url.Values
	Form     url.Values // the body's parameters; a JSON object's too
	Header   http.Header
	Batched  bool // an entry of a batch; the batch itself stands before it
	Served   bool // Facebook has done what it asks for, or refused to; an answer that a Fault makes up serves nobody
	// Discontinued names what of the request Meta refuses to new apps, such as "HTTP method override". Empty: nothing.
	Discontinued string
	Status       int // zero while it is unanswered, and for good if a Fault broke it
}

// requestLog has the requests so far and counts them.
type requestLog struct {
	requests []*Request
	counts   map[string]int // by endpoint; "" for those that came over the wire
	pending  map[string]int // of those, the ones that will take effect before a fault holds their answer
	arrival  chan struct{}  // closed and made anew when a request arrives, or takes effect
}

func newRequestLog() *requestLog {
	return &requestLog{counts: map[string]int{}, pending: map[string]int{}, arrival: make(chan struct{})}
}

// Requests returns the log so far, in the order in which the requests arrived: the newest of them, if there is an
// [Options].LogLimit.
func (f *Facebook) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.newest(f.settings.options().LogLimit)
}

// Count tells how many requests an endpoint has had, answered or not, entries of batches among them. An empty name counts
// what came over the wire: a batch is one. Requests that the log has forgotten are counted all the same.
func (f *Facebook) Count(endpoint string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.counts[endpoint]
}

// AwaitCount returns when an endpoint has had n requests, answered or not: what a test waits for before it goes on beside
// a request that a [Fault] holds. A request that a Fault strikes after its effect counts when it has taken effect. An error is
// returned if ctx ends first.
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

// add counts a request and puts it on the log. What is beyond the limit goes in one piece now and then, so that a long log
// is not moved at each request.
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

// expect adds to the number of requests that have arrived and will take effect.
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
