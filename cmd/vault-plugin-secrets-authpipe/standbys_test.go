package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// A cluster is three nodes that all run the engine, and a Facebook that knows which of them calls it.
type cluster struct {
	*world // of which the server is the active node
	nodes  []*vaultServer

	mu      sync.Mutex
	callers map[*vaultServer]int // how many calls each node's plugin has made
	unknown int                  // and who else
}

// TestStandbys drives the engine through each node of a cluster whose standbys run it too. Whichever node a request comes
// to, a code is redeemed once, only the active node calls Facebook, and what was written through one is soon right on all.
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
	c.tells(t)
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
	c := &cluster{callers: map[*vaultServer]int{}, world: &world{facebook: authpipetest.NewFacebook(authpipetest.Options{})}}
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
	for _, node := range c.nodes {
		node.await(t, "to run the engine", func() bool {
			_, status := node.try(http.MethodGet, "authpipe/health", nil)
			return status == http.StatusOK && len(vaulttest.ProcessesOf(node.plugin)) > 0
		})
	}
	c.connect(t, "org_acme/facebook/installation", alice)
	return c
}

// note finds out which node's plugin the connection from an address is of.
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

// onlyTheActiveCalls checks who has called since it was last asked.
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
		t.Errorf("the active node has called Facebook %d times, and nobody knows who %d times", c.callers[c.server], c.unknown)
	}
	clear(c.callers)
}

// connectsThrough has a person connect through one node, read at once through all, and be checked through the one.
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
	// All at once, as a client that is impatient and goes round.
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
		t.Errorf("of %s the nodes have %d tokens", user, len(tokens))
	}
	node.call(t, http.MethodPost, "authpipe/connections/"+ref+"/check", nil)
}

// callbackThrough brings the browser back to a node, twice, and returns the connect code on the page.
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

// deniesNothing writes through one node and reads at once through another, which may not have heard of it.
func (c *cluster) deniesNothing(t *testing.T) {
	t.Helper()
	for i := range 200 {
		path := fmt.Sprintf("authpipe/creds/org_acme/stripe/static/key%d", i)
		c.nodes[i%3].call(t, http.MethodPost, path, map[string]any{"credential": "x", "credential_type": "api_key"})
		for _, node := range c.nodes {
			if answer, status := node.try(http.MethodGet, path, nil); status != http.StatusOK {
				t.Fatalf("what was written as number %d is read with status %d: %v", i, status, answer)
			}
		}
	}
}

// tells has each kind of record be changed through one node, and awaits that on all: in much less than the half minute
// after which a standby looks by itself.
func (c *cluster) tells(t *testing.T) {
	t.Helper()
	const ref, soon = "org_acme/facebook/users/user0", 10 * time.Second
	standby := c.nodes[len(c.nodes)-1]
	everywhere := func(what string, path string, right func(data map[string]any, status int) bool) {
		t.Helper()
		for i, node := range c.nodes {
			took := node.await(t, what, func() bool {
				answer, status := node.try(http.MethodGet, path, nil)
				data, _ := answer["data"].(map[string]any)
				return right(data, status)
			})
			if took > soon {
				t.Errorf("node %d knows after %v %s", i, took, what)
			}
		}
	}
	was := c.tokenThrough(t, standby, ref)
	c.facebook.SetTokenExpiry(was, time.Now().Add(3*time.Minute))
	standby.call(t, http.MethodPost, "authpipe/connections/"+ref+"/check", nil)
	c.facebook.SetTokenExpiry(was, time.Now().Add(time.Hour)) // on one day Facebook gives a token no more life than it had
	exchanges := c.facebook.Count(authpipetest.EndpointExchangeToken)
	fresh := c.tokenThrough(t, standby, ref, "?min_ttl=30m")
	if n := c.facebook.Count(authpipetest.EndpointExchangeToken) - exchanges; n != 1 || fresh == was {
		t.Errorf("a read that wants more life through a standby makes %d calls", n)
	}
	everywhere("to serve the fresh token", "authpipe/creds/"+ref, func(data map[string]any, _ int) bool { return data["access_token"] == fresh })

	standby.call(t, http.MethodPost, "authpipe/tenants/org_acme/rotate", nil)
	standby.call(t, http.MethodPost, "authpipe/connections/"+ref+"/check", nil) // sealed with the new key
	everywhere("to know the new key", "authpipe/creds/"+ref, func(data map[string]any, _ int) bool { return data["access_token"] == fresh })

	standby.call(t, http.MethodPost, "authpipe/config/facebook", map[string]any{"session_ttl": "8m"})
	everywhere("to know the configuration", "authpipe/config/facebook", func(data map[string]any, _ int) bool { return data["session_ttl"] == 480.0 })

	standby.call(t, http.MethodPost, "authpipe/settings", map[string]any{"tenant_metadata_key": "tenant"})
	everywhere("to know the settings", "authpipe/settings", func(data map[string]any, _ int) bool { return data["tenant_metadata_key"] == "tenant" })

	standby.call(t, http.MethodPost, "authpipe/tenants/org_acme", map[string]any{"suspended": true})
	everywhere("to withhold what is suspended", "authpipe/creds/"+ref, func(_ map[string]any, status int) bool { return status == http.StatusConflict })
	standby.call(t, http.MethodPost, "authpipe/tenants/org_acme", map[string]any{"suspended": false})
	// At once: no standby refuses by itself.
	for _, node := range c.nodes {
		c.tokenThrough(t, node, ref)
	}

	standby.call(t, http.MethodDelete, "authpipe/creds/"+ref, nil)
	everywhere("to have forgotten a user", "authpipe/creds/"+ref, func(_ map[string]any, status int) bool { return status == http.StatusNotFound })
}

// stepDown has the active node give up, and awaits that another is active and all know it.
func (c *cluster) stepDown(t *testing.T) {
	t.Helper()
	before := c.server
	before.await(t, "to have nodes that may vote", func() bool {
		answer, _ := before.try(http.MethodGet, "sys/storage/raft/configuration", nil)
		return strings.Count(fmt.Sprint(answer), "voter:true") == len(c.nodes)
	})
	before.call(t, http.MethodPut, "sys/step-down", nil)
	before.await(t, "to elect another leader", func() bool {
		for _, node := range c.nodes {
			if _, status := node.try(http.MethodGet, "sys/health", nil); status == http.StatusOK && node != before {
				c.server = node
				return true
			}
		}
		return false
	})
	for _, node := range c.nodes {
		node.await(t, "to know its leader", func() bool {
			_, status := node.try(http.MethodPost, "authpipe/connections/org_acme/facebook/installation/check", nil)
			return status == http.StatusOK
		})
	}
}

// killPlugin kills the engine on the active node. The request that finds that out may fail; the next one starts it again.
func (c *cluster) killPlugin(t *testing.T) {
	t.Helper()
	for _, pid := range vaulttest.ProcessesOf(c.server.plugin) {
		process, err := os.FindProcess(pid)
		if err == nil {
			err = process.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range c.nodes {
		if node != c.server {
			c.tokenThrough(t, node, "org_acme/facebook/users/user1") // what a standby has, it serves
		}
	}
	c.server.await(t, "to start the engine again", func() bool {
		_, status := c.server.try(http.MethodPost, "authpipe/connections/org_acme/facebook/installation/check", nil)
		return status == http.StatusOK
	})
}
