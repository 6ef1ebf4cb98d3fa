package paths_test

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
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestStaticCredentialIsServedAsWritten(t *testing.T) {
	for name, value := range map[string]string{
		"a word":               enginetest.APIKey,
		"JSON, in lines":       "{\n\t\"private_key\": \"-----BEGIN\\n<&>\"\n}\n",
		"text of other people": "ключ \u2028 鍵 🔑",
		"the longest":          strings.Repeat("<", 16<<10),
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.WriteStatic(enginetest.StaticStripe, "api_key", value)
			want := map[string]any{
				"credential": value, "credential_type": "api_key", "credential_for": "static", "status": "active",
				"tenant_id": "org_acme", "provider": "stripe", "name": "billing",
			}
			if diff := cmp.Diff(want, e.Read("creds/"+enginetest.StaticStripe)); diff != "" {
				t.Error(diff)
			}
			e.Restart()
			if diff := cmp.Diff(want, e.Read("creds/"+enginetest.StaticStripe)); diff != "" {
				t.Errorf("in another engine: %s", diff)
			}
			delete(want, "credential")
			want["ref"], want["generation"], want["consecutive_failures"] = enginetest.StaticStripe, uint64(1), 0
			want["connected_at"] = "2026-11-23T12:00:00Z"
			want["connected_by"] = map[string]any{"actor": "alice", "entity_id": "entity-1", "display_name": "token-app"}
			want["history"] = []map[string]any{{"at": "2026-11-23T12:00:00Z", "event": "imported"}}
			if diff := cmp.Diff(want, e.Read("connections/"+enginetest.StaticStripe)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStaticCredentialMakesNoCallAndIsNeverDue(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.DeleteOperation, "config/facebook", nil)
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey) // there is no configuration, and no installation
	for _, prefix := range []string{"due/", "status/", "account/"} {
		if keys := e.Storage.Under(prefix); len(keys) > 0 {
			t.Errorf("it stands in an index: %v", keys)
		}
	}
	for range 3 {
		e.After(40 * 24 * time.Hour)
	}
	if got := e.ReadWarm(enginetest.StaticHook, nil)["credential"]; got != enginetest.APIKey {
		t.Errorf("after a third of a year it reads %v", got)
	}
	if resp, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.StaticHook, nil); resp != nil || err != nil {
		t.Errorf("deleting it answers %v, %v", resp, err)
	}
	if n := e.Facebook.Count(""); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
	text := e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.StaticHook, nil)
	if !strings.Contains(text, "write it to creds/"+enginetest.StaticHook) {
		t.Errorf("the error shows another way: %s", text)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.StaticHook, nil)
	e.Refused("not_found", 404, logical.DeleteOperation, "creds/"+enginetest.StaticHook, nil)
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey)
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		// This request remembers it. Another one deletes it before it looks.
		if op == (storagetest.Operation{Verb: "get", Key: "cred/" + enginetest.StaticHook}) {
			e.Storage.Remove("cred/" + enginetest.StaticHook)
		}
		return nil
	})
	e.Refused("not_found", 404, logical.DeleteOperation, "creds/"+enginetest.StaticHook, nil)
}

func TestWarmReadOfStaticCredentialMakesNoStorageCall(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
	e.ReadWarm(enginetest.StaticStripe, nil)
	e.Restart()
	e.Read("creds/" + enginetest.StaticStripe)
	e.ReadWarm(enginetest.StaticStripe, nil)
	e.WrittenByOther(func(other *enginetest.Engine) { other.WriteStatic(enginetest.StaticStripe, "api_key", "another") })
	if got := e.Read("creds/" + enginetest.StaticStripe)["credential"]; got != "another" {
		t.Errorf("what another node wrote reads %v", got)
	}
}

