package authpipetest

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
)

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
