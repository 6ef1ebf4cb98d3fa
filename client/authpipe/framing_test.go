package authpipe_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

const canary = "EAAcanaryCANARYcanary"

// framings are responses that a parser of HTTP or JSON cannot read, with a credential where the parser's error quotes it.
var framings = map[string]string{
	"a body without a head":         `{"data":{"access_token":"` + canary + `"}}` + "\r\n\r\n",
	"a malformed status":            "HTTP/1.1 " + canary + " OK\r\n\r\n",
	"a malformed version":           "HTTP/" + canary + " 200 OK\r\n\r\n",
	"two lengths":                   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: " + canary + "\r\n\r\n{}",
	"an encoding beside a length":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: " + canary + "\r\n\r\n{}",
	"a header without a colon":      "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n{}",
	"a header that is a body":       "HTTP/1.1 200 OK\r\n{\"access_token\":\"" + canary + "\"}\r\n\r\n",
	"a malformed chunk length":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canary + "\r\n{}\r\n",
	"a chunk that is too long":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"" + canary + "\r\n0\r\n\r\n",
	"a malformed trailer":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{ \r\n0\r\n" + canary + "\r\n\r\n",
	"a body that is cut off":        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":{\"access_token\":\"" + canary,
	"a body longer than its length": "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"data\":{\"access_token\":\"" + canary,
	"a malformed redirect":          "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://[" + canary + "\r\nContent-Length: 0\r\n\r\n",
	"a malformed time":              whole(http.StatusOK, `{"data":{"expires_at":"`+canary+`","at":"`+canary+`","events":[{"at":"`+canary+`"}],"marked":"`+canary+`"}}`),
	"another credential":            whole(http.StatusOK, `{"data":{"tenant_id":"`+canary+`","access_token":"`+canary+`"}}`),
	"a page of a proxy":             whole(http.StatusBadGateway, `<h1>access_token=`+canary+`</h1>`),
}

func whole(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// A rawServer responds with bytes that need not be HTTP.
type rawServer struct {
	url    string
	answer atomic.Pointer[string]
}

func newRawServer(t *testing.T) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s := &rawServer{url: "http://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(conn, *s.answer.Load())
			}()
		}
	}()
	return s
}

// respond sets the server's response.
func (s *rawServer) respond(text string) { s.answer.Store(&text) }

// everything returns all that an error and its causes print in any form.
func everything(err error) string {
	var said strings.Builder
	for ; err != nil; err = errors.Unwrap(err) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
			fmt.Fprintf(&said, verb+"\n", err)
		}
		b, _ := json.Marshal(err)
		said.Write(b)
		slog.New(slog.NewJSONHandler(&said, nil)).Info("failed", "error", err)
		slog.New(slog.NewTextHandler(&said, nil)).Info("failed", "error", err)
		var answered *api.ResponseError
		if errors.As(err, &answered) {
			fmt.Fprintln(&said, answered.Errors)
		}
	}
	return said.String()
}