func TestStaticCredentialIsReplaced(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	_, last := e.Events(0)
	e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
	last = e.CheckEvents(last, "connection.created "+enginetest.StaticStripe)
	e.Clock.Advance(time.Hour)
	got := e.WriteStatic(enginetest.StaticStripe, "webhook_secret", "whsec_new")
	last = e.CheckEvents(last, "connection.reconnected "+enginetest.StaticStripe)
	history := got["history"].([]map[string]any)
	if got["generation"] != uint64(2) || got["credential_type"] != "webhook_secret" || len(history) != 2 || got["connected_at"] != "2026-11-23T13:00:00Z" {
		t.Errorf("replaced it reads %v", got)
	}
	if got := e.Read("creds/" + enginetest.StaticStripe)["credential"]; got != "whsec_new" {
		t.Errorf("served is %v", got)
	}
	for range 30 {
		got = e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
	}
	if n := len(got["history"].([]map[string]any)); n != 20 {
		t.Errorf("after many times its history has %d lines", n)
	}
	_, last = e.Events(last)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.StaticStripe, nil)
	e.CheckEvents(last, "connection.deleted "+enginetest.StaticStripe)
}

func TestStaticCredentialsAreListed(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey)
	e.WriteStatic("org_acme/facebook/static/a@b.c", "api_key", enginetest.APIKey)
	for _, tree := range []string{"creds/", "connections/"} {
		answer := e.Must(logical.ListOperation, tree+"org_acme/facebook/static/", nil)
		want := map[string]any{"keys": []string{"a@b.c", "webhook"}, "key_info": map[string]any{
			"a@b.c":   map[string]any{"status": "active", "credential_type": "api_key", "connected_at": "2026-11-23T12:00:00Z"},
			"webhook": map[string]any{"status": "active", "credential_type": "webhook_secret", "connected_at": "2026-11-23T12:00:00Z"},
		}}
		if diff := cmp.Diff(want, answer); diff != "" {
			t.Errorf("%s: %s", tree, diff)
		}
		above := e.Must(logical.ListOperation, tree+"org_acme/facebook/", nil)["keys"]
		if diff := cmp.Diff([]string{"installation", "static/"}, above); diff != "" {
			t.Errorf("%s: %s", tree, diff)
		}
	}
}

// TestStaticReadIgnoresTheFieldsOfTokens with a warning that says what they are
// for.
func TestStaticReadIgnoresTheFieldsOfTokens(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "creds/"+enginetest.StaticHook, map[string]any{"credential": "canary", "credential_type": "api_key"})
	for field, value := range map[string]any{"min_ttl": "1h", "proof": "now"} {
		resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.StaticHook, map[string]any{field: value})
		if err != nil || !strings.Contains(strings.Join(resp.Warnings, " "), `"`+field+`" is for the token of an installation`) {
			t.Errorf("%s: %v, %v", field, resp, err)
		}
	}
	if _, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.StaticHook, map[string]any{"revoke": true}); err != nil {
		t.Error(err)
	}
}

