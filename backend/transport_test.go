package backend_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
)

// A line is a network of one server. It can be cut off so that what is sent on
// the connections that are open then is lost without an error; new
// connections work.
type line struct {
	arrivals chan net.Conn
	mu       sync.Mutex
	open     []*lineConn
}

type lineConn struct {
	net.Conn
	cut chan struct{}
}

// Dial opens a connection to the server.
func (l *line) Dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	c := &lineConn{near, make(chan struct{})}
	l.mu.Lock()
	l.open = append(l.open, c)
	l.mu.Unlock()
	l.arrivals <- far
	return c, nil
}

// cut black-holes the connections that are open.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.open {
		close(c.cut)
	}
	l.open = nil
}

// Write discards what is written after the cut.
func (c *lineConn) Write(b []byte) (int, error) {
	select {
	case <-c.cut:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

// Accept implements [net.Listener].
func (l *line) Accept() (net.Conn, error) {
	c, ok := <-l.arrivals
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close implements [net.Listener].
func (l *line) Close() error {
	close(l.arrivals)
	return nil
}

// Addr implements [net.Listener].
func (l *line) Addr() net.Addr { return &net.TCPAddr{} }

// TestBlackHoledConnectionIsReplacedWithinAMinute: an open HTTP/2 connection
// dies without a word, and new ones work (golang/go#30702, #36026).
func TestBlackHoledConnectionIsReplacedWithinAMinute(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	certificate, roots := certified.TLS.Certificates[0], certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	certified.Close()
	synctest.Test(t, func(t *testing.T) {
		l := &line{arrivals: make(chan net.Conn)}
		server := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != 2 {
					t.Errorf("the call came by %s", r.Proto)
				}
			}),
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}},
		}
		go server.ServeTLS(l, "", "")
		transport := backend.NewTransport()
		transport.DialContext = l.Dial
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: "example.com"}
		call := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://example.com/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(r)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		if err := call(); err != nil {
			t.Fatal(err)
		}
		l.cut()
		begun, failed := time.Now(), 0
		for call() != nil {
			if failed++; time.Since(begun) > 15*time.Minute {
				t.Fatal("a quarter of an hour later no call has got through")
			}
		}
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("calls failed for %v, %d of them", took, failed)
		}
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
}
