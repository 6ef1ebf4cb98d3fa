package backend_test

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// metrics reads what Prometheus would: the value of each series of the
// engine's own.
func (e *engine) metrics() map[string]float64 {
	e.t.Helper()
	data := e.read("metrics")
	if data[logical.HTTPContentType] != "text/plain; version=0.0.4; charset=utf-8" || data[logical.HTTPStatusCode] != http.StatusOK {
		e.t.Errorf("metrics are %v with status %v", data[logical.HTTPContentType], data[logical.HTTPStatusCode])
	}
	series := map[string]float64{}
	for line := range strings.Lines(string(data[logical.HTTPRawBody].([]byte))) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndex(line, "} "); i > 0 { // a label's value may have a space
			name, value = line[:i+1], strings.TrimSpace(line[i+2:])
		}
		n, err := strconv.ParseFloat(value, 64)
		if strings.HasPrefix(name, "authpipe_") && err == nil {
			series[name] = n
		}
	}
	return series
}

// counted checks by how much act lets each of the series grow.
func (e *engine) counted(act func(), want map[string]float64) {
	e.t.Helper()
	before := e.metrics()
	act()
	after := e.metrics()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got := after[name] - before[name]; got != want[name] {
			e.t.Errorf("%s grows by %v, want %v", name, got, want[name])
		}
	}
}

func requests(operation, path, outcome string) string {
	return `authpipe_requests_total{operation="` + operation + `",outcome="` + outcome + `",path="` + path + `"}`
}

func ofFacebook(name, labels string) string {
	return "authpipe_" + name + "{" + strings.ReplaceAll(labels, "facebook", `provider="facebook"`) + "}"
}

