package backend_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/paths"
)

// A standbyOf is a directory's node that may not write.
type standbyOf struct{ *enginetest.Directory }

func (standbyOf) ReplicationState() consts.ReplicationState {
	return consts.ReplicationPerformanceStandby
}

// as it is: Vault knows it by identity

// A scope is what a path means to a caller that is bound to a tenant.
type scope string

const (
	theirs scope = "open where it names their tenant"
	closed scope = "closed: it speaks of several tenants or of the mount"
	public scope = "open to anybody, without a token"
)

// scopes is the decision for each path of the engine.
var scopes = map[string]scope{
	"config":                               closed,
	"config/<provider>":                    closed,
	"metrics":                              closed,
	"info":                                 closed,
	"config/<provider>/verify":             closed,
	"settings":                             closed,
	"health":                               closed,
	"health/<status>":                      closed,
	"events":                               closed,
	"tenants":                              closed,
	"creds":                                closed,
	"accounts/<provider>/<account>":        closed,
	"connections":                          closed,
	"callback/<provider>":                  public,
	"webhooks/<provider>/deauthorize":      public,
	"webhooks/<provider>/data-deletion":    public,
	"webhooks/<provider>/notify":           closed,
	"tenants/<tenant>":                     theirs,
	"tenants/<tenant>/reindex":             theirs,
	"tenants/<tenant>/rotate":              theirs,
	"sessions/<tenant>/<session>":          theirs,
	"sessions/<tenant>/<session>/complete": theirs,
	"connect/<tenant>/<provider>/installation": theirs,
	"connect/<tenant>/<provider>/users/<user>": theirs,
}

func init() {
	const ref = "/<tenant>/<provider>"
	for _, tree := range []string{"creds", "connections"} {
		for _, list := range []string{"/<tenant>", ref, ref + "/users", ref + "/static", ref + "/pages", ref + "/users/<user>/pages"} {
			scopes[tree+list] = theirs
		}
		for _, leaf := range []string{"/installation", "/users/<user>", "/pages/<page>", "/users/<user>/pages/<page>", "/static/<name>"} {
			scopes[tree+ref+leaf] = theirs
		}
	}
	for _, leaf := range []string{"/installation", "/users/<user>", "/pages/<page>", "/users/<user>/pages/<page>", "/static/<name>"} {
		for _, question := range []string{"/refresh", "/check"} {
			scopes["connections"+ref+leaf+question] = theirs
		}
		if leaf != "/static/<name>" {
			scopes["connections"+ref+leaf+"/access"] = theirs
		}
	}
}

var (
	captureGroup = regexp.MustCompile(`\(\?P<(\w+)>\[\^/\]\+\)`)
	placeholder  = regexp.MustCompile(`<\w+>`)
)

// template is a path's pattern as scopes has it.
func template(pattern string) string {
	pattern = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(pattern, "^"), "$"), "/?")
	return captureGroup.ReplaceAllString(pattern, "<$1>")
}

// example is a path of the template that names tenant.
func example(template, tenant string) string {
	path := strings.ReplaceAll(template, "<tenant>", tenant)
	path = strings.ReplaceAll(path, "<provider>", "facebook")
	return placeholder.ReplaceAllString(path, "777")
}

