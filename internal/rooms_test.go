// Package internal_test keeps the rooms of the engine apart.
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/authpipe/vault-plugin-secrets-authpipe/"

// A rule says what a room may import of ours, and what it must never import,
// by prefix. Imports go down only.
type rule struct{ may, never []string }

const (
	vault     = "github.com/hashicorp/vault"
	framework = "github.com/hashicorp/vault/sdk/framework"
)

var rooms = map[string]rule{
	"internal/oauth":                    {nil, []string{vault}},
	"internal/tenant":                   {nil, []string{vault}},
	"internal/provider":                 {[]string{"internal/oauth"}, []string{vault}},
	"internal/provider/facebook":        {[]string{"internal/oauth", "internal/provider"}, []string{vault}},
	"internal/store/cache":              {nil, []string{framework}},
	"internal/store/due":                {nil, []string{framework}},
	"internal/store/event":              {nil, []string{framework}},
	"internal/store":                    {[]string{"internal/oauth", "internal/tenant", "internal/store/cache"}, []string{framework}},
	"internal/admission":                {[]string{"internal/oauth", "internal/tenant", "internal/store"}, []string{vault}},
	"internal/plan":                     {[]string{"internal/tenant", "internal/store"}, []string{vault}},
	"internal/breaker":                  {[]string{"internal/provider", "internal/store"}, []string{vault}},
	"internal/revoke":                   {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/breaker"}, []string{vault}},
	"internal/sweep":                    {[]string{"internal/store"}, []string{vault}},
	"internal/notification":             {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/breaker", "internal/revoke", "internal/sweep"}, []string{vault}},
	"internal/upkeep":                   {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/admission", "internal/sweep", "internal/plan"}, []string{vault}},
	"internal/flow":                     {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/admission", "internal/plan", "internal/breaker", "internal/revoke"}, []string{vault}},
	"internal/callbackpage":             {[]string{"internal/oauth", "internal/flow"}, []string{vault}},
	"internal/call":                     {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/admission", "internal/plan", "internal/breaker", "internal/revoke", "internal/sweep"}, []string{vault}},
	"internal/pages":                    {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/admission", "internal/breaker", "internal/call"}, []string{vault}},
	"internal/refresh":                  {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/admission", "internal/plan", "internal/breaker", "internal/revoke", "internal/call", "internal/pages", "internal/sweep"}, []string{vault}},
	"internal/removal":                  {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/admission", "internal/plan", "internal/breaker", "internal/revoke", "internal/notification", "internal/call", "internal/sweep"}, []string{vault}},
	"internal/version":                  {nil, []string{vault}},
	"internal/metric":                   {[]string{"internal/oauth", "internal/provider", "internal/store", "internal/breaker", "internal/call", "internal/sweep", "internal/version"}, []string{framework}},
	"paths":                             {[]string{"internal/callbackpage", "internal/oauth", "internal/tenant", "internal/provider", "internal/store", "internal/admission", "internal/plan", "internal/breaker", "internal/flow", "internal/notification", "internal/pages", "internal/refresh", "internal/removal", "internal/sweep", "internal/upkeep", "internal/version"}, nil},
	"backend":                           {[]string{"internal/oauth", "internal/tenant", "internal/provider", "internal/provider/facebook", "internal/store", "internal/breaker", "internal/revoke", "internal/notification", "internal/flow", "internal/call", "internal/pages", "internal/refresh", "internal/removal", "internal/sweep", "internal/upkeep", "internal/version", "internal/metric", "paths"}, nil},
	"authpipetest":                      {nil, []string{vault}},
	"authpipetest/storagetest":          {nil, []string{framework}},
	"cmd/vault-plugin-secrets-authpipe": {[]string{"backend", "internal/version"}, nil},
	"internal/steady":                   {nil, []string{vault}},
	"client/authpipe":                   {[]string{"internal/steady"}, []string{vault + "/sdk"}},
	"cmd/facebook-simulator":            {[]string{"authpipetest"}, []string{vault}},
	// What tests of all rooms use to search for what none may show.
	"internal/canary":  {nil, []string{vault}},
	"scripts/visit":    {nil, []string{vault}},
	"scripts/runtests": {nil, []string{vault}},
	// What makes the tables of the documentation, for the test that looks whether they are there.
	"internal/reference": {nil, []string{vault}},
	// The harness of the engine's tests. Test packages of all rooms import it; no package does.
	"internal/enginetest": {[]string{"authpipetest", "authpipetest/storagetest", "backend", "internal/longtest", "internal/tenant", "internal/version"}, nil},
	// What holds dialects against the contract of the seam, and the one that only tests use.
	"internal/provider/providertest":       {[]string{"internal/oauth", "internal/provider"}, []string{vault}},
	"internal/provider/providertest/plain": {[]string{"internal/oauth", "internal/provider"}, []string{vault}},
	// What tests use that need a Vault.
	"internal/longtest":  {nil, []string{vault}},
	"internal/vaulttest": {nil, []string{vault + "/sdk"}},
	// It drives the engine as Vault does, but for two things: it seals a million credentials with the store, where to
	// connect them would take an hour, and plans them for one minute.
	"bench":          {[]string{"authpipetest", "client/authpipe", "backend", "bench/crowd", "internal/store", "internal/tenant", "internal/vaulttest"}, nil},
	"bench/crowd":    {[]string{"internal/store", "internal/tenant", "internal/oauth"}, nil},
	"bench/filler":   {[]string{"bench/crowd", "internal/store"}, nil},
	"bench/constant": {nil, nil},
	// Tests only, of many nodes.
	"ha": {nil, nil},
	// Tests only, of files that other programs read.
	"examples": {nil, nil},
}

func TestImportsGoDownOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		if name == "internal" {
			continue // this test
		}
		seen++
		r, ok := rooms[name]
		if !ok {
			t.Errorf("%s is no room of the house: say here what it may import", name)
			continue
		}
		for _, path := range p.Imports {
			ours, ok := strings.CutPrefix(path, module)
			if ours == "internal/store/due" || ours == "internal/store/event" {
				ours = "internal/store" // of whose fields they are the types
			}
			if ok && ours != name && !slices.Contains(r.may, ours) {
				t.Errorf("%s imports %s", name, ours)
			}
			for _, prefix := range r.never {
				if path == prefix || strings.HasPrefix(path, prefix+"/") {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

// The simulator is also for programs that have nothing to do with Vault.
func TestSimulatorLinksNoVault(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"cmd/facebook-simulator").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"authpipetest") {
		t.Fatal("the simulator does not depend on authpipetest")
	}
	for _, path := range deps {
		if strings.HasPrefix(path, "github.com/hashicorp/") {
			t.Errorf("the simulator links %s", path)
		}
	}
}
