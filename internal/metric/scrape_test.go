package metric_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestScrapeMakesFewStorageCalls, however many credentials there are
// and however often somebody asks, and writes nothing.
func TestScrapeMakesFewStorageCalls(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.MustSweep()
	cost := func() int {
		e.Storage.Reset()
		e.Metrics()
		if writes := e.Storage.Writes(); len(writes) > 0 {
			t.Errorf("a scrape makes %v", writes)
		}
		return len(e.Storage.Operations())
	}
	first := cost()
	if again := cost(); again > 1 {
		t.Errorf("the next within a minute costs %d storage calls: %v", again, e.Storage.Operations())
	}
	if first > 8 {
		t.Errorf("a scrape costs %d storage calls: %v", first, e.Storage.Operations())
	}
	e.ConnectMany(20)
	e.Clock.Advance(time.Minute)
	e.MustSweep()
	if after := cost(); after > first {
		t.Errorf("with 20 more credentials it costs %d, before %d", after, first)
	}
	e.Clock.Advance(-90 * time.Second)
	if back := cost(); back < 4 {
		t.Errorf("after the clock was set back it costs %d: what was known before is taken for new", back)
	}
}

func TestMetricsCountStorageCalls(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Metrics()
	before := e.Metrics()
	e.Storage.Reset()
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Udo, nil)
	e.Must(logical.ListOperation, "tenants/", nil)
	seen := map[string]float64{}
	for _, op := range e.Storage.Operations() {
		seen[op.Verb]++
	}
	after := e.Metrics()
	seen["list"]++ // the configured providers, for these metrics
	for _, verb := range []string{"get", "put", "delete", "list"} {
		counted := `authpipe_storage_operations_total{operation="` + verb + `",outcome="ok"}`
		timed := `authpipe_storage_operation_duration_seconds_count{operation="` + verb + `"}`
		for _, name := range []string{counted, timed} {
			if got := after[name] - before[name]; got != seen[verb] {
				t.Errorf("%s grows by %v while storage sees %v", name, got, seen[verb])
			}
		}
	}
}

// Due work has some minutes before it is reported.
func TestDueWorkIsNotOverdueAtOnce(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.After(time.Hour)
	e.Begin(enginetest.Uma, nil) // which is to be forgotten, some time
	look := func(after time.Duration) (due, overdue, shown any) {
		e.Clock.Advance(after)
		got := e.Metrics()
		return got["authpipe_due_entries"], got["authpipe_overdue_entries"], e.Read("health")["overdue"]
	}
	for range 40 {
		if due, _, _ := look(time.Minute); due == 1.0 {
			break
		}
	}
	if due, overdue, shown := look(time.Minute); due != 1.0 || overdue != 0.0 || shown != 0 {
		t.Errorf("a minute late %v is due and %v (%v) overdue", due, overdue, shown)
	}
	if due, overdue, shown := look(10 * time.Minute); due != 1.0 || overdue != 1.0 || shown != 1 {
		t.Errorf("ten minutes later %v is due and %v (%v) overdue", due, overdue, shown)
	}
}

// A caller that cancels is no failure of storage's, of which somebody would be
// woken.
func TestCancelledCallerIsNoStorageFailure(t *testing.T) {
	for name, left := range map[string]error{"as Go says it": context.Canceled, "as it comes from Vault": status.Error(codes.Canceled, "context canceled")} {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Restart()
		e.Storage.Fail(func(int, storagetest.Operation) error { return left })
		_, _ = e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil)
		e.Storage.Reset()
		got := e.Metrics()
		if failed, cancelled := got[`authpipe_storage_operations_total{operation="get",outcome="error"}`], got[`authpipe_storage_operations_total{operation="get",outcome="cancelled"}`]; failed != 0 || cancelled == 0 {
			t.Errorf("%s: %v have failed, and of %v nobody waited for the end", name, failed, cancelled)
		}
	}
}

// Two scrapes at once are both answered. (It is for the race detector.)
func TestConcurrentScrapesAreAnswered(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				_, _ = e.Do(logical.ReadOperation, "metrics", nil)
			}
		})
	}
	all.Wait()
}

func TestMetricsAreServedWhileStorageFails(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Storage.Fail(func(int, storagetest.Operation) error { return storagetest.ErrStorage })
	got := e.Metrics()
	if complete, told := got["authpipe_scrape_complete"]; complete != 0 || !told {
		t.Error("what storage did not tell is taken to be complete")
	}
	if got[`authpipe_storage_operations_total{operation="list",outcome="error"}`] == 0 || got[ofFacebook("sessions_begun_total", "facebook")] != 2 {
		t.Errorf("what lies in memory is not told: %v", got)
	}
	if _, told := got["authpipe_overdue_entries"]; told {
		t.Error("it is told what nobody knows")
	}
	e.Storage.Reset()
	if got := e.Metrics(); got["authpipe_scrape_complete"] != 1 { // it is not a minute until somebody asks again
		t.Error("it stays incomplete")
	}
}

