package authpipe_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

// A double responds like a Vault with the engine, in memory: for tests in which a real Vault would take hours or depend on luck. The
// examples use a real one.
type double struct {
	now func() time.Time

	mu       sync.Mutex
	refs     map[string]*stored
	requests []string       // "GET creds/…", as they came
	pending  map[string]int // requests that are being answered, by path
	doubled  []string       // paths of which two were

	// before, if set, is called with each request; its response is sent, unless it is nil.
	before func(*http.Request) *http.Response
}

// stored is what the double has stored under a ref.
type stored struct {
	token   string
	expires time.Time     // zero: never
	ttl     time.Duration // zero: none
	status  int           // of a refusal; zero: the credential is served
	refusal string        // "needs_reauth: …"
	check   string        // the same, for a check
	data    map[string]any
}

func newDouble(now func() time.Time) *double {
	return &double{now: now, refs: map[string]*stored{}, pending: map[string]int{}}
}

func (d *double) put(ref string, h stored) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refs[ref] = &h
}

// count returns the number of requests that begin with prefix.
func (d *double) count(prefix string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, request := range d.requests {
		if strings.HasPrefix(request, prefix) {
			n++
		}
	}
	return n
}

// concurrent returns the paths with two requests at the same time.
func (d *double) concurrent() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.doubled)
}

func (d *double) intercept(before func(*http.Request) *http.Response) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = before
}

// RoundTrip implements [http.RoundTripper].
func (d *double) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/authpipe/")
	d.mu.Lock()
	d.requests = append(d.requests, r.Method+" "+path)
	if d.pending[path]++; d.pending[path] > 1 {
		d.doubled = append(d.doubled, path)
	}
	before := d.before
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.pending[path]--
	}()
	var answer *http.Response
	if before != nil {
		answer = before(r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if answer == nil {
		answer = d.answer(r, path)
	}
	answer.Request = r
	return answer, nil
}

func (d *double) answer(r *http.Request, path string) *http.Response {
	d.mu.Lock()
	defer d.mu.Unlock()
	if strings.HasSuffix(path, "/auth/token/lookup-self") {
		return d.page(http.StatusOK, map[string]any{"data": map[string]any{}})
	}
	word, ref, _ := strings.Cut(path, "/")
	checked, isCheck := strings.CutSuffix(ref, "/check")
	h := d.refs[cmp.Or(checked, ref)]
	switch {
	case h == nil:
		return d.refuse(http.StatusNotFound, "not_found: there is no "+path)
	case isCheck && h.check != "":
		return d.refuse(http.StatusConflict, h.check)
	case word == "creds" && h.refusal != "":
		return d.refuse(cmp.Or(h.status, http.StatusConflict), h.refusal)
	}
	return d.page(http.StatusOK, map[string]any{"data": h.view(ref)})
}

func (h *stored) view(ref string) map[string]any {
	part := strings.Split(ref, "/")
	data := map[string]any{
		"tenant_id": part[0], "provider": part[1], "credential_type": "oauth_token", "token_type": "bearer", "status": "active",
		"access_token": h.token, "appsecret_proof": "proof of " + h.token,
	}
	for i := 2; i+1 < len(part); i += 2 {
		data[map[string]string{"users": "user_id", "pages": "page_id", "static": "name"}[part[i]]] = part[i+1]
	}
	if part[2] == "static" {
		data["credential"], data["credential_type"] = h.token, "api_key"
		delete(data, "access_token")
	}
	if !h.expires.IsZero() {
		data["expires_at"] = h.expires.UTC().Format(time.RFC3339)
	}
	if h.ttl != 0 {
		data["ttl"] = int(h.ttl / time.Second)
	}
	for name, value := range h.data {
		data[name] = value
	}
	return data
}

// refuse returns a refusal in Vault's form.
func (d *double) refuse(status int, text string) *http.Response {
	return d.page(status, map[string]any{"errors": []string{"1 error occurred:\n\t* " + text + "\n\n"}})
}

func (d *double) page(status int, body any) *http.Response {
	w := httptest.NewRecorder()
	w.Header().Set("Date", d.now().UTC().Format(http.TimeFormat))
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
	return w.Result()
}

// vaultAt returns Vault's own client with a transport, and without retries.
func vaultAt(tb testing.TB, transport http.RoundTripper) *api.Client {
	tb.Helper()
	config := api.DefaultConfig()
	config.Address, config.MaxRetries = "http://vault.example", 0
	config.HttpClient = &http.Client{Transport: transport}
	vault, err := api.NewClient(config)
	if err != nil {
		tb.Fatal(err)
	}
	vault.SetToken("a token of the application's")
	return vault
}

func newClient(tb testing.TB, d *double, options authpipe.Options) *authpipe.Client {
	tb.Helper()
	client := authpipe.New(vaultAt(tb, d), options)
	tb.Cleanup(client.Close)
	return client
}

// token reads a credential, which must exist.
func token(tb testing.TB, client *authpipe.Client, q authpipe.Request) string {
	tb.Helper()
	credential, err := client.Credential(tb.Context(), q)
	if err != nil {
		tb.Fatalf("reading %+v: %v", q, err)
	}
	return credential.AccessToken.Reveal() + credential.Static.Reveal()
}

func bob() authpipe.Request {
	return authpipe.Request{Tenant: "org_acme", User: "bob", For: authpipe.ForUser}
}

const bobs, installation = "org_acme/facebook/users/bob", "org_acme/facebook/installation"

func wantRequests(tb testing.TB, d *double, prefix string, want int) {
	tb.Helper()
	if n := d.count(prefix); n != want {
		tb.Errorf("%s was requested %s, want %d", prefix, times(n), want)
	}
}

func times(n int) string { return fmt.Sprintf("%d times", n) }

func bodyOf(r *http.Request) map[string]any {
	var body map[string]any
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&body)
	}
	return body
}