// A buffer is a bytes.Buffer for concurrent use.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func TestErrorsQuoteNoBytesOfThePeer(t *testing.T) {
	session := authpipe.SessionOf("a state")
	calls := map[string]func(context.Context, *authpipe.Client, *authpipe.Credential) error{
		"Credential": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			return second(c.Credential(ctx, authpipe.Request{Tenant: "org_acme", User: "ann", For: authpipe.ForUser}))
		},
		"ReportDead": func(ctx context.Context, c *authpipe.Client, known *authpipe.Credential) error {
			return second(c.ReportDead(ctx, known))
		},
		"Connect": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			return second(c.Connect(ctx, authpipe.ConnectRequest{Tenant: "org_acme", User: "bob", For: authpipe.ForUser}))
		},
		"Complete": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			return second(c.Complete(ctx, authpipe.Completion{Tenant: "org_acme", Session: session, Actor: "bob", ConnectCode: authpipe.NewSecret("x")}))
		},
		"Connection": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			return second(c.Connection(ctx, bob()))
		},
		"Session": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			return second(c.Session(ctx, "org_acme", session))
		},
		"Cancel": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			return c.Cancel(ctx, "org_acme", session)
		},
		"Notify": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			return second(c.Notify(ctx, "facebook", []byte("{}"), "sha256=0"))
		},
		"Events": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second) // a response without events is followed by a pause
			defer cancel()
			for _, err := range c.Events(ctx, 0) {
				return err
			}
			return nil
		},
		"TokenSource": func(ctx context.Context, c *authpipe.Client, _ *authpipe.Credential) error {
			return second(c.TokenSource(ctx, authpipe.Request{Tenant: "org_acme", User: "ann", For: authpipe.ForUser}).Token())
		},
	}
	logged := &buffer{}
	defer log.SetOutput(log.Writer())
	log.SetOutput(logged)
	good := whole(http.StatusOK, `{"data":{"tenant_id":"org_acme","provider":"facebook","user_id":"bob","access_token":"one"}}`)
	server := newRawServer(t)
	for framing, answer := range framings {
		t.Run(framing, func(t *testing.T) {
			server.respond(good)
			config := api.DefaultConfig()
			config.Address, config.MaxRetries = server.url, 0
			vault, err := api.NewClient(config)
			if err != nil {
				t.Fatal(err)
			}
			client := authpipe.New(vault, authpipe.Options{
				Logger: slog.New(slog.NewJSONHandler(logged, nil)), MaxAge: 10 * time.Millisecond, Timeout: vaulttest.Patience,
			})
			defer client.Close()
			known, err := client.Credential(t.Context(), bob())
			if err != nil {
				t.Fatal(err)
			}
			server.respond(answer)
			failed := 0
			for call, do := range calls {
				err := do(t.Context(), client, known)
				if err != nil {
					failed++
				}
				if said := everything(err); strings.Contains(said, canary) || strings.Contains(said, "access_token") {
					t.Errorf("%s quotes the peer: %s", call, said)
				}
			}
			if failed == 0 {
				t.Error("no call returned an error")
			}
		})
	}
	for line := range strings.Lines(logged.String()) {
		// net/http logs bytes that come after the end of a response, and has no setting against it.
		if strings.Contains(line, canary) && !strings.Contains(line, "Unsolicited response received on idle HTTP channel") {
			t.Errorf("the log quotes the peer: %s", line)
		}
	}
	if !strings.Contains(logged.String(), "failed") {
		t.Error("no failure in the background is logged")
	}
}

func TestTransportQuotesNoBytesOfThePeer(t *testing.T) {
	server := newRawServer(t)
	d := newDouble(time.Now)
	d.put(bobs, stored{token: "one"})
	graph := &http.Client{Transport: &authpipe.Transport{Client: newClient(t, d, authpipe.Options{}), Request: bob(), Origins: []string{server.url}}}
	for framing, answer := range framings {
		if framing == "a malformed redirect" {
			continue // the application's own http.Client quotes it
		}
		t.Run(framing, func(t *testing.T) {
			server.respond(answer)
			resp, err := graph.Get(server.url + "/v27.0/me/accounts")
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if said := everything(err); strings.Contains(said, canary) || strings.Contains(said, "proof") {
				t.Errorf("the error quotes the peer: %s", said)
			}
		})
	}
}

func TestTransportErrorsMatchTheirOriginal(t *testing.T) {
	sentinel := errors.New("limit reached: " + canary)
	d := newDouble(time.Now)
	d.put(bobs, stored{token: "one"})
	for what, row := range map[string]struct {
		base http.RoundTripper
		is   func(error) bool
	}{
		"of the Base": {roundTrip(func(*http.Request) (*http.Response, error) { return nil, sentinel }), func(err error) bool { return errors.Is(err, sentinel) }},
		"of the network": {nil, func(err error) bool {
			var op *net.OpError
			return errors.As(err, &op)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			graph := &http.Client{Transport: &authpipe.Transport{
				Client: newClient(t, d, authpipe.Options{}), Request: bob(), Base: row.base, Origins: []string{"http://127.0.0.1:1"},
			}}
			_, err := graph.Get("http://127.0.0.1:1/me")
			if !row.is(err) || strings.Contains(everything(err), canary) {
				t.Errorf("got %v", err)
			}
		})
	}
}