func TestBadStaticCredentialIsRefused(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	for name, row := range map[string]struct {
		op    logical.Operation
		path  string
		data  map[string]any
		names string // what the error must name
	}{
		"no credential":                    {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential_type": "api_key"}, `"credential" is required: 1 to 16384 bytes`},
		"an empty one":                     {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "", "credential_type": "api_key"}, `"credential" is required`},
		"one byte too long":                {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": strings.Repeat("x", 16<<10+1), "credential_type": "api_key"}, "16384"},
		"one with a NUL":                   {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "canary\x00", "credential_type": "api_key"}, "NUL"},
		"one that was no text":             {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "canary\uFFFD", "credential_type": "api_key"}, "base64"},
		"one that is no text":              {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "canary\xff", "credential_type": "api_key"}, "base64"},
		"a number":                         {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": 12345678, "credential_type": "api_key"}, `"credential" must be a string`},
		"no type":                          {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "canary"}, `"credential_type" must be api_key or webhook_secret`},
		"a token's type":                   {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "canary", "credential_type": "oauth_token"}, "credential_type"},
		"an actor that does not print":     {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "canary", "credential_type": "api_key", "actor": "\n"}, "actor"},
		"a token in place of it":           {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"access_token": "canary"}, `"access_token" is for the token of an installation`},
		"a token beside it":                {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "canary", "credential_type": "api_key", "access_token": "canary"}, `"access_token" is for the token`},
		"an account change":                {logical.UpdateOperation, enginetest.StaticHook, map[string]any{"credential": "canary", "credential_type": "api_key", "allow_account_change": true}, "allow_account_change"},
		"a name that is none":              {logical.UpdateOperation, "org_acme/facebook/static/..", map[string]any{"credential": "canary", "credential_type": "api_key"}, `"name" must be`},
		"an installation's":                {logical.UpdateOperation, enginetest.Installation, map[string]any{"credential": "canary"}, `"credential" is for static credentials`},
		"a user's":                         {logical.UpdateOperation, enginetest.Uma, map[string]any{"credential_type": "api_key"}, `"credential_type" is for static credentials`},
		"one that is read with the secret": {logical.ReadOperation, enginetest.StaticHook, map[string]any{"credential": "canary"}, "credential"},
	} {
		text := e.Refused("invalid_request", 400, row.op, "creds/"+row.path, row.data)
		if !strings.Contains(text, row.names) || strings.Contains(text, "canary") {
			t.Errorf("%s: the error says %s", name, text)
		}
	}
	for _, question := range []string{"refresh", "check"} {
		if text := e.Refused("invalid_request", 400, logical.UpdateOperation, "connections/"+enginetest.StaticHook+"/"+question, nil); !strings.Contains(text, "a static credential") || !strings.Contains(text, "creds/"+enginetest.StaticHook) {
			t.Errorf("a %s is refused with %s", question, text)
		}
	}
	for _, path := range []string{"connect/" + enginetest.StaticHook, "connections/" + enginetest.StaticHook} {
		if _, err := e.Do(logical.UpdateOperation, path, nil); err == nil {
			t.Errorf("%s is written", path)
		}
	}
	if keys := e.Storage.Under("cred/org_acme/facebook/static/"); len(keys) > 0 {
		t.Errorf("stored is %v", keys)
	}
}

func TestStaticCredentialKeepsWhiteSpaceAndWarns(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for value, warned := range map[string]bool{enginetest.APIKey: false, "two words": false, enginetest.APIKey + "\n": true, " " + enginetest.APIKey: true} {
		resp, err := e.Do(logical.UpdateOperation, "creds/"+enginetest.StaticHook, map[string]any{"credential": value, "credential_type": "api_key"})
		if err != nil || (len(resp.Warnings) == 1) != warned {
			t.Errorf("%q is answered %v, %v", value, resp, err)
		}
		if got := e.Read("creds/" + enginetest.StaticHook)["credential"]; got != value {
			t.Errorf("%q reads %q", value, got)
		}
	}
}

