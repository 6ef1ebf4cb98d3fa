package authpipe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
)

// If a peer breaks HTTP's framing, error texts quote its bytes: net/http quotes a status line, a header line or a GOAWAY frame that it
// cannot read, and encoding/json quotes a time. Those bytes may be a credential. So no error of this package has the text of such an
// error, or the error itself as its cause.

// describe says why a request failed, in words that do not depend on the peer, and returns the cause that may be kept: an error with a
// fixed text, or nil.
func describe(err error) (why string, kept error) {
	var (
		timeout net.Error
		dns     *net.DNSError
		invalid *tls.CertificateVerificationError
		noTLS   tls.RecordHeaderError
		errno   syscall.Errno
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "the request was cancelled", context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "the request took too long", context.DeadlineExceeded
	case errors.As(err, &dns):
		return "its host name cannot be resolved", nil
	case errors.As(err, &invalid):
		return "its certificate is not valid here", nil
	case errors.As(err, &noTLS):
		return "it does not speak TLS; check the URL's scheme", nil
	case errors.As(err, &errno):
		return errno.Error(), errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed", io.ErrUnexpectedEOF
	}
	return "the response is not valid HTTP", nil
}

// A quietError replaces an error whose text may quote a peer. errors.Is finds the original, which is never printed.
type quietError struct {
	why string
	err error
}

// Error implements error.
func (e *quietError) Error() string { return e.why }

// GoString implements [fmt.GoStringer].
func (e *quietError) GoString() string { return e.why }

// Is reports whether the original is target.
func (e *quietError) Is(target error) bool { return errors.Is(e.err, target) }

// quiet returns an error of a request to the Graph API in a form that can be printed. Errors of the network are returned unchanged.
func quiet(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	var invalid *tls.CertificateVerificationError
	why, kept := describe(err)
	switch {
	case kept == context.Canceled, kept == context.DeadlineExceeded:
		return kept
	case errors.As(err, &op):
		return op
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &invalid):
		return invalid
	}
	return &quietError{why, err}
}

// A quietBody is the body of a response, with errors that can be printed: they may quote the trailer.
type quietBody struct{ io.ReadCloser }

// Read implements [io.Reader].
func (b quietBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = quiet(err)
	}
	return n, err
}
