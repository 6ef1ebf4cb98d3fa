package provider

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// maxBody is how much of an answer is read: none that the engine understands
// is longer.
const maxBody = 1 << 20

// HTTPClient returns what a dialect makes its calls with: it follows no redirect, and
// an answer's body ends in an error after 1 MiB.
func HTTPClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: bounded{transport},
		// A redirect would carry a secret to an address outside the configuration.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Unreachable says why there was no answer, in words of its own: an error of
// the transport may show the URL or, of a peer that speaks no HTTP, what was
// sent to it.
func Unreachable(op string, err error) *Error {
	e := &Error{Class: Transient, Op: op, Message: "the provider could not be reached"}
	var (
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.Is(err, errTooLong):
		e.Message = "the answer is longer than 1 MiB"
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		e.Message = "the provider did not answer within " + CallTimeout.String()
	case errors.Is(err, context.Canceled):
		e.Message = "the call was given up"
	case errors.As(err, &dns):
		e.Message += ": its host name is not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Message += ": the connection was refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Message += ": the connection broke"
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		e.Message += ": its certificate is not good"
	}
	return e
}

var errTooLong = errors.New("answer too long")

// bounded is a transport whose answers end in an error after maxBody bytes.
type bounded struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{resp.Body, maxBody}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// maxText is how much of a server's text is kept, in bytes.
const maxText = 300

// Text makes a server's text fit to show: one line, not long, and without the secrets
// of the call that it answers or what matches pattern (nil: none).
func Text(s string, pattern *regexp.Regexp, secrets ...oauth.Secret) string {
	s = strings.Map(func(r rune) rune {
		if oauth.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(oauth.Hide(s, pattern, secrets...), "?"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