// TestBoundCallerReachesItsTenantOnly asks for every path of the
// engine, by each of its operations, in the name of a caller that is bound to
// org_acme. A path that is added must be decided upon in scopes.
func TestBoundCallerReachesItsTenantOnly(t *testing.T) {
	e, _ := enginetest.Scoped(t)
	for _, p := range e.Paths {
		name := template(p.Pattern)
		scope, decided := scopes[name]
		if !decided || strings.ContainsAny(name, `()?*+[]\`) {
			t.Errorf("say in scopes what %s (%s) means to a caller who is bound to a tenant", name, p.Pattern)
			continue
		}
		own, others := example(name, "org_acme"), example(name, "org_globex")
		if e.Route(own) != p {
			t.Errorf("%s is served by another path than %s", own, p.Pattern)
		}
		if got := paths.TenantOf(own); (got == "org_acme") != (scope == theirs) || got != "" && got != "org_acme" {
			t.Errorf("%s is taken to be about the tenant %q", own, got)
		}
		if p.ExistenceCheck != nil {
			t.Errorf("%s checks for existence, which Vault asks for before the request", name)
		}
		for op := range p.Operations {
			for entity, want := range map[string][2]bool{
				// Whether org_acme, and another tenant, is denied them. "nobody" is a
				// deleted entity.
				"acme": {scope != theirs, true}, "free": {false, false}, "": {false, false}, "nobody": {true, true},
			} {
				for i, path := range []string{own, others} {
					for _, path := range []string{path, path + "/"} {
						if _, err := e.DoAs(entity, op, path, nil); enginetest.Denied(err) != want[i] {
							t.Errorf("%s %s as %q: %v", op, path, entity, err)
						}
					}
				}
			}
			if _, err := e.DoAs("acme", logical.HelpOperation, others, nil); err != nil {
				t.Errorf("help for %s: %v", others, err)
			}
			if scope == public {
				// Vault names the entity even there, if the browser brings a token.
				_, err := e.HandleRequest(t.Context(), &logical.Request{Operation: op, Path: own, Storage: e.Storage, EntityID: "acme", Unauthenticated: true})
				if enginetest.Denied(err) || !slices.Contains(paths.Unauthenticated, strings.ReplaceAll(name, "<provider>", "+")) {
					t.Errorf("%s is not public: %v", own, err)
				}
			}
		}
	}
	for _, path := range []string{"", "/", "org_acme", "creds//org_acme", "creds/../org_acme", "CREDS/org_acme", "other/org_acme", "creds/org_acme%2f", "/creds/org_acme", "creds/org_acme\n"} {
		if _, err := e.DoAs("acme", logical.ReadOperation, path, nil); !enginetest.Denied(err) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestBoundCallerWorksWithinItsTenant(t *testing.T) {
	e, _ := enginetest.Scoped(t)
	e.Install()
	e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "udo"})
	read := func(path string) map[string]any {
		t.Helper()
		resp, err := e.DoAs("acme", logical.ReadOperation, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Data
	}
	if got := read("creds/" + enginetest.Installation); got["access_token"] == nil {
		t.Errorf("its installation reads %v", got)
	}
	if _, err := e.DoAs("acme", logical.ListOperation, "creds/org_acme/", nil); err != nil {
		t.Error(err)
	}
	begun, err := e.DoAs("acme", logical.UpdateOperation, "connect/"+enginetest.Uma, nil)
	if err != nil {
		t.Fatal(err)
	}
	session := "sessions/org_acme/" + begun.Data["session_id"].(string)
	if got := read(session); got["status"] != "pending" {
		t.Errorf("its session reads %v", got)
	}
	// Nor does its own prefix open another tenant's session.
	other := e.Begin(enginetest.Globex, map[string]any{"actor": "boss"})
	if _, err := e.DoAs("acme", logical.ReadOperation, "sessions/org_acme/"+other.ID, nil); err == nil {
		t.Error("it reads another tenant's session")
	}
}

func TestMetadataWithoutTenantDeniesCaller(t *testing.T) {
	e, d := enginetest.Scoped(t)
	for i, value := range []string{"", "+", "*", "org_acme/", "org_acme/facebook", "/", "..", ".", "org*", "org_+", " org_acme", "org_acme ", "org_acme\x00", "org_globex,org_acme", strings.Repeat("a", 65)} {
		entity := fmt.Sprint("odd", i)
		d.Set(entity, value)
		for _, path := range []string{"creds/" + enginetest.Installation, "creds/" + value + "/facebook/installation", "creds/" + value, "connections/+/facebook/installation", "tenants/" + value, "tenants/org_acme"} {
			if _, err := e.DoAs(entity, logical.ReadOperation, path, nil); !enginetest.Denied(err) {
				t.Errorf("%s is read with the metadata %q: %v", path, value, err)
			}
		}
	}
}

func TestEntityIsNotReadWithoutSetting(t *testing.T) {
	e, d := enginetest.Scoped(t)
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": ""})
	d.Asked, d.Err = 0, errors.New("asked")
	if _, err := e.DoAs("acme", logical.ListOperation, "tenants/", nil); err != nil {
		t.Error(err)
	}
	e.RestartOn(d) // where no settings are remembered
	e.Must(logical.ListOperation, "tenants/", nil)
	if d.Asked != 0 {
		t.Errorf("asked %d times", d.Asked)
	}
}

func TestEntityIsReadOncePerPeriod(t *testing.T) {
	e, d := enginetest.Scoped(t)
	e.Install()
	d.Asked = 0
	for range 100 {
		if _, err := e.DoAs("acme", logical.ReadOperation, "creds/"+enginetest.Installation, nil); err != nil {
			t.Fatal(err)
		}
	}
	if d.Asked != 1 {
		t.Errorf("asked %d times", d.Asked)
	}
	d.Set("acme", "org_globex")
	e.Clock.Advance(2*time.Second - time.Nanosecond)
	if _, err := e.DoAs("acme", logical.ReadOperation, "creds/"+enginetest.Installation, nil); err != nil {
		t.Errorf("before two seconds are over: %v", err)
	}
	e.Clock.Advance(time.Nanosecond)
	if _, err := e.DoAs("acme", logical.ReadOperation, "creds/"+enginetest.Installation, nil); !enginetest.Denied(err) {
		t.Errorf("two seconds after it was bound to another tenant: %v", err)
	}
	d.Set("acme", "org_acme")
	e.Clock.Advance(-time.Hour)
	if _, err := e.DoAs("acme", logical.ReadOperation, "creds/"+enginetest.Installation, nil); err != nil {
		t.Errorf("an hour earlier, nobody knows how old that is: %v", err)
	}
	// What is remembered is of one key.
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "team"})
	d.Metadata["acme"] = map[string]string{"team": "org_globex"}
	if _, err := e.DoAs("acme", logical.ReadOperation, "creds/"+enginetest.Installation, nil); !enginetest.Denied(err) {
		t.Errorf("with another key: %v", err)
	}
}

func TestCallerIsDeniedIfItsEntityCannotBeRead(t *testing.T) {
	e, d := enginetest.Scoped(t)
	e.Install()
	d.Err = errors.New("connection is closing")
	for _, entity := range []string{"acme", "free"} {
		_, err := e.DoAs(entity, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
		enginetest.CheckCode(t, err, "unavailable", 502)
		if strings.Contains(err.Error(), "closing") || !strings.Contains(e.Log.String(), "connection is closing") {
			t.Errorf("the log does not say what the error does not: %v", err)
		}
	}
	if _, err := e.DoAs("", logical.ReadOperation, "creds/"+enginetest.Installation, nil); err != nil {
		t.Errorf("without an entity: %v", err)
	}
	d.Err = nil
	if _, err := e.DoAs("free", logical.ReadOperation, "creds/"+enginetest.Installation, nil); err != nil {
		t.Errorf("a failure is remembered: %v", err)
	}
}

func TestSettingsAreReadAndWritten(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	want := map[string]any{"tenant_metadata_key": "", "unbound_callers": "allow", "key_rotation_period": int64(0)}
	if diff := cmp.Diff(want, e.Read("settings")); diff != "" {
		t.Errorf("where none were written: %s", diff)
	}
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"})
	want["tenant_metadata_key"] = "tenant"
	e.Must(logical.UpdateOperation, "settings", nil) // names nothing, and changes nothing
	for _, restart := range []bool{false, true} {
		if restart {
			e.Restart()
		}
		if diff := cmp.Diff(want, e.Read("settings")); diff != "" {
			t.Error(diff)
		}
	}
	for name, data := range map[string]map[string]any{
		"an unknown field":          {"tenant_metadata": "tenant"},
		"a number":                  {"tenant_metadata_key": 1},
		"null":                      {"tenant_metadata_key": nil},
		"a key that nobody can set": {"tenant_metadata_key": "ten.ant"},
		"a key with white space":    {"tenant_metadata_key": "tenant "},
		"a key with a line feed":    {"tenant_metadata_key": "tenant\n"},
		"a key that is too long":    {"tenant_metadata_key": strings.Repeat("k", 129)},
	} {
		if text := e.Refused("invalid_request", 400, logical.UpdateOperation, "settings", data); !strings.Contains(text, "tenant_metadata") {
			t.Errorf("%s: %s", name, text)
		}
	}
	if diff := cmp.Diff(want, e.Read("settings")); diff != "" {
		t.Errorf("what was refused: %s", diff)
	}
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": ""})
	if got := e.Read("settings")["tenant_metadata_key"]; got != "" {
		t.Errorf("reset it reads %q", got)
	}
}

func TestSettingsCostWarmReadNoStorageCall(t *testing.T) {
	for name, data := range map[string]map[string]any{"never written": nil, "written": {"tenant_metadata_key": "tenant"}, "reset": {"tenant_metadata_key": ""}} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Install()
			if data != nil {
				e.Must(logical.UpdateOperation, "settings", data)
			}
			e.Read("creds/" + enginetest.Installation)
			e.ReadWarm(enginetest.Installation, nil)
			e.Restart()
			e.Read("creds/" + enginetest.Installation)
			e.ReadWarm(enginetest.Installation, nil)
		})
	}
}

func TestSettingsOfAnotherNodeApplyOnInvalidation(t *testing.T) {
	e, d := enginetest.Scoped(t)
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": ""})
	if _, err := e.DoAs("acme", logical.ListOperation, "tenants/", nil); err != nil {
		t.Fatal(err)
	}
	e.WrittenByOther(func(other *enginetest.Engine) {
		other.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"})
	})
	if _, err := e.DoAs("acme", logical.ListOperation, "tenants/", nil); !enginetest.Denied(err) {
		t.Errorf("told: %v", err)
	}
	// Without an invalidation a standby uses for half a minute what it has read, also
	// that there are no settings.
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": ""})
	e.Storage.Remove("settings")
	quiet := e.Node(standbyOf{d})
	if _, err := quiet.DoAs("acme", logical.ListOperation, "tenants/", nil); err != nil {
		t.Fatal(err)
	}
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"})
	e.Clock.Advance(30 * time.Second)
	if _, err := quiet.DoAs("acme", logical.ListOperation, "tenants/", nil); !enginetest.Denied(err) {
		t.Errorf("half a minute later: %v", err)
	}
}

func TestUnreadableSettingsDenyCallers(t *testing.T) {
	e, d := enginetest.Scoped(t)
	for name, planted := range map[string]string{"no JSON": "{", "a later version's": `{"version":2,"tenant_metadata_key":"other"}`, "of no version": "{}"} {
		e.Plant("settings", []byte(planted))
		for _, entity := range []string{"acme", "free", "entity-1"} {
			if _, err := e.DoAs(entity, logical.ReadOperation, "config/facebook", nil); err == nil {
				t.Errorf("%s: %s reads", name, entity)
			}
		}
		if _, err := e.DoAs("", logical.ReadOperation, "config/facebook", nil); err != nil {
			t.Errorf("%s: without an entity: %v", name, err)
		}
		if _, err := e.DoAs("", logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"}); err != nil {
			t.Errorf("%s: they cannot be written anew: %v", name, err)
		}
		if _, err := e.DoAs("acme", logical.ReadOperation, "config/facebook", nil); !enginetest.Denied(err) {
			t.Errorf("%s, written anew: %v", name, err)
		}
	}
	e.RestartOn(d)
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Key == "settings" {
			return storagetest.ErrStorage
		}
		return nil
	})
	for _, entity := range []string{"acme", "free"} {
		if _, err := e.DoAs(entity, logical.ReadOperation, "tenants/org_acme", nil); !errors.Is(err, storagetest.ErrStorage) {
			t.Errorf("where storage fails: %v", err)
		}
	}
	// A write must know what it keeps.
	e.Storage.Fail(func(n int, op storagetest.Operation) error {
		if n == 1 {
			return storagetest.ErrStorage
		}
		return nil
	})
	if _, err := e.DoAs("", logical.UpdateOperation, "settings", nil); err == nil || e.Read("settings")["tenant_metadata_key"] != "tenant" {
		t.Errorf("written where storage fails once: %v", err)
	}
	e.Storage.Reset()
}

func TestSettingsSurviveCrash(t *testing.T) {
	var d *enginetest.Directory
	setup := func() (e *enginetest.Engine) {
		e, d = enginetest.Scoped(t)
		return e
	}
	write := func(e *enginetest.Engine) error {
		return e.Try(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": ""})
	}
	enginetest.EachCrash(setup, write, func(e *enginetest.Engine, f enginetest.Failure) {
		e.RestartOn(d)
		got := e.Read("settings")["tenant_metadata_key"]
		if f.Err == nil && got != "" || got != "" && got != "tenant" {
			t.Errorf("%s: it reads %v", f, got)
		}
		e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "team"})
	})
}
