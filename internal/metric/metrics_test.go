package metric_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// counted checks by how much act lets each of the series grow.
func counted(e *enginetest.Engine, act func(), want map[string]float64) {
	e.T.Helper()
	before := e.Metrics()
	act()
	after := e.Metrics()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got := after[name] - before[name]; got != want[name] {
			e.T.Errorf("%s grows by %v, want %v", name, got, want[name])
		}
	}
}

func requests(operation, path, outcome string) string {
	return `authpipe_requests_total{operation="` + operation + `",outcome="` + outcome + `",path="` + path + `"}`
}

func ofFacebook(name, labels string) string {
	return "authpipe_" + name + "{" + strings.ReplaceAll(labels, "facebook", `provider="facebook"`) + "}"
}

// TestMetricsCountRequestsAndCalls has each thing happen that is counted, once.
func TestMetricsCountRequestsAndCalls(t *testing.T) {
	check, refresh := "connections/"+enginetest.Uma+"/check", "connections/"+enginetest.Uma+"/refresh"
	for name, row := range map[string]struct {
		act  func(*enginetest.Engine)
		want map[string]float64
	}{
		"a credential is served": {func(e *enginetest.Engine) { e.Read("creds/" + enginetest.Uma) }, map[string]float64{
			requests("read", "creds", "ok"): 1, `authpipe_cache_reads_total{outcome="hit",record="credential"}`: 1,
		}},
		"one that is not remembered": {func(e *enginetest.Engine) { e.Do(logical.ReadOperation, "creds/"+enginetest.Udo, nil) }, map[string]float64{
			requests("read", "creds", "not_found"): 1, requests("read", "creds", "ok"): 0, `authpipe_cache_reads_total{outcome="miss",record="credential"}`: 1,
		}},
		"a person is connected": {func(e *enginetest.Engine) { e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"}) }, map[string]float64{
			ofFacebook("sessions_begun_total", "facebook"):                                          1,
			ofFacebook("sessions_ended_total", `outcome="completed",facebook`):                      1,
			ofFacebook("provider_calls_total", `operation="exchange",outcome="ok",facebook`):        1,
			ofFacebook("provider_call_duration_seconds_count", `operation="exchange",facebook`):     1,
			`authpipe_events_total{type="connection.created"}`:                                      1,
			requests("update", "connect", "ok"):                                                     1,
			requests("update", "sessions/complete", "ok"):                                           1,
			requests("read", "callback", "ok"):                                                      1,
			`authpipe_cache_records{record="credential"}`:                                           1,
			ofFacebook("sessions_ended_total", `outcome="access_denied",facebook`):                  0,
			ofFacebook("provider_calls_total", `operation="exchange",outcome="transient",facebook`): 0,
		}},
		"a person declines": {func(e *enginetest.Engine) {
			e.Callback(e.Consent(e.Begin(enginetest.Udo, map[string]any{"actor": "udo"}), authpipetest.Consent{User: "udo", Cancel: true}))
		}, map[string]float64{
			ofFacebook("sessions_begun_total", "facebook"): 1, ofFacebook("sessions_ended_total", `outcome="access_denied",facebook`): 1,
			ofFacebook("sessions_ended_total", `outcome="completed",facebook`): 0,
		}},
		"somebody else completes a session": {func(e *enginetest.Engine) {
			s := e.Begin(enginetest.Udo, map[string]any{"actor": "udo"})
			e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": "AAAA"})
			e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": "AAAA"})
		}, map[string]float64{
			ofFacebook("sessions_ended_total", `outcome="actor_mismatch",facebook`): 1, requests("update", "sessions/complete", "actor_mismatch"): 2,
		}},
		"a token is refreshed": {func(e *enginetest.Engine) {
			e.Clock.Advance(30 * enginetest.Day)
			e.Must(logical.UpdateOperation, refresh, nil)
		}, map[string]float64{
			ofFacebook("refreshes_total", `outcome="refreshed",facebook`): 1, ofFacebook("checks_total", `outcome="alive",facebook`): 0,
			ofFacebook("provider_calls_total", `operation="refresh",outcome="ok",facebook`): 1,
			requests("update", "connections/refresh", "ok"):                                 1,
		}},
		"the provider gives no more life": {func(e *enginetest.Engine) { e.Must(logical.UpdateOperation, refresh, nil) }, map[string]float64{
			ofFacebook("refreshes_total", `outcome="not_extended",facebook`): 1, ofFacebook("refreshes_total", `outcome="refreshed",facebook`): 0,
		}},
		"a refresh fails": {func(e *enginetest.Engine) {
			defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}})()
			e.Refused("unavailable", 502, logical.UpdateOperation, refresh, nil)
		}, map[string]float64{
			ofFacebook("refreshes_total", `outcome="transient",facebook`):                          1,
			ofFacebook("provider_calls_total", `operation="refresh",outcome="transient",facebook`): 1,
			`authpipe_events_total{type="connection.refresh_failed"}`:                              1,
		}},
		"a token is found alive": {func(e *enginetest.Engine) { e.Must(logical.UpdateOperation, check, nil) }, map[string]float64{
			ofFacebook("checks_total", `outcome="alive",facebook`): 1, ofFacebook("provider_calls_total", `operation="check",outcome="ok",facebook`): 1,
		}},
		"a refresh is overtaken by a new connection": {func(e *enginetest.Engine) {
			e.Clock.Advance(30 * enginetest.Day)
			e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Times: 1, AfterEffect: true},
				func() { _, _ = e.Do(logical.UpdateOperation, refresh, nil) },
				func() { e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}) })
		}, map[string]float64{ofFacebook("refreshes_total", `outcome="superseded",facebook`): 1, ofFacebook("refreshes_total", `outcome="refreshed",facebook`): 0}},
		"the provider is left alone": {func(e *enginetest.Engine) {
			clear := e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4}})
			e.Refused("throttled", 429, logical.UpdateOperation, check, nil)
			clear()
			e.Refused("throttled", 429, logical.UpdateOperation, check, nil)
		}, map[string]float64{
			ofFacebook("checks_total", `outcome="throttled",facebook`): 1, ofFacebook("checks_total", `outcome="left_alone",facebook`): 1,
			ofFacebook("provider_calls_total", `operation="check",outcome="throttled",facebook`): 1, `authpipe_events_total{type="provider.throttled"}`: 1,
		}},
		"what a refresh brought cannot be stored": {func(e *enginetest.Engine) {
			e.Clock.Advance(30 * enginetest.Day)
			e.Storage.Fail(func(_ int, op storagetest.Operation) error {
				if op.Verb == "put" && strings.HasPrefix(op.Key, "cred/") {
					return storagetest.ErrStorage
				}
				return nil
			})
			_, _ = e.Do(logical.UpdateOperation, refresh, nil)
			e.Storage.Reset()
		}, map[string]float64{
			ofFacebook("refreshes_total", `outcome="error",facebook`): 1, requests("update", "connections/refresh", "error"): 1,
			`authpipe_storage_operations_total{operation="put",outcome="error"}`: 1,
		}},
		"a provider is probed": {func(e *enginetest.Engine) {
			e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
			_, _ = e.Do(logical.UpdateOperation, check, nil)
		}, map[string]float64{ofFacebook("provider_calls_total", `operation="probe",outcome="misconfigured",facebook`): 1}},
		"a grant is found revoked": {func(e *enginetest.Engine) {
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			e.Refused("revoked", 409, logical.UpdateOperation, check, nil)
			e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
		}, map[string]float64{
			ofFacebook("checks_total", `outcome="revoked",facebook`): 1, requests("read", "creds", "revoked"): 1, `authpipe_events_total{type="connection.revoked"}`: 1,
		}},
		"all are checked in one call": {func(e *enginetest.Engine) { e.After(enginetest.Day) }, map[string]float64{
			ofFacebook("checks_total", `outcome="alive",facebook`): 2, ofFacebook("provider_calls_total", `operation="check",outcome="ok",facebook`): 1,
			`authpipe_sweeps_total{outcome="ok"}`: 1, "authpipe_swept_total": 4, "authpipe_sweep_duration_seconds_count": 1,
		}},
		"storage fails in a sweep": {func(e *enginetest.Engine) {
			e.Clock.Advance(enginetest.Day)
			e.Storage.Fail(func(_ int, op storagetest.Operation) error {
				if op.Verb == "list" {
					return storagetest.ErrStorage
				}
				return nil
			})
			_ = e.Sweep(e.T.Context())
			e.Storage.Reset()
		}, map[string]float64{`authpipe_sweeps_total{outcome="failed"}`: 1, `authpipe_sweeps_total{outcome="ok"}`: 0}},
		"storage is read-only": {func(e *enginetest.Engine) {
			e.Storage.Fail(func(int, storagetest.Operation) error { return logical.ErrReadOnly })
			_, _ = e.Do(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "x"})
			e.Storage.Reset()
		}, map[string]float64{requests("update", "settings", "forwarded"): 1}},
		"a page is fetched": {func(e *enginetest.Engine) { e.Read("creds/" + enginetest.Page777) }, map[string]float64{
			ofFacebook("provider_calls_total", `operation="pages",outcome="ok",facebook`): 1,
		}},
		"a credential is deleted": {func(e *enginetest.Engine) { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) }, map[string]float64{
			ofFacebook("provider_calls_total", `operation="revoke",outcome="ok",facebook`): 1, requests("delete", "creds", "ok"): 1,
		}},
		"a token is imported": {func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "creds/"+enginetest.Udo, map[string]any{"access_token": e.ObtainToken("udo")})
		}, map[string]float64{ofFacebook("provider_calls_total", `operation="import",outcome="ok",facebook`): 1}},
		"the provider posts that somebody left": {func(e *enginetest.Engine) {
			e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now().Add(time.Second))))
			e.Webhooks.Post(enginetest.DeauthorizePath, enginetest.SignedRequest("another", e.Webhooks.Request("uma", e.Clock.Now())))
			e.Webhooks.Public(logical.ReadOperation, enginetest.DeauthorizePath, nil)
		}, map[string]float64{
			requests("update", "webhooks/deauthorize", "ok"): 1, requests("update", "webhooks/deauthorize", "invalid_request"): 1,
		}},
		"a path that is none": {func(e *enginetest.Engine) { e.Do(logical.ReadOperation, "secret/org_acme", nil) }, map[string]float64{requests("read", "other", "error"): 1}},
		"Vault ticks":         {func(e *enginetest.Engine) { e.Do(logical.RollbackOperation, "", nil) }, map[string]float64{requests("rollback", "other", "ok"): 0}},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			counted(e, func() { row.act(e) }, row.want)
		})
	}
}