// TestLabelsNameNoTenantOrPerson asks for all that may be asked for, in names that
// anybody may choose.
func TestLabelsNameNoTenantOrPerson(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.WriteStatic("org_acme/stripe/static/primary", "api_key", "sk_1")
	e.Read("creds/org_acme/stripe/static/primary")
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	_, _ = e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	ask := func(stranger string) {
		for _, path := range []string{
			"creds/" + stranger, "creds/org_acme/" + stranger + "/installation", "creds/org_acme/facebook/users/" + stranger, stranger, stranger + "/verify",
			"config/" + stranger, "config/" + stranger + "/verify", "connect/org_acme/" + stranger + "/installation", "callback/" + stranger, "sessions/org_acme/" + stranger,
			"sessions/" + stranger + "/x/complete", "webhooks/" + stranger + "/deauthorize", "webhooks/facebook/" + stranger, "tenants/" + stranger, "health/" + stranger,
			"connections/org_acme/facebook/users/" + stranger + "/refresh", "creds/org_acme/" + stranger + "/static/x",
		} {
			for _, op := range []logical.Operation{logical.ReadOperation, logical.UpdateOperation, logical.DeleteOperation, logical.ListOperation} {
				_, _ = e.Do(op, path, nil)
			}
		}
	}
	ask("stranger-1")
	_, before := e.Metrics(), e.Metrics() // the second counts the first
	for _, name := range []string{"stranger-2", "stranger-3", "stranger-4"} {
		ask(name)
	}
	for name := range e.Metrics() {
		if _, told := before[name]; !told {
			t.Errorf("of three more names comes %s", name)
		}
	}
	telling := regexp.MustCompile(`org_acme|uma|stranger|stripe|primary|777|` + enginetest.AppID)
	for name := range e.Metrics() {
		if found := telling.FindString(name); found != "" {
			t.Errorf("%s tells of %s", name, found)
		}
	}
}

// TestMountsCountSeparately has two engines in one process, as Vault may.
func TestMountsCountSeparately(t *testing.T) {
	one, other := enginetest.New(t, authpipetest.Options{}), enginetest.New(t, authpipetest.Options{})
	counted(one, func() { other.Install() }, map[string]float64{ofFacebook("sessions_begun_total", "facebook"): 0, requests("update", "connect", "ok"): 0})
}

func TestStandbyReportsItsOwnMetrics(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	other := e.Node(&logical.StaticSystemView{ReplicationStateVal: consts.ReplicationPerformanceStandby, EntityVal: &logical.Entity{ID: "entity-1"}})
	e.Storage.Reset()
	other.Read("creds/" + enginetest.Uma)
	got := other.Metrics()
	if got[requests("read", "creds", "ok")] != 1 || got[ofFacebook("sessions_begun_total", "facebook")] != 0 || got["authpipe_scrape_complete"] != 1 {
		t.Errorf("a standby tells %v", got)
	}
	if _, told := got["authpipe_last_sweep_timestamp_seconds"]; told {
		t.Error("a node that does not sweep tells of its last sweep")
	}
	if writes := e.Storage.Writes(); len(writes) > 0 {
		t.Errorf("a standby makes %v", writes)
	}
	_, _ = other.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	if got := other.Metrics()[requests("update", "connections/check", "forwarded")]; got != 1 {
		t.Errorf("%v requests were passed on", got)
	}
}

func TestMetricsCountDeniedCallers(t *testing.T) {
	e, _ := enginetest.Scoped(t)
	counted(e, func() { _, _ = e.DoAs("acme", logical.ReadOperation, "creds/org_globex/facebook/installation", nil) }, map[string]float64{requests("read", "creds", "denied"): 1})
}

// A dawdler is a transport that takes its time on the engine's clock.
type dawdler struct {
	clock *authpipetest.Clock
	next  http.RoundTripper
}

func (s dawdler) RoundTrip(r *http.Request) (*http.Response, error) {
	s.clock.Advance(2 * time.Second)
	return s.next.RoundTrip(r)
}

func TestMetricsMeasureProviderCalls(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	b, err := backend.New(context.Background(), &logical.BackendConfig{StorageView: e.Storage, System: enginetest.SystemView(), Logger: hclog.NewNullLogger()},
		backend.Options{Now: e.Clock.Now, Transport: dawdler{e.Clock, enginetest.Unhurried{RoundTripper: http.DefaultTransport}}})
	if err != nil {
		t.Fatal(err)
	}
	e.Backend = b
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	got := e.Metrics()
	name := "authpipe_provider_call_duration_seconds"
	if got[ofFacebook(name[len("authpipe_"):]+"_sum", `operation="check",facebook`)] != 2 {
		t.Errorf("a call of two seconds is told as %v", got)
	}
	if below, all := got[name+`_bucket{operation="check",provider="facebook",le="1"}`], got[name+`_bucket{operation="check",provider="facebook",le="2.5"}`]; below != 0 || all != 1 {
		t.Errorf("its buckets are %v and %v", below, all)
	}
	if !strings.HasPrefix(string(e.Read("metrics")[logical.HTTPRawBody].([]byte)), "# HELP ") {
		t.Error("the metrics have no help")
	}
}
