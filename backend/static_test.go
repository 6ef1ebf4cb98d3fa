package backend_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

const (
	stripe = "org_acme/stripe/static/billing"
	hook   = "org_acme/facebook/static/webhook"
	apiKey = "sk_live_0123456789abcdef"
)

// deposit writes a static credential.
func (e *engine) deposit(ref, credentialType, value string) map[string]any {
	e.t.Helper()
	return e.must(logical.UpdateOperation, "creds/"+ref, map[string]any{"credential": value, "credential_type": credentialType, "actor": "alice"})
}

func TestAStaticCredentialIsServedAsItWasWritten(t *testing.T) {
	for name, value := range map[string]string{
		"a word":               apiKey,
		"JSON, in lines":       "{\n\t\"private_key\": \"-----BEGIN\\n<&>\"\n}\n",
		"text of other people": "ключ \u2028 鍵 🔑",
		"the longest":          strings.Repeat("<", 16<<10),
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.deposit(stripe, "api_key", value)
			want := map[string]any{
				"credential": value, "credential_type": "api_key", "credential_for": "static", "status": "active",
				"tenant_id": "org_acme", "provider": "stripe", "name": "billing",
			}
			if diff := cmp.Diff(want, e.read("creds/"+stripe)); diff != "" {
				t.Error(diff)
			}
			e.restart()
			if diff := cmp.Diff(want, e.read("creds/"+stripe)); diff != "" {
				t.Errorf("in another engine: %s", diff)
			}
			delete(want, "credential")
			want["ref"], want["generation"], want["consecutive_failures"] = stripe, uint64(1), 0
			want["connected_at"] = "2026-11-23T12:00:00Z"
			want["connected_by"] = map[string]any{"actor": "alice", "entity_id": "entity-1", "display_name": "token-app"}
			want["history"] = []map[string]any{{"at": "2026-11-23T12:00:00Z", "event": "imported"}}
			if diff := cmp.Diff(want, e.read("connections/"+stripe)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAStaticCredentialAsksNobodyAndIsNeverDue(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.DeleteOperation, "config/facebook", nil)
	e.deposit(hook, "webhook_secret", apiKey) // there is no configuration, and no installation
	for _, prefix := range []string{"due/", "status/", "account/"} {
		if keys := e.keys(prefix); len(keys) > 0 {
			t.Errorf("it stands in an index: %v", keys)
		}
	}
	for range 3 {
		e.after(40 * 24 * time.Hour)
	}
	if got := e.warm(hook, nil)["credential"]; got != apiKey {
		t.Errorf("after a third of a year it reads %v", got)
	}
	if resp, err := e.do(logical.DeleteOperation, "creds/"+hook, nil); resp != nil || err != nil {
		t.Errorf("deleting it answers %v, %v", resp, err)
	}
	if n := e.fb.Count(""); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
	text := e.refused("not_found", 404, logical.ReadOperation, "creds/"+hook, nil)
	if !strings.Contains(text, "write it to creds/"+hook) {
		t.Errorf("the error shows another way: %s", text)
	}
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+hook, nil)
	e.refused("not_found", 404, logical.DeleteOperation, "creds/"+hook, nil)
	e.deposit(hook, "webhook_secret", apiKey)
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		// This request remembers it. Another one deletes it before it looks.
		if op == (storagetest.Operation{Verb: "get", Key: "cred/" + hook}) {
			e.remove("cred/" + hook)
		}
		return nil
	})
	e.refused("not_found", 404, logical.DeleteOperation, "creds/"+hook, nil)
}

func TestAWarmReadOfAStaticCredentialMakesNoStorageCall(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.deposit(stripe, "api_key", apiKey)
	e.warm(stripe, nil)
	e.restart()
	e.read("creds/" + stripe)
	e.warm(stripe, nil)
	e.told(func(other *engine) { other.deposit(stripe, "api_key", "another") })
	if got := e.read("creds/" + stripe)["credential"]; got != "another" {
		t.Errorf("what another node wrote reads %v", got)
	}
}

