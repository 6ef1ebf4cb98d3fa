package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startRaft starts a server with integrated storage, of one node, with the plugin in its catalog. Unlike a dev server it
// can give up its leadership. It is stopped with the test.
func startRaft(tb testing.TB, bin, plugin string) *vaultServer {
	tb.Helper()
	return startCluster(tb, bin, plugin, 1)[0]
}

// startCluster starts a cluster of so many nodes, of which the first is active, as startRaft does. They write one audit log.
func startCluster(tb testing.TB, bin, plugin string, size int) (nodes []*vaultServer) {
	tb.Helper()
	dir := tb.TempDir()
	for i := range size {
		s := &vaultServer{addr: "http://" + freeAddress(tb), log: filepath.Join(dir, fmt.Sprintf("n%d.log", i)), plugin: linkPlugin(tb, plugin), bao: isOpenBao(tb, bin)}
		nodes = append(nodes, s)
		s.startNode(tb, bin, nodes[0])
		if i == 0 {
			begun := s.call(tb, http.MethodPut, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1})
			s.token, s.unsealKey = begun["root_token"].(string), begun["keys"].([]any)[0].(string)
		}
		s.token, s.unsealKey = nodes[0].token, nodes[0].unsealKey
		s.unseal(tb)
		if i == 0 {
			s.awaitActive(tb)
		}
	}
	program, err := os.ReadFile(plugin)
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(program)
	nodes[0].call(tb, http.MethodPut, "sys/plugins/catalog/secret/"+pluginName, map[string]any{"sha256": hex.EncodeToString(sum[:]), "command": pluginName})
	return nodes
}

// startNode starts a node of the cluster that first belongs to. It is stopped with the test.
func (s *vaultServer) startNode(tb testing.TB, bin string, first *vaultServer) {
	tb.Helper()
	name := strings.TrimSuffix(s.log, ".log")
	config := name + ".hcl"
	if err := os.Mkdir(name, 0o700); err != nil {
		tb.Fatal(err)
	}
	var n int
	fmt.Sscan(s.addr[strings.LastIndex(s.addr, ":")+1:], &n)
	join := ""
	if s != first {
		join = fmt.Sprintf("retry_join {\n    leader_api_addr = %q\n  }", first.addr)
	}
	text := fmt.Sprintf(`disable_mlock = true
raw_storage_endpoint = true
plugin_directory = %q
api_addr = %q
cluster_addr = "https://127.0.0.1:%d"
listener "tcp" {
  address = "127.0.0.1:%d"
  cluster_address = "127.0.0.1:%d"
  tls_disable = true
}
storage "raft" {
  path = %q
  node_id = %q
  performance_multiplier = 1
  %s
}
`, filepath.Dir(s.plugin), s.addr, n+1, n, n+1, name, filepath.Base(name), join) + s.auditStanza()
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := s.start(exec.Command(bin, "server", "-config="+config, "-log-level=trace")); err != nil {
		tb.Fatalf("starting Vault: %v", err)
	}
	tb.Cleanup(func() { s.stop(tb) })
	s.await(tb, "to listen", func() bool { _, status := s.try(http.MethodGet, "sys/seal-status", nil); return status == 200 })
}

// unseal unseals the node, which refuses that until it has joined its cluster.
func (s *vaultServer) unseal(tb testing.TB) {
	tb.Helper()
	s.await(tb, "to be unsealed", func() bool {
		s.try(http.MethodPut, "sys/unseal", map[string]any{"key": s.unsealKey})
		_, status := s.try(http.MethodGet, "sys/health", nil)
		return status == http.StatusOK || status == http.StatusTooManyRequests // active, or a standby
	})
}

// try makes a request of Vault's API and returns the answer, and its status or 0 if there was none.
func (s *vaultServer) try(method, path string, data map[string]any) (answer map[string]any, status int) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, 0
	}
	req, err := http.NewRequest(method, s.addr+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0
	}
	req.Header.Set("X-Vault-Token", s.token)
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		return nil, 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && json.Unmarshal(text, &answer) != nil && len(text) > 0 {
		answer = map[string]any{"text": string(text)} // metrics are no JSON
	}
	return answer, resp.StatusCode
}

// call is try for what must succeed.
func (s *vaultServer) call(tb testing.TB, method, path string, data map[string]any) map[string]any {
	tb.Helper()
	answer, status := s.try(method, path, data)
	if status < 200 || status > 299 {
		tb.Fatalf("%s %s: status %d: %v", method, path, status, answer)
	}
	return answer
}

// await waits until something has come about, and says how long that took.
func (s *vaultServer) await(tb testing.TB, what string, about func() bool) time.Duration {
	tb.Helper()
	begun := time.Now()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !about() {
		if time.Since(begun) > patience {
			tb.Fatalf("waited in vain for Vault %s", what)
		}
		<-again.C
	}
	return time.Since(begun)
}

func (s *vaultServer) awaitActive(tb testing.TB) time.Duration {
	tb.Helper()
	return s.await(tb, "to be active", func() bool { _, status := s.try(http.MethodGet, "sys/health", nil); return status == 200 })
}
