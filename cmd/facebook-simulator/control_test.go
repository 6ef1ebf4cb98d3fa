package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func post(t *testing.T, address, site string, form url.Values) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", site)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestControlPage(t *testing.T) {
	base := start(t, "-redirect-uri", "https://e/cb")
	if _, page := get(t, base+"/_control"); !strings.Contains(page, "Ada Admin") || !strings.Contains(page, "Go down") {
		t.Errorf("the page: %s", page)
	}
	down := url.Values{"action": {"down"}, "how": {"0"}}
	if got := post(t, base+"/_control", "cross-site", down); got != http.StatusForbidden {
		t.Errorf("another site's form: status %d", got)
	}
	if got := post(t, base+"/_control", "same-origin", down); got != http.StatusSeeOther {
		t.Errorf("the page's own: status %d", got)
	}
	if response, _ := get(t, base+"/me"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("down, but /me has status %d", response.StatusCode)
	}
	post(t, base+"/_control", "same-origin", url.Values{"action": {"up"}})
	if response, _ := get(t, base+"/me"); response.StatusCode != http.StatusBadRequest {
		t.Errorf("back, but /me has status %d", response.StatusCode)
	}
}

// hook is an app's server.
type hook struct {
	mu     sync.Mutex
	absent bool
	heard  []string
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
		h.heard = append(h.heard, r.URL.Path)
	}
}

func TestAppIsTold(t *testing.T) {
	h := &hook{absent: true}
	server := httptest.NewServer(h)
	defer server.Close()
	c, err := parse([]string{"-app-id", "42", "-redirect-uri", "https://e/cb", "-deauthorize-url", server.URL + "/gone", "-webhook-url", server.URL + "/hook"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	fb := seeded(c)
	var stderr bytes.Buffer
	told := &teller{fb: fb, app: "42", webhook: c.webhook, stderr: &stderr}
	told.tell(t.Context()) // the webhook is not up yet
	told.tell(t.Context())
	if got := strings.Count(stderr.String(), "404"); got != 1 {
		t.Errorf("reported %d times: %s", got, stderr.String())
	}
	h.absent = false
	told.tell(t.Context())
	if _, err := fb.Authorize("/dialog/oauth?client_id=42&redirect_uri=https%3A%2F%2Fe%2Fcb", authpipetest.Consent{User: "ada"}); err != nil {
		t.Fatal(err)
	}
	fb.RemoveApp("42", "ada")
	ended, cancel := context.WithCancel(t.Context())
	told.tell(t.Context())
	if got := strings.Join(h.heard, " "); got != "/hook /gone /hook" {
		t.Errorf("the app heard %s", got)
	}
	cancel()
	told.run(ended) // one round, and the end
}