func TestAStaticCredentialIsReplaced(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	_, last := e.events(0)
	e.deposit(stripe, "api_key", apiKey)
	last = e.happened(last, "connection.created "+stripe)
	e.clock.Advance(time.Hour)
	got := e.deposit(stripe, "webhook_secret", "whsec_new")
	last = e.happened(last, "connection.reconnected "+stripe)
	history := got["history"].([]map[string]any)
	if got["generation"] != uint64(2) || got["credential_type"] != "webhook_secret" || len(history) != 2 || got["connected_at"] != "2026-11-23T13:00:00Z" {
		t.Errorf("replaced it reads %v", got)
	}
	if got := e.read("creds/" + stripe)["credential"]; got != "whsec_new" {
		t.Errorf("served is %v", got)
	}
	for range 30 {
		got = e.deposit(stripe, "api_key", apiKey)
	}
	if n := len(got["history"].([]map[string]any)); n != 20 {
		t.Errorf("after many times its history has %d lines", n)
	}
	_, last = e.events(last)
	e.must(logical.DeleteOperation, "creds/"+stripe, nil)
	e.happened(last, "connection.deleted "+stripe)
}

func TestStaticCredentialsAreListed(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.deposit(hook, "webhook_secret", apiKey)
	e.deposit("org_acme/facebook/static/a@b.c", "api_key", apiKey)
	for _, tree := range []string{"creds/", "connections/"} {
		answer := e.must(logical.ListOperation, tree+"org_acme/facebook/static/", nil)
		want := map[string]any{"keys": []string{"a@b.c", "webhook"}, "key_info": map[string]any{
			"a@b.c":   map[string]any{"status": "active", "credential_type": "api_key", "connected_at": "2026-11-23T12:00:00Z"},
			"webhook": map[string]any{"status": "active", "credential_type": "webhook_secret", "connected_at": "2026-11-23T12:00:00Z"},
		}}
		if diff := cmp.Diff(want, answer); diff != "" {
			t.Errorf("%s: %s", tree, diff)
		}
		above := e.must(logical.ListOperation, tree+"org_acme/facebook/", nil)["keys"]
		if diff := cmp.Diff([]string{"installation", "static/"}, above); diff != "" {
			t.Errorf("%s: %s", tree, diff)
		}
	}
}

