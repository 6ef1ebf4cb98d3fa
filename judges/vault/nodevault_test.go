package clients

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// tapLine is a line of TAP about one test: https://testanything.org.
var tapLine = regexp.MustCompile(`(?m)^(not )?ok \d+ - (.*)$`)

// TestNodeVault runs judges/js/vault, which uses the npm package node-vault.
func TestNodeVault(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "js")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "node-vault")); err != nil {
		t.Fatalf("%v: run npm ci in judges/js first", err)
	}
	m, throttled, down := newMount(t, "node-vault"), newMount(t, "node-vault-throttled"), newMount(t, "node-vault-down")
	throttled.connect(t, "org_acme/facebook/installation", "ada")
	throttled.facebook.Throttle(authpipetest.Throttle{App: appID, CallCount: 100})
	down.connect(t, "org_acme/facebook/installation", "ada")
	down.facebook.Fail(authpipetest.Fault{Status: http.StatusServiceUnavailable, Body: "<h1>Sorry</h1>"})
	var out bytes.Buffer
	cmd := exec.Command("node", "--test", "--test-reporter=tap", filepath.Join("vault", "node-vault.test.mjs"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "VAULT_ADDR="+m.addr, "VAULT_TOKEN="+m.vault.Token(), "MOUNT="+m.path, "SIMULATOR="+m.graph)
	cmd.Stdout, cmd.Stderr = &out, &out
	exited, err := vaulttest.StartProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	<-exited
	tests := tapLine.FindAllStringSubmatch(out.String(), -1)
	for _, test := range tests {
		t.Run(test[2], func(t *testing.T) {
			if test[1] != "" {
				t.Error("failed: see the output of TestNodeVault")
			}
		})
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 || len(tests) == 0 {
		t.Errorf("node ended with %d after %d tests:\n%s", code, len(tests), &out)
	}
}
