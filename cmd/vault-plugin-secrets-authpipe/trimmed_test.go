package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTrimmedVaultNamesMissingFeature runs the Vault that scripts/vault.sh builds, with configurations that need features which it
// leaves out (scripts/vault/without). Each must fail with an error that names the feature.
func TestTrimmedVaultNamesMissingFeature(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault: left out with -short")
	}
	vault := findVault(t)
	built, err := os.Stat(filepath.Join(root, "bin", "vault"))
	if err != nil {
		t.Skipf("the Vault under test is %s, which scripts/vault.sh has not built", vault)
	}
	if found, err := os.Stat(vault); err != nil || !os.SameFile(built, found) {
		t.Skipf("the Vault under test is %s, which scripts/vault.sh has not built", vault)
	}

	const server = `
		disable_mlock = true
		api_addr = "http://127.0.0.1:1"
		cluster_addr = "http://127.0.0.1:1"
		listener "tcp" {
			address = "127.0.0.1:0"
			tls_disable = true
		}`
	const inmem = server + `
		storage "inmem" {}`
	agent := func(method, config string) string {
		return `
			vault {
				address = "http://127.0.0.1:1"
			}
			auto_auth {
				method "` + method + `" {
					config = {
						` + config + `
					}
				}
				sink "file" {
					config = {
						path = "token"
					}
				}
			}`
	}
	for _, test := range []struct{ feature, command, config string }{
		{"seal alicloudkms", "server", inmem + "\nseal \"alicloudkms\" {}"},
		{"seal awskms", "server", inmem + "\nseal \"awskms\" {}"},
		{"seal azurekeyvault", "server", inmem + "\nseal \"azurekeyvault\" {}"},
		{"seal gcpckms", "server", inmem + "\nseal \"gcpckms\" {}"},
		{"seal ocikms", "server", inmem + "\nseal \"ocikms\" {}"},
		{"auto_join of retry_join", "server", server + `
			storage "raft" {
				path = "raft"
				retry_join {
					auto_join = "provider=aws tag_key=vault tag_value=yes"
				}
			}`},
		{"telemetry to Stackdriver", "server", inmem + `
			telemetry {
				stackdriver_project_id = "project"
			}`},
		{"auto-auth by alicloud", "agent", agent("alicloud", `role = "role"`+"\n"+`region = "region"`)},
		{"auto-auth by aws", "agent", agent("aws", `type = "iam"`+"\n"+`role = "role"`)},
		{"auto-auth by oci", "proxy", agent("oci", `type = "apikey"`+"\n"+`role = "role"`)},
		{"vault hcp connect", "hcp connect", ""},
	} {
		t.Run(test.feature, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(test.command)
			dir := t.TempDir()
			if test.config != "" {
				config := filepath.Join(dir, "config.hcl")
				if err := os.WriteFile(config, []byte(test.config), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-config="+config)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			run := exec.CommandContext(ctx, vault, args...)
			run.Dir, run.Env = dir, []string{"HOME=" + dir} // without the environment variables of seals
			out, err := run.CombinedOutput()
			if want := test.feature + " is not part of this build of Vault"; err == nil || !strings.Contains(string(out), want) {
				t.Errorf("vault %s: %v, without %q:\n%s", test.command, err, want, out)
			}
		})
	}
}
