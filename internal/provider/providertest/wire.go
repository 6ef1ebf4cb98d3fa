package providertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Wire carries a dialect's requests to its server, or answers them with a fault.
type Wire struct {
	mu       sync.Mutex
	server   http.RoundTripper
	fault    Fault
	requests []sent
}

// sent is what is remembered of a request.
type sent struct {
	deadline time.Time
}

// A Fault answers a request in place of the server.
type Fault func(r *http.Request, server http.RoundTripper) (*http.Response, error)

// Connect says where requests go.
func (w *Wire) Connect(server http.RoundTripper) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.server = server
}

// Inject has fault answer every request from now on. Nil: the server does.
func (w *Wire) Inject(fault Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

// Requests returns how many requests were sent.
func (w *Wire) Requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.requests)
}

func (w *Wire) sent() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]sent{}, w.requests...)
}

// RoundTrip implements [http.RoundTripper].
func (w *Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	deadline, _ := r.Context().Deadline()
	w.mu.Lock()
	w.requests = append(w.requests, sent{deadline})
	fault, server := w.fault, w.server
	w.mu.Unlock()
	if fault != nil {
		return fault(r, server)
	}
	return server.RoundTrip(r)
}

// answered is the fault of an answer that is not the server's.
func answered(status int, contentType, body string) Fault {
	return func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return response(r, status, contentType, io.NopCloser(strings.NewReader(body))), nil
	}
}

func response(r *http.Request, status int, contentType string, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status: fmt.Sprint(status, " ", http.StatusText(status)), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {contentType}}, Body: body, ContentLength: -1, Request: r,
	}
}

// unanswered is the fault of a request that has no answer.
func unanswered(err error) Fault {
	return func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, err }
}

// lost is the fault of an answer that is lost: the server has done what was asked.
func lost(r *http.Request, server http.RoundTripper) (*http.Response, error) {
	resp, err := server.RoundTrip(r)
	if err == nil {
		resp.Body.Close()
	}
	return nil, io.ErrUnexpectedEOF
}

// broken ends the connection in the middle of an answer's body.
func broken(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
	return response(r, http.StatusOK, "application/json", io.NopCloser(io.MultiReader(strings.NewReader(`{"access_token":"a`), failing{}))), nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// request returns what of the request a server could show: its URL, its bearer and its body.
func request(r *http.Request) string {
	shown := r.URL.String()
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		shown += " " + bearer
	}
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body) // it is a string's
		shown += " " + string(body)
	}
	return shown
}

// gossip is the fault of a transport whose error shows what was sent.
func gossip(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
	return nil, errors.New(request(r))
}

const html = "text/html; charset=utf-8"

// troubles are what happens on the way to a server and says nothing of a token, a code or a
// client. A call that only wants a status may take the first kind for success.
func troubles() (ofBodies, others map[string]Fault) {
	const page = "<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>"
	const json = "application/json"
	return map[string]Fault{
			"a page of HTML":    answered(http.StatusOK, html, page),
			"an empty body":     answered(http.StatusOK, json, ""),
			"half of an object": answered(http.StatusOK, json, `{"access_token":"a`),
			"an empty object":   answered(http.StatusOK, json, `{}`),
			"an empty list":     answered(http.StatusOK, json, `[]`),
			"null":              answered(http.StatusOK, json, `null`),
			"a string":          answered(http.StatusOK, json, `"ok"`),
			"numbers for text":  answered(http.StatusOK, json, `{"access_token":1,"active":2,"data":3,"error":4}`),
			"too long a body":   answered(http.StatusOK, json, strings.Repeat(" ", 2<<20)+`{}`),
			"a broken body":     broken,
		}, map[string]Fault{
			"a page of a gateway":       answered(http.StatusBadGateway, html, page),
			"an error of the server":    answered(http.StatusInternalServerError, "text/plain", "panic"),
			"unavailable":               answered(http.StatusServiceUnavailable, html, ""),
			"a page of a firewall":      answered(http.StatusForbidden, html, page),
			"a page that is not found":  answered(http.StatusNotFound, html, page),
			"a redirect":                answered(http.StatusFound, html, page),
			"a refused connection":      unanswered(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
			"a broken connection":       unanswered(io.ErrUnexpectedEOF),
			"a reset connection":        unanswered(&net.OpError{Op: "read", Err: syscall.ECONNRESET}),
			"an unknown host":           unanswered(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "server.example.com", IsNotFound: true}}),
			"a time-out":                unanswered(context.DeadlineExceeded),
			"an error that shows a URL": unanswered(&url.Error{Op: "Post", URL: "https://server.example.com/?x", Err: errors.New("bad")}),
			"an error that shows all":   gossip,
		}
}
