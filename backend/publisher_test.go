package backend_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/canary"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A told is an event that was sent to Vault.
type told struct {
	name string
	data map[string]any
}

// A vaultBus is a Vault with both sinks. It answers as take says.
type vaultBus struct {
	events, observations chan told
	take                 func(context.Context) error
}

func (v vaultBus) SendEvent(ctx context.Context, t logical.EventType, e *logical.EventData) error {
	if err := v.take(ctx); err != nil {
		return err
	}
	v.events <- told{string(t), e.Metadata.AsMap()}
	return nil
}

func (v vaultBus) RecordObservationFromPlugin(ctx context.Context, name string, data map[string]any) error {
	if err := v.take(ctx); err != nil {
		return err
	}
	v.observations <- told{name, data}
	return nil
}

// next returns what Vault gets next.
func next(t *testing.T, from chan told) told {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(enginetest.Patience):
		t.Fatalf("Vault was sent nothing more in %v", enginetest.Patience)
		return told{}
	}
}

// publishing returns an engine with an installation, Uma and a Vault that takes events.
func publishing(t *testing.T, take func(context.Context) error) (*enginetest.Engine, vaultBus) {
	t.Helper()
	e := enginetest.Connected(t, authpipetest.Options{})
	v := vaultBus{make(chan told, 10_000), make(chan told, 10_000), take}
	b, err := backend.New(t.Context(), &logical.BackendConfig{
		StorageView: e.Storage, System: enginetest.SystemView(), EventsSender: v, ObservationRecorder: v,
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: e.Log}),
	}, backend.Options{Now: e.Clock.Now, Transport: enginetest.Unhurried{RoundTripper: http.DefaultTransport}})
	if err != nil {
		t.Fatal(err)
	}
	e.Backend = b
	return e, v
}

func listens(context.Context) error { return nil }

func TestEventsArePublishedToVault(t *testing.T) {
	for name, row := range map[string]struct {
		act  func(*enginetest.Engine)
		kind string
		want map[string]any
		seen told
	}{
		"a person is connected": {
			func(e *enginetest.Engine) { e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"}) }, "connection-created",
			map[string]any{"path": "connections/" + enginetest.Udo, "data_path": "creds/" + enginetest.Udo, "modified": "true", "ref": enginetest.Udo},
			told{"connection/created", map[string]any{"path": "connections/" + enginetest.Udo, "ref": enginetest.Udo, "tenant_id": "org_acme", "provider": "facebook", "credential_for": "user"}},
		},
		"a token is refreshed": {
			func(e *enginetest.Engine) {
				e.Clock.Advance(30 * enginetest.Day)
				e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			}, "connection-refreshed",
			map[string]any{"path": "connections/" + enginetest.Uma, "data_path": "creds/" + enginetest.Uma, "modified": "true", "ref": enginetest.Uma},
			told{"connection/refreshed", map[string]any{"path": "connections/" + enginetest.Uma, "ref": enginetest.Uma, "tenant_id": "org_acme", "provider": "facebook", "credential_for": "user"}},
		},
		"a refresh fails": {
			func(e *enginetest.Engine) {
				defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}})()
				_, _ = e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
			}, "connection-refresh-fail",
			map[string]any{"path": "connections/" + enginetest.Installation, "data_path": "creds/" + enginetest.Installation, "modified": "false", "ref": enginetest.Installation},
			told{"connection/refresh-failed", map[string]any{"path": "connections/" + enginetest.Installation, "ref": enginetest.Installation, "tenant_id": "org_acme", "provider": "facebook", "credential_for": "installation"}},
		},
		"a tenant is suspended": {
			func(e *enginetest.Engine) { e.Tenant.Suspend(true) }, "tenant-suspended",
			map[string]any{"path": "tenants/org_acme", "data_path": "tenants/org_acme", "modified": "true", "ref": "org_acme"},
			told{"tenant/suspended", map[string]any{"path": "tenants/org_acme", "ref": "org_acme", "tenant_id": "org_acme"}},
		},
		"a provider throttles": {
			func(e *enginetest.Engine) {
				defer e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4}})()
				_, _ = e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			}, "provider-throttled",
			map[string]any{"path": "config/facebook", "data_path": "health", "modified": "true", "ref": "facebook"},
			told{"provider/throttled", map[string]any{"path": "config/facebook", "ref": "facebook"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, v := publishing(t, listens)
			row.act(e)
			got := next(t, v.events)
			row.want["event_id"], row.want["operation"] = "3", row.kind
			if got.name != "authpipe/"+row.kind {
				t.Errorf("the bus hears %s", got.name)
			}
			if diff := cmp.Diff(row.want, got.data); diff != "" {
				t.Error(diff)
			}
			seen := next(t, v.observations)
			row.seen.data["event_id"], row.seen.data["at"] = int64(3), e.Clock.Now().Format(time.RFC3339)
			if diff := cmp.Diff(row.seen.data, seen.data); seen.name != "authpipe/"+row.seen.name || diff != "" {
				t.Errorf("observed is %s, %s", seen.name, diff)
			}
			if n := len(v.events) + len(v.observations); n > 0 {
				t.Errorf("it is told %d times more", n)
			}
		})
	}
}

