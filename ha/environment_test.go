package ha_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

const (
	appID, appSecret = "1024222333444555", "0123456789abcdef0123456789abcdef"

	// nodes is the number of nodes in the cluster.
	nodes = 3
	// patience is how long a test waits for an event that must happen. Only a failing test waits that long.
	patience = vaulttest.Patience
	// impatience is how long a client waits for a response before it tries again.
	impatience = 5 * time.Second
	// callTimeout is when the engine gives up a call to the provider.
	callTimeout = 10 * time.Second
)

// An environment is a cluster, a Facebook, and the confirmed connections.
type environment struct {
	t            *testing.T
	bin, program string
	facebook     *authpipetest.Facebook
	graph        string
	http         *http.Client
	cluster      atomic.Pointer[vaulttest.Cluster] // the one in use
	spare        *vaulttest.Cluster                // may take its place
	mounting     time.Duration                     // how long Vault took to mount the engine, which includes three starts of its process
	stalls       stalls

	mu        sync.Mutex
	connected map[string]connection // by ref, from when its application had the confirmation
}

// A connection is a confirmed connection of a ref.
type connection struct {
	person string
	since  time.Time
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	root := ".."
	bin, err := vaulttest.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	if version, err := exec.Command(bin, "version").Output(); err != nil || strings.HasPrefix(string(version), "OpenBao ") {
		t.Skip("needs a Vault, whose standbys forward everything; TestStandbys covers OpenBao")
	}
	program, err := vaulttest.Build(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(program)) })
	w := &environment{
		t: t, bin: bin, program: program, connected: map[string]connection{},
		facebook: authpipetest.NewFacebook(authpipetest.Options{}),
		http:     &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
	}
	t.Cleanup(w.stalls.watch())
	w.graph = w.facebook.Start(t)
	w.cluster.Store(w.start())
	w.mount()
	return w
}

// start starts a cluster. It ends with the test, which fails if the cluster's logs show a defect.
func (w *environment) start() *vaulttest.Cluster {
	w.t.Helper()
	c, err := vaulttest.StartCluster(vaulttest.Options{Bin: w.bin, Program: w.program, Size: nodes, Wired: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.inspect(c); c.Stop() })
	w.await("all nodes to have a vote", func() error { return w.allVote(c) }) // a new node is no voter at first
	return c
}

func (w *environment) mount() {
	w.t.Helper()
	const callback = "https://vault.example.com/v1/authpipe/callback/facebook"
	w.facebook.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RedirectURIs: []string{callback}, RequireAppSecret: true})
	begun := time.Now()
	w.must(http.MethodPost, "sys/mounts/authpipe", map[string]any{"type": vaulttest.Plugin})
	w.mounting = time.Since(begun)
	w.must(http.MethodPost, "sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	w.must(http.MethodPost, "authpipe/config/facebook", map[string]any{
		"client_id": appID, "client_secret": appSecret, "redirect_uris": callback, "dialog_url": w.graph, "graph_url": w.graph, "require_installation": false,
		"session_ttl": "2m", // so that sessions end within a run
	})
	w.await("KV to be ready", func() error { // it upgrades its storage first, even if that is empty
		answer, status := w.request(context.Background(), 0, http.MethodPost, "secret/data/yardstick", map[string]any{"data": map[string]any{"is": "there"}})
		if status != http.StatusOK {
			return fmt.Errorf("status %d: %v", status, answer)
		}
		return nil
	})
}

// request makes a request of Vault's API through a node. The status is 0 if there was no response in time.
func (w *environment) request(ctx context.Context, node int, method, path string, data map[string]any) (answer map[string]any, status int) {
	ctx, cancel := context.WithTimeout(ctx, impatience)
	defer cancel()
	return w.requestPatiently(ctx, node, method, path, data)
}

// requestPatiently is request, and waits for the response until ctx ends.
func (w *environment) requestPatiently(ctx context.Context, node int, method, path string, data map[string]any) (answer map[string]any, status int) {
	text, status := w.raw(ctx, node, method, path, data)
	if json.Unmarshal(text, &answer) != nil {
		answer = map[string]any{"text": string(text)} // a page, or metrics
	}
	return answer, status
}

func (w *environment) raw(ctx context.Context, node int, method, path string, data map[string]any) (text []byte, status int) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, 0
	}
	return w.send(ctx, w.cluster.Load(), node, method, path, body)
}

func (w *environment) send(ctx context.Context, c *vaulttest.Cluster, node int, method, path string, body []byte) (text []byte, status int) {
	req, err := http.NewRequestWithContext(ctx, method, c.Nodes[node].Addr+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0
	}
	req.Header.Set("X-Vault-Token", c.Token())
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, 0
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(resp.Body); err != nil {
		return nil, 0
	}
	return text, resp.StatusCode
}

// must makes a request through the first node that must succeed.
func (w *environment) must(method, path string, data map[string]any) map[string]any {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, status := w.requestPatiently(ctx, 0, method, path, data)
	if status < 200 || status > 299 {
		w.t.Fatalf("%s %s: status %d: %v", method, path, status, answer)
	}
	return answer
}

// await waits until check passes. If it does not, the test fails with check's last error.
func (w *environment) await(what string, check func() error) {
	w.t.Helper()
	if err := vaulttest.Await(what, patience, nil, check); err != nil {
		w.t.Fatal(err)
	}
}

// note notes that an application has the confirmation of a connection.
func (w *environment) note(ref, person string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, again := w.connected[ref]; !again {
		w.connected[ref] = connection{person, time.Now()}
	}
}

func (w *environment) connections() map[string]connection {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.connected)
}

// refOf returns the ref of a person's confirmed connection; empty: there is none.
func (w *environment) refOf(person string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ref, c := range w.connected {
		if c.person == person {
			return ref
		}
	}
	return ""
}

func (w *environment) personOf(ref string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.connected[ref].person
}

// flaw returns what is wrong with the response to a read of a person's credential; empty: nothing is.
func (w *environment) flaw(answer map[string]any, status int, person string) string {
	data, _ := answer["data"].(map[string]any)
	token, _ := data["access_token"].(string)
	seen, known := w.facebook.Inspect(token)
	switch {
	case status != http.StatusOK:
		return fmt.Sprintf("status %d: %v", status, answer)
	case !known:
		return "the response has no token of Facebook's"
	case !seen.Valid:
		return "the token is dead: " + seen.Error.Message
	case seen.User != person:
		return "the token is another person's"
	}
	return ""
}

var (
	anyToken = regexp.MustCompile(`EAA[A-Za-z0-9]{100,}`)
	defect   = regexp.MustCompile(`(?m)^.*(DATA RACE|\bpanic\b).*$`)
)

// inspect fails the test if a cluster's logs show a defect or a token.
func (w *environment) inspect(c *vaulttest.Cluster) {
	for _, s := range c.Nodes {
		log, err := os.ReadFile(s.Log())
		if err != nil {
			continue // it was inspected when the cluster was removed
		}
		if line := defect.Find(log); line != nil {
			w.t.Errorf("a log shows a defect: %s", line)
		}
		if anyToken.Match(log) {
			w.t.Error("a log shows a token")
		}
	}
}
