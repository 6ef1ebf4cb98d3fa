package authpipe_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

// A graph is a server that notes the credentials that it gets.
type graph struct {
	*httptest.Server
	mu    sync.Mutex
	seen  []string // the token of each request, and its query
	reply func(w http.ResponseWriter, r *http.Request, token string)
}

func newGraph(t *testing.T, reply func(http.ResponseWriter, *http.Request, string)) *graph {
	g := &graph{reply: reply}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		g.mu.Lock()
		g.seen = append(g.seen, token+"?"+r.URL.RawQuery)
		g.mu.Unlock()
		if g.reply != nil {
			g.reply(w, r, token)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *graph) wantSeen(t *testing.T, want ...string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if strings.Join(g.seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("it was sent\n%s\nwant\n%s", strings.Join(g.seen, "\n"), strings.Join(want, "\n"))
	}
}

// refuse responds with an error of Facebook's.
func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"error":{"message":%q,"type":"OAuthException","code":%d,"fbtrace_id":"A"}}`, message, code)
}

// asBob returns a client of the graph with bob's credential. Bob's token is "one", and "two" after a check.
func asBob(t *testing.T, g *graph) (*http.Client, *double) {
	d := newDouble(time.Now)
	d.put(bobs, stored{token: "one"})
	d.intercept(func(r *http.Request) *http.Response {
		if r.Method == http.MethodPut {
			d.put(bobs, stored{token: "two"})
		}
		return nil
	})
	return &http.Client{Transport: &authpipe.Transport{
		Client: newClient(t, d, authpipe.Options{}), Request: bob(), Origins: []string{g.URL + "/"},
	}}, d
}

const proofOfOne, proofOfTwo = "appsecret_proof=proof+of+one", "appsecret_proof=proof+of+two"

func TestTransportReplacesTokenAndProof(t *testing.T) {
	g := newGraph(t, nil)
	client, _ := asBob(t, g)
	for _, path := range []string{
		"/me", "/me?fields=id,name&b=%20", "/me/accounts?access_token=former&limit=25&appsecret_proof=former&after=QQ", "/me?%61ccess_token=former",
	} {
		resp, err := client.Get(g.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Request.Header.Get("Authorization") != "" || strings.Contains(resp.Request.URL.RawQuery, "proof+of") {
			t.Errorf("the response's request shows the credential: %v", resp.Request)
		}
	}
	g.wantSeen(t, "one?"+proofOfOne, "one?fields=id,name&b=%20&"+proofOfOne, "one?limit=25&after=QQ&"+proofOfOne, "one?"+proofOfOne)
}

func TestTransportSendsTokenOnlyToItsOrigins(t *testing.T) {
	other := newGraph(t, nil)
	g := newGraph(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		if r.URL.Path == "/picture" {
			http.Redirect(w, r, other.URL+"/image", http.StatusFound)
		}
	})
	client, _ := asBob(t, g)
	for _, url := range []string{g.URL + "/picture", other.URL + "/directly"} {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	other.wantSeen(t, "?", "?")

	// By default it goes only to Facebook, over TLS.
	for url, trusted := range map[string]bool{
		"https://graph.facebook.com/v27.0/me":       true,
		"https://GRAPH.facebook.com:443/me":         true,
		"https://graph-video.facebook.com/me":       true,
		"http://graph.facebook.com/me":              false,
		"https://graph.facebook.com:8443/me":        false,
		"https://graph.facebook.com.example/me":     false,
		"https://graph.facebook.com@example.com/me": false,
		"https://facebook.com/me":                   false,
		"https://evil-graph.facebook.com/me":        false,
	} {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one"})
		var sent *http.Request
		transport := &authpipe.Transport{Client: newClient(t, d, authpipe.Options{}), Request: bob(), Base: roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = r
			return d.page(http.StatusOK, nil), nil
		})}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := transport.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if got := sent.Header.Get("Authorization") != ""; got != trusted || strings.Contains(sent.URL.RawQuery, "proof") != trusted {
			t.Errorf("%s: sent with a token: %v", url, got)
		}
	}
}

// The Graph API writes the token into the URLs of next pages, and after a redirect http.Client sends the former URL as the Referer.
func TestTransportRemovesRefererAfterRedirect(t *testing.T) {
	var referers []string
	other := newGraph(t, func(_ http.ResponseWriter, r *http.Request, _ string) {
		referers = append(referers, r.Header.Get("Referer"))
	})
	g := newGraph(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Redirect(w, r, other.URL+"/image", http.StatusFound)
	})
	client, _ := asBob(t, g)
	resp, err := client.Get(g.URL + "/me/photos?access_token=former&after=QQ")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(referers) != 1 || strings.Contains(referers[0], "former") {
		t.Errorf("the Referer is %q", referers)
	}
	// A Referer that the application sets is kept.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, other.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Referer", "https://app.example.com/")
	if resp, err = client.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if referers[1] != "https://app.example.com/" {
		t.Errorf("the Referer is %q", referers[1])
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTransportChecksRefusedTokenAndRepeats(t *testing.T) {
	for what, row := range map[string]struct {
		code      int
		message   string
		body      io.Reader
		wantSeen  []string
		wantCheck int
	}{
		"a dead token":                   {190, "Error validating access token: Session has expired", nil, []string{"one?" + proofOfOne, "two?" + proofOfTwo}, 1},
		"an invalid proof":               {100, "Invalid appsecret_proof provided in the API argument", nil, []string{"one?" + proofOfOne, "two?" + proofOfTwo}, 1},
		"a body that can be replayed":    {190, "Error validating access token", strings.NewReader("message=hello"), []string{"one?" + proofOfOne, "two?" + proofOfTwo}, 1},
		"a body that cannot be replayed": {190, "Error validating access token", io.MultiReader(strings.NewReader("message=hello")), []string{"one?" + proofOfOne}, 1},
		"the wrong kind of token":        {190, "This method must be called with a Page Access Token", nil, []string{"one?" + proofOfOne}, 0},
		"a missing permission":           {200, "(#200) Requires pages_manage_posts", nil, []string{"one?" + proofOfOne}, 0},
		"a limit":                        {4, "(#4) Application request limit reached", nil, []string{"one?" + proofOfOne}, 0},
		"a code that is a string":        {0, "", nil, []string{"one?" + proofOfOne, "two?" + proofOfTwo}, 1},
		"a page that is not JSON":        {-1, "", nil, []string{"one?" + proofOfOne}, 0},
		"a token that is refused twice":  {190, "twice", nil, []string{"one?" + proofOfOne, "two?" + proofOfTwo}, 1},
	} {
		t.Run(what, func(t *testing.T) {
			g := newGraph(t, func(w http.ResponseWriter, r *http.Request, token string) {
				body, _ := io.ReadAll(r.Body)
				if row.body != nil && string(body) != "message=hello" {
					t.Errorf("the body is %q", body)
				}
				switch {
				case token == "two" && row.message != "twice":
				case row.code == 0:
					w.WriteHeader(http.StatusUnauthorized)
					_, _ = io.WriteString(w, `{"error":{"message":"x","code":"190"}}`)
				case row.code < 0:
					w.WriteHeader(http.StatusBadGateway)
				default:
					refuse(w, row.code, row.message)
				}
			})
			client, d := asBob(t, g)
			method := http.MethodGet
			if row.body != nil {
				method = http.MethodPost
			}
			req, err := http.NewRequestWithContext(t.Context(), method, g.URL+"/", row.body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if stands := len(row.wantSeen) == 1 || row.message == "twice"; err != nil || stands != (resp.StatusCode != http.StatusOK) || stands && row.code > 0 && !strings.Contains(string(body), row.message) {
				t.Errorf("got %d %s, %v", resp.StatusCode, body, err)
			}
			g.wantSeen(t, row.wantSeen...)
			wantRequests(t, d, "PUT connections/"+bobs+"/check", row.wantCheck)
		})
	}
}

func TestTransportReturnsFacebooksResponseIfTokenIsDead(t *testing.T) {
	g := newGraph(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		refuse(w, 190, "The user has not authorized application 1")
	})
	client, d := asBob(t, g)
	d.put(bobs, stored{token: "one", check: "revoked: bob took it away"})
	d.intercept(nil)
	resp, err := client.Get(g.URL + "/me")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(body), "has not authorized") {
		t.Errorf("got %s, %v", body, err)
	}
	var needs *authpipe.NeedsReauthError
	unsent := &closing{Reader: strings.NewReader("x")}
	if _, err = client.Post(g.URL+"/me/feed", "text/plain", unsent); !errors.As(err, &needs) || needs.Path != "connect/"+bobs || !unsent.closed {
		t.Errorf("the next call: %v; its body is closed: %v", err, unsent.closed)
	}
	g.wantSeen(t, "one?"+proofOfOne)
}

// A closing body notes that it was closed, which a RoundTripper must do.
type closing struct {
	io.Reader
	closed bool
}

// Close implements [io.Closer].
func (c *closing) Close() error { c.closed = true; return nil }

func TestTransportChecksRefusedLivingTokenOnce(t *testing.T) {
	g := newGraph(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		refuse(w, 190, "Error validating access token")
	})
	client, d := asBob(t, g)
	d.intercept(nil)
	for range 3 {
		resp, err := client.Get(g.URL + "/me")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	g.wantSeen(t, "one?"+proofOfOne, "one?"+proofOfOne, "one?"+proofOfOne, "one?"+proofOfOne)
	wantRequests(t, d, "PUT connections/", 1)
}

func TestTransportUsesRequestOfContext(t *testing.T) {
	g := newGraph(t, nil)
	client, d := asBob(t, g)
	d.put(installation, stored{token: "the installation's"})
	ctx := authpipe.WithRequest(t.Context(), authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL+"/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	g.wantSeen(t, "the installation's?appsecret_proof=proof+of+the+installation%27s")
}