func TestStaticCredentialOutlivesInstallation(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Read("creds/" + enginetest.StaticHook)
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", "whsec_new")
	info := e.Must(logical.ListOperation, "creds/org_acme/facebook/static/", nil)["key_info"].(map[string]any)
	if info["webhook"].(map[string]any)["removing"] != nil || e.Read("connections/" + enginetest.StaticHook)["removal"] != nil {
		t.Error("it is shown as being removed")
	}
	e.After(5 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
	if got := e.Read("creds/" + enginetest.StaticHook)["credential"]; got != "whsec_new" {
		t.Errorf("it reads %v", got)
	}
}

func TestReindexSkipsStaticCredentials(t *testing.T) {
	e := enginetest.Populated(t)
	e.WriteStatic(enginetest.StaticHook, "webhook_secret", enginetest.APIKey)
	index := e.Tenant.Index("org_acme")
	e.Tenant.RunReindex()
	if diff := cmp.Diff(index, e.Tenant.Index("org_acme")); diff != "" {
		t.Error(diff)
	}
	if got := e.Tenant.Reindex(); got["done"] != 5 || got["unreadable"] != 0 {
		t.Errorf("the reindex reads %v", got)
	}
	if got := e.Read("creds/" + enginetest.StaticHook)["credential"]; got != enginetest.APIKey {
		t.Errorf("it reads %v", got)
	}
}

func TestStaticCredentialIsSealedUnderTenantKey(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
	e.WriteStatic("org_globex/stripe/static/billing", "api_key", "another")
	e.WriteStatic(enginetest.StaticHook, "api_key", "a third")
	moved, err := e.Storage.Storage.Get(t.Context(), "cred/"+enginetest.StaticStripe)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range e.Storage.Under("") {
		entry, err := e.Storage.Storage.Get(t.Context(), key)
		if err != nil || bytes.Contains(entry.Value, []byte(enginetest.APIKey)) {
			t.Errorf("%s: %v, %s", key, err, entry.Value)
		}
	}
	if log := e.Log.String() + fmt.Sprint(e.Read("connections/"+enginetest.StaticStripe), e.Read("events")); strings.Contains(log, enginetest.APIKey) {
		t.Errorf("it shows: %s", log)
	}
	for _, to := range []string{"org_globex/stripe/static/billing", enginetest.StaticHook} {
		e.Plant("cred/"+to, moved.Value)
		if resp, err := e.Do(logical.ReadOperation, "creds/"+to, nil); err == nil {
			t.Errorf("moved to %s it opens: %v", to, resp)
		}
		info := e.Must(logical.ListOperation, "creds/"+to[:strings.LastIndex(to, "/")+1], nil)["key_info"].(map[string]any)
		if diff := cmp.Diff(map[string]any{"status": "unreadable"}, info[to[strings.LastIndex(to, "/")+1:]]); diff != "" {
			t.Error(diff)
		}
		if _, err := e.Do(logical.DeleteOperation, "creds/"+to, nil); err == nil {
			t.Error("what does not open is deleted without force")
		}
	}
	e.WriteStatic(enginetest.StaticHook, "api_key", "a fourth") // what does not open can be replaced
	e.Must(logical.DeleteOperation, "creds/org_globex/stripe/static/billing", map[string]any{"force": true})
	e.Refused("not_found", 404, logical.ReadOperation, "creds/org_globex/stripe/static/billing", nil)
}

// TestStaticWriteSurvivesCrash stops the world before and after the
// effect of each storage operation of a write and of a delete: what was
// answered is so, and what was not is whole, the old or the new.
func TestStaticWriteSurvivesCrash(t *testing.T) {
	const first, second = "first-value", "second-value"
	put := func(value string) func(*enginetest.Engine) error {
		return func(e *enginetest.Engine) error {
			_, err := e.Do(logical.UpdateOperation, "creds/"+enginetest.StaticStripe, map[string]any{"credential": value, "credential_type": "api_key"})
			return err
		}
	}
	remove := func(e *enginetest.Engine) error {
		return e.Try(logical.DeleteOperation, "creds/"+enginetest.StaticStripe, nil)
	}
	for name, row := range map[string]struct {
		before        func(*enginetest.Engine) error
		act           func(*enginetest.Engine) error
		was, will     any // nil: there is none
		leastOfDeaths int
	}{
		"the first of a tenant":  {func(*enginetest.Engine) error { return nil }, put(first), nil, first, 5},
		"one in place of a one":  {put(first), put(second), first, second, 2},
		"one that is taken away": {put(first), remove, first, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			setup := func() *enginetest.Engine {
				e := enginetest.New(t, authpipetest.Options{})
				if err := row.before(e); err != nil {
					t.Fatal(err)
				}
				e.Restart() // knows nothing
				return e
			}
			n := enginetest.EachCrash(setup, row.act, func(e *enginetest.Engine, f enginetest.Failure) {
				e.CheckInvariants(f.String())
				var got any
				if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.StaticStripe, nil); err == nil {
					got = resp.Data["credential"]
				}
				if got != row.will && (f.Err == nil || got != row.was) {
					t.Errorf("%s: it reads %v", f, got)
				}
				if err := put("again")(e); err != nil || e.Read("creds/" + enginetest.StaticStripe)["credential"] != "again" {
					t.Errorf("%s: written again it answers %v", f, err)
				}
			})
			if n < row.leastOfDeaths {
				t.Errorf("it makes only %d operations", n)
			}
		})
	}
}
