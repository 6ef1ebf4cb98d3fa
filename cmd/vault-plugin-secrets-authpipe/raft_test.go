package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
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
	bao := isOpenBao(tb, bin)
	audit := (&vaultServer{log: filepath.Join(dir, "any.log"), bao: bao}).auditStanza()
	c, err := vaulttest.StartCluster(vaulttest.Options{
		Bin: bin, Program: plugin, Size: size, Dir: dir, More: "raw_storage_endpoint = true\nlog_level = \"trace\"\n" + audit,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Stop)
	for _, node := range c.Nodes {
		s := &vaultServer{addr: node.Addr, token: c.Token(), log: node.Log(), plugin: node.Program(), bao: bao, node: node}
		tb.Cleanup(func() { s.stop(tb) })
		nodes = append(nodes, s)
	}
	return nodes
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