func TestMetricsCountDeviceLogins(t *testing.T) {
	e, s, userCode := enginetest.Device(t, enginetest.Installation, "admin")
	complete := func() {
		e.Clock.Advance(5 * time.Second)
		_, _ = e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin"})
	}
	counted(e, func() {
		complete()
		if err := e.Facebook.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
			t.Fatal(err)
		}
		complete()
	}, map[string]float64{
		ofFacebook("provider_calls_total", `operation="poll",outcome="pending",facebook`): 1,
		ofFacebook("provider_calls_total", `operation="poll",outcome="ok",facebook`):      1,
		ofFacebook("sessions_ended_total", `outcome="completed",facebook`):                1,
	})
	for _, name := range []string{ofFacebook("sessions_begun_total", "facebook"), ofFacebook("provider_calls_total", `operation="device",outcome="ok",facebook`)} {
		if e.Metrics()[name] != 1 {
			t.Errorf("%s is %v", name, e.Metrics()[name])
		}
	}
}

// TestMetricsShowMountState moves the clock for each look: what storage says
// is looked up once a minute.
func TestMetricsShowMountState(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	is := func(when string, want map[string]float64) {
		t.Helper()
		e.Clock.Advance(time.Minute)
		got := e.Metrics()
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s, %s is %v, want %v", when, name, got[name], value)
			}
		}
	}
	state := func(s string) string { return ofFacebook("provider_state", `facebook,state="`+s+`"`) }
	status := func(s string) string { return ofFacebook("credentials", `facebook,status="`+s+`"`) }
	e.MustSweep()
	is("when all is well", map[string]float64{
		status("revoked"): 0, status("needs_reauth"): 0, status("failed"): 0, state("ok"): 1, state("throttled"): 0, state("misconfigured"): 0, state("unavailable"): 0,
		"authpipe_due_entries": 0, "authpipe_overdue_entries": 0, "authpipe_scrape_complete": 1, "authpipe_last_sweep_duration_seconds": 0,
		"authpipe_last_sweep_timestamp_seconds":                                     float64(e.Clock.Now().Unix()),
		ofFacebook("provider_clock_skew_seconds", "facebook"):                       0,
		ofFacebook("provider_version_ended", "facebook"):                            0,
		`authpipe_cache_records{record="config"}`:                                   1,
		`authpipe_build_info{commit="c0ffee",go_version="go1.99",version="v1.2.3"}`: 1,
	})

	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	is("when one is revoked", map[string]float64{status("revoked"): 1, status("needs_reauth"): 0})

	e.Clock.Advance(2 * enginetest.Day)
	is("when nobody sweeps", map[string]float64{"authpipe_due_entries": 3, "authpipe_overdue_entries": 3})
	e.MustSweep()
	is("when somebody does", map[string]float64{"authpipe_due_entries": 0, "authpipe_overdue_entries": 0})

	clear := e.Facebook.Fail(enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":30}]}`))
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	clear()
	now := float64(e.Clock.Now().Unix())
	is("when it throttles", map[string]float64{
		state("throttled"): 1, state("ok"): 0,
		ofFacebook("provider_left_alone_since_timestamp_seconds", "facebook"): now,
		ofFacebook("provider_left_alone_until_timestamp_seconds", "facebook"): now + 30*60,
	})
	e.Clock.Advance(time.Hour)
	is("when that is over", map[string]float64{state("throttled"): 0, state("ok"): 1})
	if _, told := e.Metrics()[ofFacebook("provider_left_alone_since_timestamp_seconds", "facebook")]; told {
		t.Error("a provider that works is left alone since some time")
	}

	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
	e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	is("when it refuses the client", map[string]float64{state("misconfigured"): 1, state("ok"): 0})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret, "graph_version": "v19.0"})
	_, _ = e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	is("when the version has ended", map[string]float64{ofFacebook("provider_version_ended", "facebook"): 1})
}