// TestWhatHappensIsCounted has each thing happen that is counted, once.
func TestWhatHappensIsCounted(t *testing.T) {
	check, refresh := "connections/"+uma+"/check", "connections/"+uma+"/refresh"
	for name, row := range map[string]struct {
		act  func(*engine)
		want map[string]float64
	}{
		"a credential is served": {func(e *engine) { e.read("creds/" + uma) }, map[string]float64{
			requests("read", "creds", "ok"): 1, `authpipe_cache_reads_total{outcome="hit",record="credential"}`: 1,
		}},
		"one that is not remembered": {func(e *engine) { e.do(logical.ReadOperation, "creds/"+udo, nil) }, map[string]float64{
			requests("read", "creds", "not_found"): 1, requests("read", "creds", "ok"): 0, `authpipe_cache_reads_total{outcome="miss",record="credential"}`: 1,
		}},
		"a person is connected": {func(e *engine) { e.connect(udo, "udo", authpipetest.Consent{User: "udo"}) }, map[string]float64{
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
		"a person declines": {func(e *engine) {
			e.callback(e.consent(e.begin(udo, map[string]any{"actor": "udo"}), authpipetest.Consent{User: "udo", Cancel: true}))
		}, map[string]float64{
			ofFacebook("sessions_begun_total", "facebook"): 1, ofFacebook("sessions_ended_total", `outcome="access_denied",facebook`): 1,
			ofFacebook("sessions_ended_total", `outcome="completed",facebook`): 0,
		}},
		"somebody else completes a session": {func(e *engine) {
			s := e.begin(udo, map[string]any{"actor": "udo"})
			e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": "AAAA"})
			e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": "AAAA"})
		}, map[string]float64{
			ofFacebook("sessions_ended_total", `outcome="actor_mismatch",facebook`): 1, requests("update", "sessions/complete", "actor_mismatch"): 2,
		}},
		"a token is refreshed": {func(e *engine) {
			e.clock.Advance(30 * day)
			e.must(logical.UpdateOperation, refresh, nil)
		}, map[string]float64{
			ofFacebook("refreshes_total", `outcome="refreshed",facebook`): 1, ofFacebook("checks_total", `outcome="alive",facebook`): 0,
			ofFacebook("provider_calls_total", `operation="refresh",outcome="ok",facebook`): 1,
			requests("update", "connections/refresh", "ok"):                                 1,
		}},
		"the provider gives no more life": {func(e *engine) { e.must(logical.UpdateOperation, refresh, nil) }, map[string]float64{
			ofFacebook("refreshes_total", `outcome="not_extended",facebook`): 1, ofFacebook("refreshes_total", `outcome="refreshed",facebook`): 0,
		}},
		"a refresh fails": {func(e *engine) {
			defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}})()
			e.refused("unavailable", 502, logical.UpdateOperation, refresh, nil)
		}, map[string]float64{
			ofFacebook("refreshes_total", `outcome="transient",facebook`):                          1,
			ofFacebook("provider_calls_total", `operation="refresh",outcome="transient",facebook`): 1,
			`authpipe_events_total{type="connection.refresh_failed"}`:                              1,
		}},
		"a token is found alive": {func(e *engine) { e.must(logical.UpdateOperation, check, nil) }, map[string]float64{
			ofFacebook("checks_total", `outcome="alive",facebook`): 1, ofFacebook("provider_calls_total", `operation="check",outcome="ok",facebook`): 1,
		}},
		"a refresh is overtaken by a new connection": {func(e *engine) {
			e.clock.Advance(30 * day)
			e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Times: 1, AfterEffect: true},
				func() { _, _ = e.do(logical.UpdateOperation, refresh, nil) },
				func() { e.connect(uma, "uma", authpipetest.Consent{User: "uma"}) })
		}, map[string]float64{ofFacebook("refreshes_total", `outcome="superseded",facebook`): 1, ofFacebook("refreshes_total", `outcome="refreshed",facebook`): 0}},
		"the provider is left alone": {func(e *engine) {
			clear := e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4}})
			e.refused("throttled", 429, logical.UpdateOperation, check, nil)
			clear()
			e.refused("throttled", 429, logical.UpdateOperation, check, nil)
		}, map[string]float64{
			ofFacebook("checks_total", `outcome="throttled",facebook`): 1, ofFacebook("checks_total", `outcome="left_alone",facebook`): 1,
			ofFacebook("provider_calls_total", `operation="check",outcome="throttled",facebook`): 1, `authpipe_events_total{type="provider.throttled"}`: 1,
		}},
		"what a refresh brought cannot be stored": {func(e *engine) {
			e.clock.Advance(30 * day)
			e.storage.Fail(func(_ int, op storagetest.Operation) error {
				if op.Verb == "put" && strings.HasPrefix(op.Key, "cred/") {
					return storagetest.ErrStorage
				}
				return nil
			})
			_, _ = e.do(logical.UpdateOperation, refresh, nil)
			e.storage.Reset()
		}, map[string]float64{
			ofFacebook("refreshes_total", `outcome="error",facebook`): 1, requests("update", "connections/refresh", "error"): 1,
			`authpipe_storage_operations_total{operation="put",outcome="error"}`: 1,
		}},
		"a provider is probed": {func(e *engine) {
			e.fb.SetAppSecret(appID, newSecret)
			_, _ = e.do(logical.UpdateOperation, check, nil)
		}, map[string]float64{ofFacebook("provider_calls_total", `operation="probe",outcome="misconfigured",facebook`): 1}},
		"a grant is found revoked": {func(e *engine) {
			e.fb.RemoveApp(appID, "uma")
			e.refused("revoked", 409, logical.UpdateOperation, check, nil)
			e.refused("revoked", 409, logical.ReadOperation, "creds/"+uma, nil)
		}, map[string]float64{
			ofFacebook("checks_total", `outcome="revoked",facebook`): 1, requests("read", "creds", "revoked"): 1, `authpipe_events_total{type="connection.revoked"}`: 1,
		}},
		"all are checked in one call": {func(e *engine) { e.after(day) }, map[string]float64{
			ofFacebook("checks_total", `outcome="alive",facebook`): 2, ofFacebook("provider_calls_total", `operation="check",outcome="ok",facebook`): 1,
			`authpipe_sweeps_total{outcome="ok"}`: 1, "authpipe_swept_total": 4, "authpipe_sweep_duration_seconds_count": 1,
		}},
		"storage fails in a sweep": {func(e *engine) {
			e.clock.Advance(day)
			e.storage.Fail(func(_ int, op storagetest.Operation) error {
				if op.Verb == "list" {
					return storagetest.ErrStorage
				}
				return nil
			})
			_ = e.Sweep(e.t.Context())
			e.storage.Reset()
		}, map[string]float64{`authpipe_sweeps_total{outcome="failed"}`: 1, `authpipe_sweeps_total{outcome="ok"}`: 0}},
		"storage is read-only": {func(e *engine) {
			e.storage.Fail(func(int, storagetest.Operation) error { return logical.ErrReadOnly })
			_, _ = e.do(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "x"})
			e.storage.Reset()
		}, map[string]float64{requests("update", "settings", "forwarded"): 1}},
		"a page is fetched": {func(e *engine) { e.read("creds/" + page777) }, map[string]float64{
			ofFacebook("provider_calls_total", `operation="pages",outcome="ok",facebook`): 1,
		}},
		"a credential is deleted": {func(e *engine) { e.must(logical.DeleteOperation, "creds/"+uma, nil) }, map[string]float64{
			ofFacebook("provider_calls_total", `operation="revoke",outcome="ok",facebook`): 1, requests("delete", "creds", "ok"): 1,
		}},
		"a token is imported": {func(e *engine) {
			e.must(logical.UpdateOperation, "creds/"+udo, map[string]any{"access_token": e.obtained("udo")})
		}, map[string]float64{ofFacebook("provider_calls_total", `operation="import",outcome="ok",facebook`): 1}},
		"the provider posts that somebody left": {func(e *engine) {
			e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now().Add(time.Second))))
			e.posted(deauthorize, signed("another", e.request("uma", e.clock.Now())))
			e.public(logical.ReadOperation, deauthorize, nil)
		}, map[string]float64{
			requests("update", "webhooks/deauthorize", "ok"): 1, requests("update", "webhooks/deauthorize", "invalid_request"): 1,
		}},
		"a path that is none": {func(e *engine) { e.do(logical.ReadOperation, "secret/org_acme", nil) }, map[string]float64{requests("read", "other", "error"): 1}},
		"Vault ticks":         {func(e *engine) { e.do(logical.RollbackOperation, "", nil) }, map[string]float64{requests("rollback", "other", "ok"): 0}},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.counted(func() { row.act(e) }, row.want)
		})
	}
}