// TestStaticReadIgnoresTheFieldsOfTokens with a warning that says what they are
// for.
func TestStaticReadIgnoresTheFieldsOfTokens(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "creds/"+hook, map[string]any{"credential": "canary", "credential_type": "api_key"})
	for field, value := range map[string]any{"min_ttl": "1h", "proof": "now"} {
		resp, err := e.do(logical.ReadOperation, "creds/"+hook, map[string]any{field: value})
		if err != nil || !strings.Contains(strings.Join(resp.Warnings, " "), `"`+field+`" is for the token of an installation`) {
			t.Errorf("%s: %v, %v", field, resp, err)
		}
	}
	if _, err := e.do(logical.DeleteOperation, "creds/"+hook, map[string]any{"revoke": true}); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoStaticCredentialIsRefused(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	for name, row := range map[string]struct {
		op    logical.Operation
		path  string
		data  map[string]any
		names string // what the error must name
	}{
		"no credential":                    {logical.UpdateOperation, hook, map[string]any{"credential_type": "api_key"}, `"credential" is required: 1 to 16384 bytes`},
		"an empty one":                     {logical.UpdateOperation, hook, map[string]any{"credential": "", "credential_type": "api_key"}, `"credential" is required`},
		"one byte too long":                {logical.UpdateOperation, hook, map[string]any{"credential": strings.Repeat("x", 16<<10+1), "credential_type": "api_key"}, "16384"},
		"one with a NUL":                   {logical.UpdateOperation, hook, map[string]any{"credential": "canary\x00", "credential_type": "api_key"}, "NUL"},
		"one that was no text":             {logical.UpdateOperation, hook, map[string]any{"credential": "canary\uFFFD", "credential_type": "api_key"}, "base64"},
		"one that is no text":              {logical.UpdateOperation, hook, map[string]any{"credential": "canary\xff", "credential_type": "api_key"}, "base64"},
		"a number":                         {logical.UpdateOperation, hook, map[string]any{"credential": 12345678, "credential_type": "api_key"}, `"credential" must be a string`},
		"no type":                          {logical.UpdateOperation, hook, map[string]any{"credential": "canary"}, `"credential_type" must be api_key or webhook_secret`},
		"a token's type":                   {logical.UpdateOperation, hook, map[string]any{"credential": "canary", "credential_type": "oauth_token"}, "credential_type"},
		"an actor that does not print":     {logical.UpdateOperation, hook, map[string]any{"credential": "canary", "credential_type": "api_key", "actor": "\n"}, "actor"},
		"a token in place of it":           {logical.UpdateOperation, hook, map[string]any{"access_token": "canary"}, `"access_token" is for the token of an installation`},
		"a token beside it":                {logical.UpdateOperation, hook, map[string]any{"credential": "canary", "credential_type": "api_key", "access_token": "canary"}, `"access_token" is for the token`},
		"an account change":                {logical.UpdateOperation, hook, map[string]any{"credential": "canary", "credential_type": "api_key", "allow_account_change": true}, "allow_account_change"},
		"a name that is none":              {logical.UpdateOperation, "org_acme/facebook/static/..", map[string]any{"credential": "canary", "credential_type": "api_key"}, `"name" must be`},
		"an installation's":                {logical.UpdateOperation, installation, map[string]any{"credential": "canary"}, `"credential" is for static credentials`},
		"a user's":                         {logical.UpdateOperation, uma, map[string]any{"credential_type": "api_key"}, `"credential_type" is for static credentials`},
		"one that is read with the secret": {logical.ReadOperation, hook, map[string]any{"credential": "canary"}, "credential"},
	} {
		text := e.refused("invalid_request", 400, row.op, "creds/"+row.path, row.data)
		if !strings.Contains(text, row.names) || strings.Contains(text, "canary") {
			t.Errorf("%s: the error says %s", name, text)
		}
	}
	for _, question := range []string{"refresh", "check"} {
		if text := e.refused("invalid_request", 400, logical.UpdateOperation, "connections/"+hook+"/"+question, nil); !strings.Contains(text, "a static credential") || !strings.Contains(text, "creds/"+hook) {
			t.Errorf("a %s is refused with %s", question, text)
		}
	}
	for _, path := range []string{"connect/" + hook, "connections/" + hook} {
		if _, err := e.do(logical.UpdateOperation, path, nil); err == nil {
			t.Errorf("%s is written", path)
		}
	}
	if keys := e.keys("cred/org_acme/facebook/static/"); len(keys) > 0 {
		t.Errorf("stored is %v", keys)
	}
}

func TestWhiteSpaceAroundAStaticCredentialIsKeptAndWarnedOf(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for value, warned := range map[string]bool{apiKey: false, "two words": false, apiKey + "\n": true, " " + apiKey: true} {
		resp, err := e.do(logical.UpdateOperation, "creds/"+hook, map[string]any{"credential": value, "credential_type": "api_key"})
		if err != nil || (len(resp.Warnings) == 1) != warned {
			t.Errorf("%q is answered %v, %v", value, resp, err)
		}
		if got := e.read("creds/" + hook)["credential"]; got != value {
			t.Errorf("%q reads %q", value, got)
		}
	}
}

