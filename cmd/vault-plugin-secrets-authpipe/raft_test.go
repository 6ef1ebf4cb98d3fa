package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// startRaft starts a server with integrated storage, of one node, with the plugin in its catalog. Unlike a dev server it
// can give up its leadership. It is stopped with the test.
func startRaft(tb testing.TB, bin, plugin string) *vaultServer {
	tb.Helper()
	return startCluster(tb, bin, plugin, 1)[0]
}

// startCluster is like startRaft, with a number of nodes. The first one is active. They share an audit log.
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

// A response is a response of Vault's.
type response struct {
	status int
	body   map[string]any
}

// error returns an error that describes an unexpected response.
func (r response) error() error { return fmt.Errorf("status %d: %v", r.status, r.body) }

// request makes a request of Vault's API. It returns an error if there was no response.
func (s *vaultServer) request(method, path string, data map[string]any) (response, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return response{}, err
	}
	req, err := http.NewRequest(method, s.addr+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return response{}, err
	}
	req.Header.Set("X-Vault-Token", s.token)
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	answer := response{status: resp.StatusCode}
	text, err := io.ReadAll(resp.Body)
	if err == nil && json.Unmarshal(text, &answer.body) != nil && len(text) > 0 {
		answer.body = map[string]any{"text": string(text)} // metrics are not JSON
	}
	return answer, err
}

// try is request, with a status of 0 if there was no response.
func (s *vaultServer) try(method, path string, data map[string]any) (answer map[string]any, status int) {
	r, err := s.request(method, path, data)
	if err != nil {
		return map[string]any{"error": err.Error()}, 0
	}
	return r.body, r.status
}

// gaveUp reports whether a response is the engine's error for a call that had no response within 10 seconds. The simulator responds at
// once, so only a stalled machine leads to that.
func gaveUp(answer string) bool {
	return strings.Contains(answer, "the provider did not answer within")
}

// patiently repeats a request, or a command, while its response is due to a stalled machine.
func patiently(once func() (answer string)) {
	for range 10 {
		if !gaveUp(once()) {
			return
		}
	}
}

// call is try for a request that must succeed.
func (s *vaultServer) call(tb testing.TB, method, path string, data map[string]any) (answer map[string]any) {
	tb.Helper()
	var status int
	patiently(func() string {
		answer, status = s.try(method, path, data)
		return fmt.Sprint(answer)
	})
	if status < 200 || status > 299 {
		tb.Fatalf("%s %s: status %d: %v", method, path, status, answer)
	}
	return answer
}

// await waits until check passes. If it does not, the test fails with check's last error.
func await(tb testing.TB, what string, check func() error) {
	tb.Helper()
	if err := vaulttest.Await(what, patience, nil, check); err != nil {
		tb.Fatal(err)
	}
}

// answers returns a check that passes once a request has the status.
func (s *vaultServer) answers(status int, method, path string) func() error {
	return func() error {
		answer, err := s.request(method, path, nil)
		if err == nil && answer.status != status {
			err = answer.error()
		}
		return err
	}
}

// stepDown makes the only node of a cluster give up its leadership, and returns when it is active again. Vault leaves it out of the
// election for 10 seconds.
func (s *vaultServer) stepDown(tb testing.TB) {
	tb.Helper()
	before := s.call(tb, http.MethodGet, "sys/leader", nil)["active_time"]
	s.call(tb, http.MethodPut, "sys/step-down", nil)
	await(tb, "Vault to be active again after it has stepped down", func() error {
		leader, err := s.request(http.MethodGet, "sys/leader", nil)
		if err == nil && (leader.body["is_self"] != true || leader.body["active_time"] == before) {
			err = leader.error()
		}
		return err
	})
	s.awaitActive(tb)
}

func (s *vaultServer) awaitActive(tb testing.TB) {
	tb.Helper()
	await(tb, "Vault to be active", s.answers(http.StatusOK, http.MethodGet, "sys/health"))
}
