package main_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// A cluster is three nodes that all run the engine, and a Facebook that counts the calls of each node.
type cluster struct {
	*environment // its server is the active node
	nodes        []*vaultServer

	mu      sync.Mutex
	callers map[*vaultServer]int // how many calls each node's plugin has made
	unknown int                  // calls of unknown processes
}

// TestStandbys uses the engine through each node of a cluster whose standbys run it, too. Through any node, a code is redeemed once, only
// the active node calls Facebook, and a write through one node soon takes effect on all.
func TestStandbys(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a cluster: left out with -short")
	}
	bin := findVault(t)
	if !isOpenBao(t, bin) {
		t.Skip("the standbys of a Vault run no plugins: set VAULT_BIN to an OpenBao of 2.5 or newer")
	}
	t.Parallel()
	c := newCluster(t, bin)
	for i, node := range c.nodes {
		c.connectsThrough(t, node, fmt.Sprintf("user%d", i))
	}
	c.onlyTheActiveCalls(t)
	c.deniesNothing(t)
	c.invalidates(t)
	c.onlyTheActiveCalls(t)

	c.stepDown(t)
	for i, node := range c.nodes {
		c.connectsThrough(t, node, fmt.Sprintf("after-step-down%d", i))
	}
	c.onlyTheActiveCalls(t)

	c.killPlugin(t)
	for i, node := range c.nodes {
		c.connectsThrough(t, node, fmt.Sprintf("after-kill%d", i))
	}
	c.onlyTheActiveCalls(t)
}

func newCluster(t *testing.T, bin string) *cluster {
	t.Helper()
	c := &cluster{callers: map[*vaultServer]int{}, environment: &environment{facebook: authpipetest.NewFacebook(authpipetest.Options{})}}
	graph := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.note(r.RemoteAddr)
		c.facebook.ServeHTTP(w, r)
	}))
	t.Cleanup(graph.Close)
	c.nodes = startCluster(t, bin, buildPlugin(t), 3)
	c.server = c.nodes[0]
	t.Cleanup(func() {
		c.inspect(t)
		for _, node := range c.nodes {
			node.stop(t)
			c.server = node
			c.inspectLog(t)
		}
	})
	c.mount(t, graph.URL)
	for i, node := range c.nodes {
		await(t, fmt.Sprintf("node %d to run the engine", i), func() error {
			if len(vaulttest.ProcessesOf(node.plugin)) == 0 {
				return errors.New("no process of the plugin runs")
			}
			return node.answers(http.StatusOK, http.MethodGet, "authpipe/health")()
		})
	}
	c.connect(t, "org_acme/facebook/installation", alice)
	return c
}

// note notes which node's plugin has the connection from an address.
func (c *cluster) note(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, node := range c.nodes {
		if vaulttest.ConnectsFrom(vaulttest.ProcessesOf(node.plugin), address) {
			c.callers[node]++
			return
		}
	}
	c.unknown++
}

// onlyTheActiveCalls checks the calls since the last check.
func (c *cluster) onlyTheActiveCalls(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, node := range c.nodes {
		if n := c.callers[node]; node != c.server && n > 0 {
			t.Errorf("node %d, a standby, has called Facebook %d times", i, n)
		}
	}
	if c.callers[c.server] == 0 || c.unknown > 0 {
		t.Errorf("the active node has called Facebook %d times, and unknown processes %d times", c.callers[c.server], c.unknown)
	}
	clear(c.callers)
}

// connectsThrough connects a person through one node, reads through all nodes at once, and checks through the one.
func (c *cluster) connectsThrough(t *testing.T, node *vaultServer, user string) {
	t.Helper()
	ref := "org_acme/facebook/users/" + user
	node.call(t, http.MethodPost, "authpipe/config/facebook", map[string]any{"session_ttl": "9m"})
	redeemed := c.facebook.Count(authpipetest.EndpointAccessToken)
	begun := node.call(t, http.MethodPost, "authpipe/connect/"+ref, map[string]any{"actor": user})["data"].(map[string]any)
	back, err := c.facebook.Authorize(begun["authorization_url"].(string), authpipetest.Consent{User: bob})
	if err != nil {
		t.Fatal(err)
	}
	code := c.callbackThrough(t, node, back)
	proof := map[string]any{"actor": user, "connect_code": code}
	path := "authpipe/sessions/org_acme/" + begun["session_id"].(string) + "/complete"
	// Through all nodes at the same time, like an impatient client.
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(func() {
			if answer, status := n.try(http.MethodPost, path, proof); status != http.StatusOK {
				t.Errorf("completing: status %d: %v", status, answer)
			}
		})
	}
	all.Wait()
	if n := c.facebook.Count(authpipetest.EndpointAccessToken) - redeemed; n != 1 {
		t.Errorf("the code of %s was sent to Facebook %d times", user, n)
	}
	tokens := map[string]bool{}
	for _, n := range c.nodes {
		tokens[c.tokenThrough(t, n, ref)] = true
	}
	if len(tokens) != 1 {
		t.Errorf("the nodes have %[2]d tokens of %[1]s", user, len(tokens))
	}
	node.call(t, http.MethodPost, "authpipe/connections/"+ref+"/check", nil)
}

