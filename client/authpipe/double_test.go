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

// A double answers as Vault with the engine does, in memory: for what a real one would take hours or luck to do. What the engine
// itself does is asked of the real one, in the examples.
type double struct {
	now func() time.Time

	mu    sync.Mutex
	held  map[string]*held
	asked []string       // "GET creds/…", as they came
	under map[string]int // requests that are being answered, by path
	twice []string       // paths of which two were

	// before, if set, is called before a request is answered; what it returns is the answer, unless it is nil.
	before func(*http.Request) *http.Response
}

// held is what the double holds under a ref.
type held struct {
	token   string
	expires time.Time     // zero: never
	ttl     time.Duration // zero: none
	status  int           // of a refusal; zero: the credential is served
	refusal string        // "needs_reauth: …"
	check   string        // the same, as a check answers
	data    map[string]any
}

func newDouble(now func() time.Time) *double {
	return &double{now: now, held: map[string]*held{}, under: map[string]int{}}
}

func (d *double) put(ref string, h held) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[ref] = &h
}

// count tells how many requests began like this.
func (d *double) count(prefix string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, asked := range d.asked {
		if strings.HasPrefix(asked, prefix) {
			n++
		}
	}
	return n
}

// askedTwice returns the paths for which there were two requests at once.
func (d *double) askedTwice() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.twice)
}

func (d *double) meanwhile(before func(*http.Request) *http.Response) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = before
}

// RoundTrip implements [http.RoundTripper].
func (d *double) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(r.URL.Path, "/v1/authpipe/")
	d.mu.Lock()
	d.asked = append(d.asked, r.Method+" "+path)
	if d.under[path]++; d.under[path] > 1 {
		d.twice = append(d.twice, path)
	}
	before := d.before
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.under[path]--
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
	h := d.held[cmp.Or(checked, ref)]
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

func (h *held) view(ref string) map[string]any {
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

// refuse words a refusal as Vault does.
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

// vaultAt returns Vault's own client for what answers there. It tries nothing again unless a test says so.
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

// token asks for a credential that there must be.
func token(tb testing.TB, client *authpipe.Client, q authpipe.Request) string {
	tb.Helper()
	credential, err := client.Credential(tb.Context(), q)
	if err != nil {
		tb.Fatalf("asking for %+v: %v", q, err)
	}
	return credential.AccessToken.Reveal() + credential.Static.Reveal()
}

func bob() authpipe.Request {
	return authpipe.Request{Tenant: "org_acme", User: "bob", For: authpipe.ForUser}
}

const bobs, installation = "org_acme/facebook/users/bob", "org_acme/facebook/installation"

func wantAsked(tb testing.TB, d *double, prefix string, want int) {
	tb.Helper()
	if n := d.count(prefix); n != want {
		tb.Errorf("%s was asked %s, want %d", prefix, times(n), want)
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
