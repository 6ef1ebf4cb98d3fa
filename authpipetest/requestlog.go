package authpipetest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

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

// Requests returns the log so far, in the order in which the requests arrived: the newest of them, if there is an
// [Options].LogLimit.
func (f *Facebook) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := make([]Request, 0, len(f.books.log))
	for _, r := range f.books.log {
		log = append(log, *r)
	}
	if n := len(log) - f.options().LogLimit; n > 0 && f.options().LogLimit > 0 {
		log = log[n:]
	}
	return log
}

// Count tells how many requests an endpoint has had, answered or not, entries of batches among them. An empty name counts
// what came over the wire: a batch is one. Requests that the log has forgotten are counted all the same.
func (f *Facebook) Count(endpoint string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.books.count(endpoint)
}

func (b *books) count(endpoint string) int { return b.counts[endpoint] }

// AwaitCount returns when an endpoint has had n requests, answered or not: what a test waits for before it goes on beside
// a request that a [Fault] holds. A request that a Fault strikes after its effect counts when it has taken effect. An error is
// returned if ctx ends first.
func (f *Facebook) AwaitCount(ctx context.Context, endpoint string, n int) error {
	for {
		f.mu.Lock()
		have, arrival := f.books.count(endpoint)-f.books.pending[endpoint], f.books.arrival
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

// arrive puts a request on the log and finds the fault that strikes it.
func (f *Facebook) arrive(c *call) *armedFault {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.entry = &Request{
		Time: f.options().Now(), Endpoint: c.route.endpoint, Method: c.request.Method, Path: c.request.URL.Path,
		Query: c.query, Form: c.form, Header: c.request.Header.Clone(), Batched: c.batched,
	}
	f.books.note(c.entry, f.options().LogLimit)
	fault := f.books.take(c.route.endpoint)
	if fault != nil && fault.holds() {
		f.books.held[c.route.endpoint]++
	}
	if fault != nil && fault.AfterEffect {
		f.books.await(c.entry, 1)
	}
	f.books.announce()
	return fault
}

// took notes that a request whose answer a fault holds has taken effect.
func (f *Facebook) took(c *call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.books.await(c.entry, -1)
	f.books.announce()
}

// await adds to the number of requests that have arrived and will take effect.
func (b *books) await(r *Request, n int) {
	b.pending[r.Endpoint] += n
	if !r.Batched {
		b.pending[""] += n
	}
}

// announce wakes the callers of [Facebook.AwaitCount].
func (b *books) announce() {
	close(b.arrival)
	b.arrival = make(chan struct{})
}

// note counts a request and puts it on the log. What is beyond the limit goes in one piece now and then, so that a long log
// is not moved at each request.
func (b *books) note(r *Request, limit int) {
	b.counts[r.Endpoint]++
	if !r.Batched {
		b.counts[""]++
	}
	if limit > 0 && len(b.log) >= 2*limit {
		b.log = append(b.log[:0:0], b.log[limit:]...)
	}
	b.log = append(b.log, r)
}

func (f *Facebook) noteServed(c *call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.entry.Served = true
}

func (f *Facebook) settle(c *call, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.entry.Status = status
}
