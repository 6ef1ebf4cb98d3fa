package authpipetest

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is trouble on demand, for [Facebook.Fail]. The simulator first waits (Delay, Hang), then breaks (Reset) or answers
// (Error, Body or Status), perhaps by half (Truncate). A Fault that only waits lets the call through afterwards.
type Fault struct {
	Endpoint string // one of the Endpoint names; empty: any
	Times    int    // how many requests it strikes; zero: all, until it is cleared

	// AfterEffect has the call take effect first, so that only its answer is lost: the code is spent, the post published.
	AfterEffect bool

	Delay time.Duration // in real time
	// Hang holds the request until its client goes away, the server closes, or the fault is cleared. Once cleared it goes on as
	// after a Delay. [Facebook.AwaitCount] tells when it has been reached, [Facebook.Held] whether its client still waits.
	Hang bool

	Reset bool // ends the connection without an answer
	// Truncate cuts the connection in the middle of the answer's body, be it the fault's or the call's own.
	Truncate bool

	Status int         // zero: 400 with an Error, 200 with a Body
	Error  *GraphError // an empty Type is OAuthException
	Header http.Header // added to the answer
	Body   string      // instead of an Error, as it is
	// ContentType is the Body's. Zero: application/json if it begins like an object, text/html otherwise.
	ContentType string
}

// armedFault is a Fault in force.
type armedFault struct {
	Fault
	left    int // strikes that are left; meaningless if Times is zero
	cleared chan struct{}
}

// Fail arms a fault. Of several that fit a request, the one armed first strikes. Calling clear disarms it, and lets go what
// it holds; it may be called more than once.
func (f *Facebook) Fail(fault Fault) (clear func()) {
	armed := &armedFault{Fault: fault, left: fault.Times, cleared: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.books.faults = append(f.books.faults, armed)
	return func() { f.disarm(armed) }
}

func (f *Facebook) disarm(armed *armedFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-armed.cleared:
	default:
		close(armed.cleared)
		f.books.faults = slices.DeleteFunc(f.books.faults, func(a *armedFault) bool { return a == armed })
	}
}

// take finds the fault that strikes a request, if any. A fault that has struck its times stays on the list, so that clear
// can still let go what it holds.
func (b *books) take(endpoint string) *armedFault {
	for _, a := range b.faults {
		if (a.Endpoint == "" || a.Endpoint == endpoint) && (a.Times == 0 || a.left > 0) {
			a.left--
			return a
		}
	}
	return nil
}

// strike is the fault's course. done is the answer of a call that has taken effect already, or nil.
func (f *Facebook) strike(w http.ResponseWriter, c *call, fault *armedFault, done *answer) {
	waited := fault.wait(c.request.Context())
	f.letGo(c, fault)
	if !waited {
		panic(http.ErrAbortHandler) // nobody is there to be answered
	}
	var a answer
	switch {
	case fault.Reset:
		reset(w)
		return
	case fault.answers():
		a = f.faultAnswer(c, fault)
	case done != nil:
		a = *done
	default:
		a = f.answer(c)
	}
	if fault.Truncate {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
		a.body = a.body[:len(a.body)/2]
	}
	f.send(w, c, a)
	if fault.Truncate {
		_ = http.NewResponseController(w).Flush() // or nothing at all might leave
		panic(http.ErrAbortHandler)               // net/http would keep the connection, and the client wait for the rest
	}
}

// holds reports whether the fault has requests wait.
func (a *armedFault) holds() bool { return a.Hang || a.Delay > 0 }

// letGo notes that the fault does not hold the request any more.
func (f *Facebook) letGo(c *call, fault *armedFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault.holds() {
		f.books.held[c.route.endpoint]--
	}
}

// Held tells how many requests of an endpoint a [Fault] holds at this moment, by a Delay or a Hang: their clients still wait for
// an answer. What [Facebook.AwaitCount] has awaited is among them until it is let go.
func (f *Facebook) Held(endpoint string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.books.held[endpoint]
}

// wait tells whether the client is still there.
func (a *armedFault) wait(ctx context.Context) bool {
	delay := time.NewTimer(a.Delay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
		return false
	}
	if !a.Hang {
		return true
	}
	select {
	case <-a.cleared:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *armedFault) answers() bool { return a.Status != 0 || a.Error != nil || a.Body != "" }

func (f *Facebook) faultAnswer(c *call, fault *armedFault) answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := answer{status: cmp.Or(fault.Status, http.StatusOK), header: f.graphHeader(c), body: []byte(fault.Body)}
	if fault.Error != nil {
		wanted := *fault.Error
		wanted.Type = cmp.Or(wanted.Type, "OAuthException")
		refused := flawed(&wanted)
		if wanted.Code != codeToken {
			refused.challenge = "invalid_request"
		}
		refused.status = cmp.Or(fault.Status, refused.status)
		a = f.graphAnswer(c, nil, refused)
	} else {
		a.header.Set("Content-Type", cmp.Or(fault.ContentType, guessType(fault.Body)))
	}
	for name, values := range fault.Header {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	return a
}

func guessType(body string) string {
	if strings.HasPrefix(body, "{") {
		return "application/json; charset=UTF-8"
	}
	return "text/html; charset=utf-8"
}

// reset ends the connection so that the client sees a reset and no orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
