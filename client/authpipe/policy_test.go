package authpipe_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// TestDocumentedPoliciesAreEnough does all that a client does, with a token that has only the policies that docs/hardening.md gives
// for an application and for one that follows events.
func TestDocumentedPoliciesAreEnough(t *testing.T) {
	env := testEnvironment(t)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "hardening.md"))
	if err != nil {
		t.Fatal(err)
	}
	var policy strings.Builder
	for _, block := range regexp.MustCompile("(?s)<!-- policy: (?:application|events) -->\n```hcl\n(.*?)```").FindAllSubmatch(page, -1) {
		policy.WriteString(strings.ReplaceAll(string(block[1]), "org_acme", "policed"))
	}
	if err := env.vault.Sys().PutPolicy("policed", policy.String()); err != nil {
		t.Fatal(err)
	}
	secret, err := env.vault.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"policed"}})
	if err != nil {
		t.Fatal(err)
	}
	vault, err := env.server.Client()
	if err != nil {
		t.Fatal(err)
	}
	vault.SetToken(secret.Auth.ClientToken)
	client := authpipe.New(vault, authpipe.Options{})
	defer client.Close()

	env.connect(client, "policed", "", alice)
	credential, err := client.Credential(t.Context(), authpipe.Request{Tenant: "policed", For: authpipe.ForInstallation})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ReportDead(t.Context(), credential); err != nil {
		t.Error(err)
	}
	// ReportDead returns no error if the policy forbids only the check.
	if _, err := vault.Logical().Write("authpipe/connections/policed/facebook/installation/check", nil); err != nil {
		t.Error(err)
	}
	connection, err := client.Connection(t.Context(), authpipe.Request{Tenant: "policed", For: authpipe.ForInstallation})
	if err != nil || connection.CheckedAt.IsZero() {
		t.Errorf("got %+v, %v", connection, err)
	}
	for _, err := range client.Events(t.Context(), 0) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	began, err := client.Connect(t.Context(), authpipe.ConnectRequest{Tenant: "policed", Actor: "an-actor", ReturnURL: returnURL, For: authpipe.ForInstallation})
	if err != nil {
		t.Fatal(err)
	}
	if session, err := client.Session(t.Context(), "policed", began.Session); err != nil || session.Status != "pending" {
		t.Errorf("got %+v, %v", session, err)
	}
	if _, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation}); !errors.Is(err, authpipe.ErrPermissionDenied) {
		t.Errorf("another tenant's: %v", err)
	}
}

func TestRevokedVaultTokenIsAnOutage(t *testing.T) {
	env := testEnvironment(t)
	client := newRealClient(t, env)
	env.connect(client, "outlived", "", alice)
	policy := `path "authpipe/creds/outlived/*" { capabilities = ["read"] }`
	if err := env.vault.Sys().PutPolicy("outlived", policy); err != nil {
		t.Fatal(err)
	}
	for what, row := range map[string]struct {
		noDefault bool
		end       func(token string) error
		served    bool
	}{
		"the token is revoked":                               {false, env.vault.Auth().Token().RevokeTree, true},
		"the token without default is revoked":               {true, env.vault.Auth().Token().RevokeTree, true},
		"the policy is withdrawn":                            {false, func(string) error { return env.vault.Sys().DeletePolicy("outlived") }, false},
		"the policy of a token without default is withdrawn": {true, func(string) error { return env.vault.Sys().DeletePolicy("outlived") }, false},
	} {
		t.Run(what, func(t *testing.T) {
			if err := env.vault.Sys().PutPolicy("outlived", policy); err != nil {
				t.Fatal(err)
			}
			secret, err := env.vault.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"outlived"}, NoDefaultPolicy: row.noDefault})
			if err != nil {
				t.Fatal(err)
			}
			config := api.DefaultConfig()
			seen := &counting{pending: map[string]int{}}
			config.Address, config.MaxRetries, config.HttpClient = env.server.Addr, 0, &http.Client{Transport: seen}
			vault, err := api.NewClient(config)
			if err != nil {
				t.Fatal(err)
			}
			vault.SetToken(secret.Auth.ClientToken)
			client := authpipe.New(vault, authpipe.Options{MaxAge: 20 * time.Millisecond})
			defer client.Close()
			q := authpipe.Request{Tenant: "outlived", For: authpipe.ForInstallation}
			token(t, client, q)
			if err := row.end(secret.Auth.ClientToken); err != nil {
				t.Fatal(err)
			}
			// A refusal takes effect at the first failed renewal. After three failed requests an outage has not.
			before, _ := seen.failed.look()
			pace, deadline := time.NewTicker(5*time.Millisecond), time.After(vaulttest.Patience)
			defer pace.Stop()
			for n := before; err == nil && n < before+3; n, _ = seen.failed.look() {
				select {
				case <-pace.C:
				case <-deadline:
					t.Fatalf("in %v only %d requests failed", vaulttest.Patience, n-before)
				}
				_, err = client.Credential(t.Context(), q) // keeps it in use
			}
			if (err == nil) != row.served {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMissingMountIsErrNoMount(t *testing.T) {
	env := testEnvironment(t)
	client := authpipe.New(env.vault, authpipe.Options{Mount: "nowhere"})
	defer client.Close()
	if _, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation}); !errors.Is(err, authpipe.ErrNoMount) {
		t.Errorf("got %v", err)
	}
}
