package enginetest

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// A Facebook is the one that the engine calls.
type Facebook struct {
	*authpipetest.Facebook
	URL  string
	link http.RoundTripper // to it
	t    testing.TB
}

// Throttled is a rate limit with Facebook's usage header.
func Throttled(header string) authpipetest.Fault {
	return authpipetest.Fault{
		Error:  &authpipetest.GraphError{Code: 80001, Message: "There have been too many calls to this Page account."},
		Header: http.Header{"X-Business-Use-Case-Usage": {header}},
	}
}

// CallsDuring counts the calls over the wire while act runs.
func (f *Facebook) CallsDuring(act func()) int {
	before := f.Count("")
	act()
	return f.Count("") - before
}

// AwaitCalls waits until an endpoint was called n times in all. An empty name
// counts the calls over the wire.
func (f *Facebook) AwaitCalls(endpoint string, n int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), Patience)
	defer cancel()
	if err := f.AwaitCount(ctx, endpoint, n); err != nil {
		f.t.Fatal(err)
	}
}

// During starts act, waits until its call hangs at the fault's endpoint, runs
// between, and releases the call.
func (f *Facebook) During(fault authpipetest.Fault, act, between func()) {
	f.t.Helper()
	n := f.Count(fault.Endpoint)
	fault.Hang = true
	release := f.Fail(fault)
	var acting sync.WaitGroup
	acting.Go(act)
	f.AwaitCalls(fault.Endpoint, n+1)
	between()
	release()
	acting.Wait()
}

// LimitOnce has one call of the token endpoint meet a rate limit.
func (f *Facebook) LimitOnce(code int) {
	f.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Times: 1, Error: &authpipetest.GraphError{Code: code, Message: "limit reached"}})
}

// InspectAs has debug_token answer data, as JSON, to any call.
func (f *Facebook) InspectAs(data string) (clear func()) {
	return f.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":` + data + `}`})
}

// Get makes a request of the test's own and returns the status.
func (f *Facebook) Get(path string) int {
	f.t.Helper()
	resp, err := http.Get(f.URL + path)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Valid reports whether Facebook accepts the token.
func (f *Facebook) Valid(token string) bool {
	f.t.Helper()
	known, _ := f.Inspect(token)
	return known.Valid
}
