package backend_test

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// answeredAnywhere are the reads and lists that any node answers by itself. All
// else a standby passes on before it has done anything. A path that is added must be listed
// here, too, as one of the two.
var answeredAnywhere = []string{
	"list config",
	"list connections", "list connections/T", "list connections/T/P", "list connections/T/P/users", "list connections/T/P/static",
	"list creds", "list creds/T", "list creds/T/P", "list creds/T/P/users", "list creds/T/P/static",
	"list health/S",
	"list tenants",
	"read config/P",
	"read connections/T/P/installation", "read connections/T/P/users/U", "read connections/T/P/pages/G", "read connections/T/P/users/U/pages/G", "read connections/T/P/static/N",
	"read connections/T/P/installation/access", "read connections/T/P/users/U/access", "read connections/T/P/pages/G/access", "read connections/T/P/users/U/pages/G/access",
	"read creds/T/P/installation", "read creds/T/P/users/U", "read creds/T/P/pages/G", "read creds/T/P/users/U/pages/G", "read creds/T/P/static/N",
	"read events",
	"read health", "read info", "read metrics",
	"read settings",
	"read tenants/T",
	"update connections/T/P/static/N/check", "update connections/T/P/static/N/refresh", // are refused
	"read webhooks/P/deauthorize", // says nothing but that somebody is there
}

// A way is an operation at a path of the engine.
type way struct {
	op   logical.Operation
	name string // with a letter in place of each captured segment
	path string
}

var (
	segment  = regexp.MustCompile(`\(\?P<(\w+)>[^)]*\)`)
	examples = map[string][2]string{
		"tenant": {"T", "org_acme"}, "provider": {"P", "facebook"}, "user": {"U", "uma"}, "page": {"G", "777"},
		"name": {"N", "billing"}, "session": {"X", "x"}, "status": {"S", "needs_reauth"}, "account": {"A", "4711"},
	}
)

// ways returns every operation at every path.
func ways(e *enginetest.Engine) (all []way) {
	e.T.Helper()
	example := func(p *framework.Path, i int) string {
		path := segment.ReplaceAllStringFunc(p.Pattern, func(s string) string { return examples[segment.FindStringSubmatch(s)[1]][i] })
		return strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(path, "^"), "$"), "/?")
	}
	for _, p := range e.Paths {
		name, path := example(p, 0), example(p, 1)
		if strings.ContainsAny(path, `()?[]\`) || e.Route(path) == nil {
			e.T.Fatalf("no example of the path %s: %s", p.Pattern, path)
		}
		for _, op := range slices.Sorted(maps.Keys(p.Operations)) {
			all = append(all, way{op, string(op) + " " + name, path})
		}
	}
	return all
}

// TestStandbyForwardsWrites walks every path. A node that ran a
// handler until its first write failed would have its calls made twice: Vault
// carries the whole request out again on the node that may write.
func TestStandbyForwardsWrites(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "creds/org_acme/facebook/static/billing", map[string]any{"credential": "x", "credential_type": "api_key"})
	e.Read("creds/" + enginetest.Page777)
	var here []string
	for _, w := range ways(e) {
		other := newReplica(e)
		other.Read("settings") // which is looked at before any request
		other.readOnly()
		n := e.Facebook.Count("")
		_, err := other.Do(w.op, w.path, nil)
		if err != logical.ErrReadOnly || len(other.Storage.Operations()) != 0 {
			here = append(here, w.name)
		}
		if calls, writes := e.Facebook.Count("")-n, other.Storage.Writes(); calls != 0 || len(writes) != 0 {
			t.Errorf("%s: %d calls of the provider, %v", w.name, calls, writes)
		}
	}
	slices.Sort(here)
	if diff := cmp.Diff(slices.Sorted(slices.Values(answeredAnywhere)), here); diff != "" {
		t.Errorf("a standby does otherwise by itself: %s", diff)
	}
}

// TestStandbyForwardsReadThatNeedsACall has reads that any node serves need
// something of the provider.
func TestStandbyForwardsReadThatNeedsACall(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*enginetest.Engine)
		path    string
		data    map[string]any
	}{
		"more life is wanted than the token has":      {nil, "creds/" + enginetest.Uma, map[string]any{"min_ttl": "90d"}},
		"a page's token was never fetched":            {nil, "creds/" + enginetest.Page777, nil},
		"the credential above a page's has changed":   {func(e *enginetest.Engine) { e.Read("creds/" + enginetest.Page777); e.Install() }, "creds/" + enginetest.Page777, nil},
		"the token has expired and was not refreshed": {func(e *enginetest.Engine) { e.Clock.Advance(61 * enginetest.Day) }, "creds/" + enginetest.Uma, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			if c.happens != nil {
				c.happens(e)
			}
			other := newReplica(e)
			n := e.Facebook.Count("")
			if _, err := other.Do(logical.ReadOperation, c.path, c.data); err != logical.ErrReadOnly {
				t.Errorf("%v, want ErrReadOnly itself", err)
			}
			if calls, writes := e.Facebook.Count("")-n, other.Storage.Writes(); calls != 0 || len(writes) != 0 {
				t.Errorf("%d calls of the provider, %v", calls, writes)
			}
		})
	}
}

// TestStandbyDoesNothingPeriodically has everything be due at a node that may not
// write.
func TestStandbyDoesNothingPeriodically(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, enginetest.Acme+"/reindex", nil)
	e.Begin(enginetest.Udo, nil)
	e.Clock.Advance(30 * enginetest.Day)
	other := newReplica(e)
	n := e.Facebook.Count("")
	if err := other.Initialize(context.Background(), &logical.InitializationRequest{Storage: other.Storage}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := other.HandleRequest(context.Background(), &logical.Request{Operation: logical.RollbackOperation, Storage: other.Storage}); err != nil {
			t.Errorf("ticked, it answers %v", err)
		}
	}
	other.Cleanup(context.Background()) // which waits for what was begun
	for _, op := range other.Storage.Operations() {
		t.Errorf("it touches storage: %v", op)
	}
	if calls := e.Facebook.Count("") - n; calls != 0 {
		t.Errorf("%d calls of the provider", calls)
	}
}