// callbackThrough opens the callback through a node, twice, and returns the connect code on the page.
func (c *cluster) callbackThrough(t *testing.T, node *vaultServer, back *url.URL) string {
	t.Helper()
	var pages [2]string
	for i := range pages {
		resp, err := http.Get(node.addr + "/v1/authpipe/callback/facebook?" + back.RawQuery)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		pages[i] = string(page)
		c.pages = append(c.pages, pages[i])
	}
	code := regexp.MustCompile(connectCode).FindStringSubmatch(pages[0])
	if code == nil || pages[0] != pages[1] {
		t.Fatalf("no connect code, or another page the second time: %s", pages)
	}
	c.keep("CODE", code[1])
	return code[1]
}

func (c *cluster) tokenThrough(t *testing.T, node *vaultServer, ref string, query ...string) string {
	t.Helper()
	answer, status := node.try(http.MethodGet, "authpipe/creds/"+ref+strings.Join(query, ""), nil)
	if status != http.StatusOK {
		t.Errorf("reading %s: status %d: %v", ref, status, answer)
		return ""
	}
	return answer["data"].(map[string]any)["access_token"].(string)
}

// deniesNothing writes through one node and reads at once through another, which may not have been invalidated yet.
func (c *cluster) deniesNothing(t *testing.T) {
	t.Helper()
	for i := range 200 {
		path := fmt.Sprintf("authpipe/creds/org_acme/stripe/static/key%d", i)
		c.nodes[i%3].call(t, http.MethodPost, path, map[string]any{"credential": "x", "credential_type": "api_key"})
		for _, node := range c.nodes {
			if answer, status := node.try(http.MethodGet, path, nil); status != http.StatusOK {
				t.Fatalf("a read of write %d has status %d: %v", i, status, answer)
			}
		}
	}
}

// A step is a change through a standby, and a check of a node's response that passes once the change has taken effect there.
type step struct {
	change func()
	path   string
	known  func(data map[string]any, status int) bool
}

// standbyTrust is how long a standby uses its cache without an invalidation.
const standbyTrust = 30 * time.Second

// reachesAll makes changes to one record, one after another, and awaits each on all nodes. A standby has read the record after the
// former change: if the next one takes effect before standbyTrust has passed, the standby got an invalidation. If a slow machine takes
// longer, that proves nothing, and reachesAll tries again.
func (c *cluster) reachesAll(t *testing.T, what string, steps ...step) {
	t.Helper()
	const attempts = 5
	var took time.Duration
	for range attempts {
		begun := time.Now()
		took = 0
		for i, s := range steps {
			now := time.Now()
			s.change()
			c.awaitEverywhere(t, what, s)
			if i > 0 {
				took = max(took, time.Since(begun))
			}
			begun = now
		}
		if took < standbyTrust {
			return
		}
		t.Logf("after %v %s took effect on all nodes, which may be because standbys read it again by themselves", took, what)
	}
	t.Errorf("%d times in a row it took %v or more until %s took effect on all nodes: they got no invalidation", attempts, standbyTrust, what)
}

func (c *cluster) awaitEverywhere(t *testing.T, what string, s step) {
	t.Helper()
	for i, node := range c.nodes {
		await(t, fmt.Sprintf("node %d to know %s", i, what), func() error {
			answer, err := node.request(http.MethodGet, s.path, nil)
			data, _ := answer.body["data"].(map[string]any)
			if err == nil && !s.known(data, answer.status) {
				err = answer.error()
			}
			return err
		})
	}
}

