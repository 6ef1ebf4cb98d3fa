package clients

import (
	"strings"
	"testing"

	"github.com/spf13/cast"
)

// TestBankVaultsRequestsSucceed sends the requests of github.com/bank-vaults/vault-sdk for vault:PATH#KEY in an environment variable, and
// processes the responses like its injector. The module proxy with which the project is built does not serve it.
func TestBankVaultsRequestsSucceed(t *testing.T) {
	t.Parallel()
	m := newMount(t, "bank-vaults")
	m.connect(t, "org_acme/facebook/installation", "ada")
	const path = "bank-vaults/creds/org_acme/facebook/installation"
	secret, err := m.vault.Logical().ReadWithData(path, map[string][]string{"version": {"-1"}})
	if err != nil || secret == nil {
		t.Fatalf("%v, %v", secret, err)
	}
	if _, kv := secret.Data["data"]; kv {
		t.Error(`a field "data" is taken for that of a KV store`)
	}
	if secret.LeaseDuration != 0 {
		t.Errorf("lease duration %d: its daemon would renew a lease that does not exist", secret.LeaseDuration)
	}
	token, err := cast.ToStringE(secret.Data["access_token"])
	if err != nil || token != m.token(t, "org_acme/facebook/installation") {
		t.Errorf("the token is %q, %v", token, err)
	}
	if len(secret.Warnings) != 1 || !strings.Contains(secret.Warnings[0], `"version"`) { // it logs each
		t.Errorf("warnings %q", secret.Warnings)
	}
	// For vault-from-path each field must be a string or a number, so docs/vault-agent.md says to name the field.
	if _, err := cast.ToStringE(secret.Data["scopes"]); err == nil {
		t.Error("scopes is a string to it: vault-from-path works, and docs/vault-agent.md says that it does not")
	}

	// >>vault:PATH#KEY#JSON is a write, whose response has the key.
	const connect = "bank-vaults/connect/org_acme/facebook/users/u1"
	begun, err := m.vault.Logical().Write(connect, map[string]any{"actor": "u1"})
	if err != nil {
		t.Fatal(err)
	}
	if url, err := cast.ToStringE(begun.Data["authorization_url"]); err != nil || !strings.HasPrefix(url, m.graph) {
		t.Errorf("the URL is %q, %v", url, err)
	}
}