// TestRequestsDoNotWaitForPublishing has Vault answer badly, or not at all: each request is
// answered, and the mount ends.
func TestRequestsDoNotWaitForPublishing(t *testing.T) {
	reached := make(chan bool, 10_000)
	for name, row := range map[string]struct {
		take    func(context.Context) error
		outcome string
	}{
		"it hangs":  {func(ctx context.Context) error { reached <- true; <-ctx.Done(); return ctx.Err() }, ""},
		"it fails":  {func(context.Context) error { reached <- true; return errors.New("the bus is full") }, "failed"},
		"it panics": {func(context.Context) error { reached <- true; panic("an unexpected event") }, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := publishing(t, row.take)
			e.Tenant.Suspend(true)
			<-reached
			e.Tenant.Suspend(false)
			e.Read("creds/" + enginetest.Uma)
			if row.outcome != "" {
				for range 3 { // of two events by two media
					<-reached
				}
			}
			e.Cleanup(t.Context())
			if row.outcome != "" {
				if got := e.Metrics()[`authpipe_announcements_total{medium="event_bus",outcome="`+row.outcome+`"}`]; got < 1 {
					t.Errorf("%v are counted", got)
				}
			}
			if log := e.Log.String(); strings.Contains(log, "[WARN]  an event") || strings.Contains(log, "[ERROR]") {
				t.Errorf("the log is noisy:\n%s", log)
			}
		})
	}
}

// No request waits for Vault, but a call that hangs would hold up all later events.
func TestPublishingTimesOut(t *testing.T) {
	bounds := make(chan time.Duration, 100)
	e, _ := publishing(t, func(ctx context.Context) error {
		until, bounded := ctx.Deadline()
		if !bounded {
			until = time.Now().Add(time.Hour)
		}
		bounds <- time.Until(until)
		return nil
	})
	e.Tenant.Suspend(true)
	if bound := <-bounds; bound > 10*time.Second {
		t.Errorf("it has %v", bound)
	}
}

func TestAbsentSinkIsCalledOnce(t *testing.T) {
	asked := make(chan bool, 100)
	e, v := publishing(t, func(context.Context) error {
		asked <- true
		return status.Error(codes.Unimplemented, "unknown service pb.Events")
	})
	for i := range 10 {
		e.Tenant.Suspend(i%2 == 0)
	}
	<-asked
	<-asked
	e.Cleanup(t.Context())
	if n := len(asked); n > 0 || len(v.events) > 0 {
		t.Errorf("it is asked %d times more", n)
	}
	for name := range e.Metrics() {
		if strings.HasPrefix(name, "authpipe_announcements_total") {
			t.Errorf("%s is told where nobody is", name)
		}
	}
}

func TestEngineWorksWithoutSinks(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{}) // whose Vault has neither
	e.Install()
	e.Cleanup(t.Context())
	e.Read("creds/" + enginetest.Installation)
}

// TestEventsBeyondTheBoundAreDropped has more happen than is kept, while Vault
// takes in the first.
func TestEventsBeyondTheBoundAreDropped(t *testing.T) {
	reached, release := make(chan bool, 10_000), make(chan bool)
	e, v := publishing(t, func(context.Context) error { reached <- true; <-release; return nil })
	for i := range 5000 {
		e.Tenant.Suspend(i%2 == 0)
		if i == 0 {
			<-reached
		}
	}
	dropped := e.Metrics()[`authpipe_announcements_total{medium="event_bus",outcome="dropped"}`]
	if dropped != 4999-4096 {
		t.Errorf("%v are dropped", dropped)
	}
	close(release)
	last := ""
	for range 5000 - int(dropped) {
		last = fmt.Sprint(next(t, v.events).data["event_id"])
		next(t, v.observations)
	}
	if last != "10002" { // the second of the fifty-first page
		t.Errorf("the last that is told is %s", last)
	}
}

func TestPublishedEventsHoldNoSecret(t *testing.T) {
	e, v := publishing(t, listens)
	var search canary.Search
	search.Plant("app secret", enginetest.AppSecret)
	search.Plant("token", e.CheckedToken(enginetest.Uma))
	echo := authpipetest.GraphError{Code: 987654, Message: "echo " + e.CheckedToken(enginetest.Uma) + " " + enginetest.AppSecret}
	mend := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &echo})
	_, _ = e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	mend()
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	search.Plant("token", e.CheckedToken(enginetest.Udo))
	e.Facebook.RemoveApp(enginetest.AppID, "udo")
	_, _ = e.Do(logical.UpdateOperation, "connections/"+enginetest.Udo+"/check", nil)
	for range 3 {
		text := fmt.Sprint(next(t, v.events), next(t, v.observations))
		for _, found := range search.Find([]byte(text)) {
			t.Errorf("told is %s", found)
		}
	}
}
