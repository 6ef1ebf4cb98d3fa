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

// A response is what Vault answered.
type response struct {
	status int
	body   map[string]any
}

// error describes a response that is not the one that was expected.
func (r response) error() error { return fmt.Errorf("status %d: %v", r.status, r.body) }

// ask makes a request of Vault's API. It returns an error if there was no answer.
func (s *vaultServer) ask(method, path string, data map[string]any) (response, error) {
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
		answer.body = map[string]any{"text": string(text)} // metrics are no JSON
	}
	return answer, err
}

// try is ask, with a status of 0 where there was no answer.
func (s *vaultServer) try(method, path string, data map[string]any) (answer map[string]any, status int) {
	r, err := s.ask(method, path, data)
	if err != nil {
		return map[string]any{"error": err.Error()}, 0
	}
	return r.body, r.status
}

// gaveUp reports whether an answer says that the engine gave a call to the provider up, for want of an answer within its 10 seconds.
// The simulated one answers at once: only a machine that stands still for that long makes it so.
func gaveUp(answer string) bool {
	return strings.Contains(answer, "the provider did not answer within")
}

// patiently makes a request, or runs a command, until the answer is not one of a machine that stood still.
func patiently(once func() (answer string)) {
	for range 10 {
		if !gaveUp(once()) {
			return
		}
	}
}

// call is try for what must succeed.
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

// await waits until check passes. A test that gives up says what was awaited, and what check returned last.
func await(tb testing.TB, what string, check func() error) {
	tb.Helper()
	if err := vaulttest.Await(what, patience, nil, check); err != nil {
		tb.Fatal(err)
	}
}

// answers returns a check that passes once a request is answered with the status.
func (s *vaultServer) answers(status int, method, path string) func() error {
	return func() error {
		answer, err := s.ask(method, path, nil)
		if err == nil && answer.status != status {
			err = answer.error()
		}
		return err
	}
}

// stepDown has the active node of a cluster of one give up its leadership, and returns when it is active again. Vault leaves it out
// of the election for 10 seconds.
func (s *vaultServer) stepDown(tb testing.TB) {
	tb.Helper()
	before := s.call(tb, http.MethodGet, "sys/leader", nil)["active_time"]
	s.call(tb, http.MethodPut, "sys/step-down", nil)
	await(tb, "Vault to be active again after it has stepped down", func() error {
		leader, err := s.ask(http.MethodGet, "sys/leader", nil)
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