// invalidates changes each kind of record through one node, and awaits that on all.
func (c *cluster) invalidates(t *testing.T) {
	t.Helper()
	const ref = "org_acme/facebook/users/user0"
	standby := c.nodes[len(c.nodes)-1]
	fresh := ""
	refresh := step{func() { fresh = c.refreshThrough(t, standby, ref) }, "authpipe/creds/" + ref, func(data map[string]any, _ int) bool { return data["access_token"] == fresh }}
	c.reachesAll(t, "the fresh token", refresh, refresh)

	standby.call(t, http.MethodPost, "authpipe/tenants/org_acme/rotate", nil)
	standby.call(t, http.MethodPost, "authpipe/connections/"+ref+"/check", nil) // reseals with the new key
	refresh.change = func() {}
	c.awaitEverywhere(t, "the new key", refresh)

	write := func(path, field string, value any) func() {
		return func() { standby.call(t, http.MethodPost, "authpipe/"+path, map[string]any{field: value}) }
	}
	has := func(field string, value any) func(map[string]any, int) bool {
		return func(data map[string]any, _ int) bool { return data[field] == value }
	}
	is := func(want int) func(map[string]any, int) bool {
		return func(_ map[string]any, status int) bool { return status == want }
	}
	c.reachesAll(t, "the configuration",
		step{write("config/facebook", "session_ttl", "7m"), "authpipe/config/facebook", has("session_ttl", 420.0)},
		step{write("config/facebook", "session_ttl", "8m"), "authpipe/config/facebook", has("session_ttl", 480.0)})
	c.reachesAll(t, "the settings",
		step{write("settings", "tenant_metadata_key", "organization"), "authpipe/settings", has("tenant_metadata_key", "organization")},
		step{write("settings", "tenant_metadata_key", "tenant"), "authpipe/settings", has("tenant_metadata_key", "tenant")})
	c.reachesAll(t, "that the tenant is suspended",
		step{write("tenants/org_acme", "suspended", true), "authpipe/tenants/org_acme", has("suspended", true)},
		step{write("tenants/org_acme", "suspended", false), "authpipe/tenants/org_acme", has("suspended", false)},
		step{write("tenants/org_acme", "suspended", true), "authpipe/creds/" + ref, is(http.StatusConflict)})
	write("tenants/org_acme", "suspended", false)()
	// At once: a standby refuses nothing by itself.
	for _, node := range c.nodes {
		c.tokenThrough(t, node, ref)
	}

	c.reachesAll(t, "that the user is deleted",
		step{func() { c.connectsThrough(t, standby, "user0") }, "authpipe/creds/" + ref, is(http.StatusOK)},
		step{func() { standby.call(t, http.MethodDelete, "authpipe/creds/"+ref, nil) }, "authpipe/creds/" + ref, is(http.StatusNotFound)})
}

// refreshThrough reads through a node with a min_ttl that the token does not have, and returns the new token.
func (c *cluster) refreshThrough(t *testing.T, node *vaultServer, ref string) string {
	t.Helper()
	was := c.tokenThrough(t, node, ref)
	c.facebook.SetTokenExpiry(was, time.Now().Add(4*time.Minute))
	node.call(t, http.MethodPost, "authpipe/connections/"+ref+"/check", nil)
	c.facebook.SetTokenExpiry(was, time.Now().Add(2*time.Hour)) // within a day Facebook extends no token
	exchanges := c.facebook.Count(authpipetest.EndpointExchangeToken)
	fresh := c.tokenThrough(t, node, ref, "?min_ttl=30m")
	if n := c.facebook.Count(authpipetest.EndpointExchangeToken) - exchanges; n != 1 || fresh == was {
		t.Errorf("a read through a standby with a min_ttl makes %d calls", n)
	}
	return fresh
}

// stepDown makes the active node step down, and waits until all nodes agree on another one.
func (c *cluster) stepDown(t *testing.T) {
	t.Helper()
	before := c.server
	await(t, "all nodes to have a vote", func() error {
		answer, err := before.request(http.MethodGet, "sys/storage/raft/configuration", nil)
		if err == nil && strings.Count(fmt.Sprint(answer.body), "voter:true") != len(c.nodes) {
			err = answer.error()
		}
		return err
	})
	activeSince := before.call(t, http.MethodGet, "sys/leader", nil)["active_time"]
	before.call(t, http.MethodPut, "sys/step-down", nil)
	await(t, "a new leader", func() error {
		var seen []string
		for i, node := range c.nodes {
			leader, err := node.request(http.MethodGet, "sys/leader", nil)
			if err == nil && leader.body["is_self"] == true && leader.body["active_time"] != activeSince {
				c.server = node
				return nil
			}
			seen = append(seen, fmt.Sprintf("node %d says %v, %v", i, leader.body, err))
		}
		return errors.New(strings.Join(seen, "; "))
	})
	for i, node := range c.nodes {
		await(t, fmt.Sprintf("node %d to know its leader", i), node.answers(http.StatusOK, http.MethodPost, checkInstallation))
	}
}

// checkInstallation is a path that only the active node can serve.
const checkInstallation = "authpipe/connections/org_acme/facebook/installation/check"

// killPlugin kills the engine on the active node. The next request may fail; the one after it starts the engine again.
func (c *cluster) killPlugin(t *testing.T) {
	t.Helper()
	killPlugins(t, c.server)
	for _, node := range c.nodes {
		if node != c.server {
			c.tokenThrough(t, node, "org_acme/facebook/users/user1") // a standby serves from its cache
		}
	}
	await(t, "Vault to start the engine again", c.server.answers(http.StatusOK, http.MethodPost, checkInstallation))
}
