package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// hook is an app's server.
type hook struct {
	mu       sync.Mutex
	absent   bool
	received []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.absent:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
	default:
		h.received = append(h.received, r.URL.Path)
	}
}

func TestNotifierSubscribesAndDelivers(t *testing.T) {
	h := &hook{absent: true}
	server := httptest.NewServer(h)
	defer server.Close()
	c, err := parse([]string{"-app-id", "42", "-redirect-uri", "https://e/cb", "-deauthorize-url", server.URL + "/gone", "-webhook-url", server.URL + "/hook"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	fb := seeded(c)
	var stderr bytes.Buffer
	n := &notifier{fb: fb, app: "42", webhook: c.webhook, stderr: &stderr}
	n.notify(t.Context()) // the webhook does not answer yet
	n.notify(t.Context())
	if got := strings.Count(stderr.String(), "404"); got != 1 {
		t.Errorf("reported %d times: %s", got, stderr.String())
	}
	h.absent = false
	n.notify(t.Context())
	if _, err := fb.Authorize("/dialog/oauth?client_id=42&redirect_uri=https%3A%2F%2Fe%2Fcb", authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	fb.RemoveApp("42", "ada")
	ended, cancel := context.WithCancel(t.Context())
	n.notify(t.Context())
	if got := strings.Join(h.received, " "); got != "/hook /gone /hook" {
		t.Errorf("the app received %s", got)
	}
	cancel()
	n.run(ended) // returns after one round
}
