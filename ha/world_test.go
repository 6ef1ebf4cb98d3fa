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

	// nodes is how many the cluster has.
	nodes = 3
	// patience is how long a test waits for something that must happen. Only a failing test spends it.
	patience = vaulttest.Patience
	// impatience is how long a client waits for one answer before it asks again.
	impatience = 5 * time.Second
	// callTimeout is when the engine gives a call to the provider up.
	callTimeout = 10 * time.Second
)

// A world is a cluster, a Facebook, and what people were told.
type world struct {
	t            *testing.T
	bin, program string
	facebook     *authpipetest.Facebook
	graph        string
	http         *http.Client
	cluster      atomic.Pointer[vaulttest.Cluster] // the one that clients are sent to
	spare        *vaulttest.Cluster                // that may take its place
	mounting     time.Duration                     // how long it took Vault to mount the engine, whose process it starts three times for that
	stalls       stalls

	told      sync.Mutex
	connected map[string]connection // by ref, once its application was told that it is connected
}

// A connection is whom a ref is of, and since when.
type connection struct {
	person string
	since  time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root := ".."
	bin, err := vaulttest.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(bin, "version").Output(); err != nil || strings.HasPrefix(string(said), "OpenBao ") {
		t.Skip("made for a Vault, whose standbys forward everything: TestStandbys has an OpenBao's")
	}
	program, err := vaulttest.Build(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(program)) })
	w := &world{
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

// start starts a cluster. It ends with the test, and what its logs tell of a defect is one.
func (w *world) start() *vaulttest.Cluster {
	w.t.Helper()
	c, err := vaulttest.StartCluster(vaulttest.Options{Bin: w.bin, Program: w.program, Size: nodes, Wired: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.inspect(c); c.Stop() })
	w.await("all nodes to have a vote", func() error { return w.allVote(c) }) // a new one must prove itself first
	return c
}

func (w *world) mount() {
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
	w.await("KV to be ready", func() error { // it upgrades itself first, even when there is nothing
		answer, status := w.ask(context.Background(), 0, http.MethodPost, "secret/data/yardstick", map[string]any{"data": map[string]any{"is": "there"}})
		if status != http.StatusOK {
			return fmt.Errorf("status %d: %v", status, answer)
		}
		return nil
	})
}

// ask makes a request of Vault's API through a node. The status is 0 if there was no answer in time.
func (w *world) ask(ctx context.Context, node int, method, path string, data map[string]any) (answer map[string]any, status int) {
	ctx, cancel := context.WithTimeout(ctx, impatience)
	defer cancel()
	return w.askPatiently(ctx, node, method, path, data)
}

// askPatiently is ask, and waits for the answer until ctx ends.
func (w *world) askPatiently(ctx context.Context, node int, method, path string, data map[string]any) (answer map[string]any, status int) {
	text, status := w.raw(ctx, node, method, path, data)
	if json.Unmarshal(text, &answer) != nil {
		answer = map[string]any{"text": string(text)} // a page, or metrics
	}
	return answer, status
}

func (w *world) raw(ctx context.Context, node int, method, path string, data map[string]any) (text []byte, status int) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, 0
	}
	return w.send(ctx, w.cluster.Load(), node, method, path, body)
}

func (w *world) send(ctx context.Context, c *vaulttest.Cluster, node int, method, path string, body []byte) (text []byte, status int) {
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

// must is ask for what must succeed, through the first node.
func (w *world) must(method, path string, data map[string]any) map[string]any {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, status := w.askPatiently(ctx, 0, method, path, data)
	if status < 200 || status > 299 {
		w.t.Fatalf("%s %s: status %d: %v", method, path, status, answer)
	}
	return answer
}

// await waits until check passes. A test that gives up says what was awaited, and what check returned last.
func (w *world) await(what string, check func() error) {
	w.t.Helper()
	if err := vaulttest.Await(what, patience, nil, check); err != nil {
		w.t.Fatal(err)
	}
}

// note remembers that an application was told that the person is connected.
func (w *world) note(ref, person string) {
	w.told.Lock()
	defer w.told.Unlock()
	if _, again := w.connected[ref]; !again {
		w.connected[ref] = connection{person, time.Now()}
	}
}

func (w *world) connections() map[string]connection {
	w.told.Lock()
	defer w.told.Unlock()
	return maps.Clone(w.connected)
}

// refOf is the ref whose application was told that the person is connected; empty: none was.
func (w *world) refOf(person string) string {
	w.told.Lock()
	defer w.told.Unlock()
	for ref, c := range w.connected {
		if c.person == person {
			return ref
		}
	}
	return ""
}

func (w *world) personOf(ref string) string {
	w.told.Lock()
	defer w.told.Unlock()
	return w.connected[ref].person
}

// flaw says what is wrong with an answer to a read of the person's credential, which is fine; empty: nothing.
func (w *world) flaw(answer map[string]any, status int, person string) string {
	data, _ := answer["data"].(map[string]any)
	token, _ := data["access_token"].(string)
	seen, known := w.facebook.Inspect(token)
	switch {
	case status != http.StatusOK:
		return fmt.Sprintf("status %d: %v", status, answer)
	case !known:
		return "the answer has no token of Facebook's"
	case !seen.Valid:
		return "the token is dead: " + seen.Error.Message
	case seen.User != person:
		return "the token is somebody else's"
	}
	return ""
}

var (
	anyToken = regexp.MustCompile(`EAA[A-Za-z0-9]{100,}`)
	defect   = regexp.MustCompile(`(?m)^.*(DATA RACE|\bpanic\b).*$`)
)

// inspect holds the logs of a cluster to what no log may contain.
func (w *world) inspect(c *vaulttest.Cluster) {
	for _, s := range c.Nodes {
		log, err := os.ReadFile(s.Log())
		if err != nil {
			continue // it was looked at when the cluster was given up
		}
		if line := defect.Find(log); line != nil {
			w.t.Errorf("a log tells of a defect: %s", line)
		}
		if anyToken.Match(log) {
			w.t.Error("a log shows a token")
		}
	}
}