func TestADeviceIsCounted(t *testing.T) {
	e, s, userCode := device(t, installation, "admin")
	complete := func() {
		e.clock.Advance(5 * time.Second)
		_, _ = e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin"})
	}
	e.counted(func() {
		complete()
		if err := e.fb.ApproveDevice(userCode, authpipetest.Consent{User: "ada"}); err != nil {
			t.Fatal(err)
		}
		complete()
	}, map[string]float64{
		ofFacebook("provider_calls_total", `operation="poll",outcome="pending",facebook`): 1,
		ofFacebook("provider_calls_total", `operation="poll",outcome="ok",facebook`):      1,
		ofFacebook("sessions_ended_total", `outcome="completed",facebook`):                1,
	})
	for _, name := range []string{ofFacebook("sessions_begun_total", "facebook"), ofFacebook("provider_calls_total", `operation="device",outcome="ok",facebook`)} {
		if e.metrics()[name] != 1 {
			t.Errorf("%s is %v", name, e.metrics()[name])
		}
	}
}

// TestMetricsTellHowTheMountIs moves the clock for each look: what storage tells
// is looked up once a minute.
func TestMetricsTellHowTheMountIs(t *testing.T) {
	e := both(t, authpipetest.Options{})
	is := func(when string, want map[string]float64) {
		t.Helper()
		e.clock.Advance(time.Minute)
		got := e.metrics()
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s, %s is %v, want %v", when, name, got[name], value)
			}
		}
	}
	state := func(s string) string { return ofFacebook("provider_state", `facebook,state="`+s+`"`) }
	status := func(s string) string { return ofFacebook("credentials", `facebook,status="`+s+`"`) }
	e.sweep()
	is("when all is well", map[string]float64{
		status("revoked"): 0, status("needs_reauth"): 0, status("failed"): 0, state("ok"): 1, state("throttled"): 0, state("misconfigured"): 0, state("unavailable"): 0,
		"authpipe_due_entries": 0, "authpipe_overdue_entries": 0, "authpipe_scrape_complete": 1, "authpipe_last_sweep_duration_seconds": 0,
		"authpipe_last_sweep_timestamp_seconds":                                     float64(e.clock.Now().Unix()),
		ofFacebook("provider_clock_skew_seconds", "facebook"):                       0,
		ofFacebook("provider_version_ended", "facebook"):                            0,
		`authpipe_cache_records{record="config"}`:                                   1,
		`authpipe_build_info{commit="c0ffee",go_version="go1.99",version="v1.2.3"}`: 1,
	})

	e.fb.RemoveApp(appID, "uma")
	e.refused("revoked", 409, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	is("when one is revoked", map[string]float64{status("revoked"): 1, status("needs_reauth"): 0})

	e.clock.Advance(2 * day)
	is("when nobody sweeps", map[string]float64{"authpipe_due_entries": 3, "authpipe_overdue_entries": 3})
	e.sweep()
	is("when somebody does", map[string]float64{"authpipe_due_entries": 0, "authpipe_overdue_entries": 0})

	clear := e.fb.Fail(throttled(`{"1":[{"estimated_time_to_regain_access":30}]}`))
	e.refused("throttled", 429, logical.UpdateOperation, "connections/"+installation+"/check", nil)
	clear()
	now := float64(e.clock.Now().Unix())
	is("when it throttles", map[string]float64{
		state("throttled"): 1, state("ok"): 0,
		ofFacebook("provider_left_alone_since_timestamp_seconds", "facebook"): now,
		ofFacebook("provider_left_alone_until_timestamp_seconds", "facebook"): now + 30*60,
	})
	e.clock.Advance(time.Hour)
	is("when that is over", map[string]float64{state("throttled"): 0, state("ok"): 1})
	if _, told := e.metrics()[ofFacebook("provider_left_alone_since_timestamp_seconds", "facebook")]; told {
		t.Error("a provider that works is left alone since some time")
	}

	e.fb.SetAppSecret(appID, newSecret)
	e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+installation+"/check", nil)
	is("when it refuses the client", map[string]float64{state("misconfigured"): 1, state("ok"): 0})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret, "graph_version": "v19.0"})
	_, _ = e.do(logical.UpdateOperation, "connections/"+installation+"/check", nil)
	is("when the version has ended", map[string]float64{ofFacebook("provider_version_ended", "facebook"): 1})
}