func TestAStaticCredentialOutlivesItsInstallation(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.deposit(hook, "webhook_secret", apiKey)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.read("creds/" + hook)
	e.deposit(hook, "webhook_secret", "whsec_new")
	info := e.must(logical.ListOperation, "creds/org_acme/facebook/static/", nil)["key_info"].(map[string]any)
	if info["webhook"].(map[string]any)["removing"] != nil || e.read("connections/" + hook)["removal"] != nil {
		t.Error("it is shown as being removed")
	}
	e.after(5 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
	if got := e.read("creds/" + hook)["credential"]; got != "whsec_new" {
		t.Errorf("it reads %v", got)
	}
}

func TestAReindexBearsStaticCredentials(t *testing.T) {
	e := populated(t)
	e.deposit(hook, "webhook_secret", apiKey)
	index := e.index("org_acme")
	e.reindexed()
	if diff := cmp.Diff(index, e.index("org_acme")); diff != "" {
		t.Error(diff)
	}
	if got := e.reindex(); got["done"] != 5 || got["unreadable"] != 0 {
		t.Errorf("the reindex reads %v", got)
	}
	if got := e.read("creds/" + hook)["credential"]; got != apiKey {
		t.Errorf("it reads %v", got)
	}
}

func TestAStaticCredentialIsSealedUnderItsTenantsKey(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.deposit(stripe, "api_key", apiKey)
	e.deposit("org_globex/stripe/static/billing", "api_key", "another")
	e.deposit(hook, "api_key", "a third")
	moved, err := e.storage.Storage.Get(t.Context(), "cred/"+stripe)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range e.keys("") {
		entry, err := e.storage.Storage.Get(t.Context(), key)
		if err != nil || bytes.Contains(entry.Value, []byte(apiKey)) {
			t.Errorf("%s: %v, %s", key, err, entry.Value)
		}
	}
	if log := e.log.String() + fmt.Sprint(e.read("connections/"+stripe), e.read("events")); strings.Contains(log, apiKey) {
		t.Errorf("it shows: %s", log)
	}
	for _, to := range []string{"org_globex/stripe/static/billing", hook} {
		e.plant("cred/"+to, moved.Value)
		if resp, err := e.do(logical.ReadOperation, "creds/"+to, nil); err == nil {
			t.Errorf("moved to %s it opens: %v", to, resp)
		}
		info := e.must(logical.ListOperation, "creds/"+to[:strings.LastIndex(to, "/")+1], nil)["key_info"].(map[string]any)
		if diff := cmp.Diff(map[string]any{"status": "unreadable"}, info[to[strings.LastIndex(to, "/")+1:]]); diff != "" {
			t.Error(diff)
		}
		if _, err := e.do(logical.DeleteOperation, "creds/"+to, nil); err == nil {
			t.Error("what does not open is deleted without force")
		}
	}
	e.deposit(hook, "api_key", "a fourth") // what does not open can be replaced
	e.must(logical.DeleteOperation, "creds/org_globex/stripe/static/billing", map[string]any{"force": true})
	e.refused("not_found", 404, logical.ReadOperation, "creds/org_globex/stripe/static/billing", nil)
}

// TestAStaticWriteThatDiesDoesNotLie stops the world before and after the
// effect of each storage operation of a write and of a delete: what was
// answered is so, and what was not is whole, the old or the new.
func TestAStaticWriteThatDiesDoesNotLie(t *testing.T) {
	const first, second = "first-value", "second-value"
	put := func(value string) func(*engine) error {
		return func(e *engine) error {
			_, err := e.do(logical.UpdateOperation, "creds/"+stripe, map[string]any{"credential": value, "credential_type": "api_key"})
			return err
		}
	}
	remove := func(e *engine) error { _, err := e.do(logical.DeleteOperation, "creds/"+stripe, nil); return err }
	for name, row := range map[string]struct {
		before        func(*engine) error
		act           func(*engine) error
		was, will     any // nil: there is none
		leastOfDeaths int
	}{
		"the first of a tenant":  {func(*engine) error { return nil }, put(first), nil, first, 5},
		"one in place of a one":  {put(first), put(second), first, second, 2},
		"one that is taken away": {put(first), remove, first, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			for _, afterEffect := range []bool{false, true} {
				for k := 1; ; k++ {
					e := newEngine(t, authpipetest.Options{})
					if err := row.before(e); err != nil {
						t.Fatal(err)
					}
					e.restart() // knows nothing
					e.storage.DieAt(k, afterEffect)
					acted := row.act(e)
					if len(e.storage.Operations()) < k {
						if k <= row.leastOfDeaths {
							t.Errorf("it makes only %d operations", k-1)
						}
						break
					}
					e.restart()
					when := fmt.Sprintf("killed at operation %d, after effect %v", k, afterEffect)
					e.checkInvariants(when)
					var got any
					if resp, err := e.do(logical.ReadOperation, "creds/"+stripe, nil); err == nil {
						got = resp.Data["credential"]
					}
					if got != row.will && (acted == nil || got != row.was) {
						t.Errorf("%s: answered %v, it reads %v", when, acted, got)
					}
					if err := put("again")(e); err != nil || e.read("creds/" + stripe)["credential"] != "again" {
						t.Errorf("%s: written again it answers %v", when, err)
					}
				}
			}
		})
	}
}
