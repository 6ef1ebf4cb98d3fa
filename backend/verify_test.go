package backend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// findings returns what verify finds, by check.
func (e *engine) findings() (ok bool, found map[string]map[string]any) {
	e.t.Helper()
	answer := e.must(logical.UpdateOperation, "config/facebook/verify", nil)
	found = map[string]map[string]any{}
	for _, f := range answer["findings"].([]map[string]any) {
		found[f["check"].(string)] = f
	}
	return answer["ok"].(bool), found
}

func TestAConfigurationIsVerified(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	if ok, found := e.findings(); !ok || len(found) != 5 || !strings.Contains(found["app_mode"]["detail"].(string), "does not tell") {
		t.Errorf("all is well, and found is %v", found)
	}
	for check, row := range map[string]struct {
		trouble func(*engine)
		says    string
	}{
		"client_secret": {func(e *engine) { e.fb.SetAppSecret(appID, newSecret) }, "client secret"},
		"former_client_secret": {func(e *engine) {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
			e.fb.SetAppSecret(appID, newSecret)
		}, "client secret"},
		"graph_version": {func(e *engine) {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v97.0"})
		}, "not known"},
		"redirect_uris": {func(e *engine) {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"redirect_uris": "http://localhost/callback/facebook"})
		}, "not https"},
		"clock_skew": {func(e *engine) {
			e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Status: 400, Error: &authpipetest.GraphError{Code: 2500, Message: "An active access token must be used"},
				Header: map[string][]string{"Date": {"Mon, 23 Nov 2026 11:50:00 GMT"}}})
		}, "10m"},
	} {
		e := newEngine(t, authpipetest.Options{})
		row.trouble(e)
		ok, found := e.findings()
		// Of two secrets one is not accepted: that is as it should be.
		if ok != (check == "former_client_secret") || found[check]["ok"] != false || !strings.Contains(found[check]["detail"].(string), row.says) {
			t.Errorf("%s: found is %v", check, found)
		}
		for other, f := range found {
			if other != check && f["ok"] != true {
				t.Errorf("with trouble in %s, %s is %v", check, other, f)
			}
			if detail := f["detail"].(string); strings.Contains(detail, appSecret) || strings.Contains(detail, newSecret) {
				t.Errorf("%s shows a secret: %s", other, detail)
			}
		}
	}
}

func TestAVersionTellsHowLongItLives(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v22.0"})
	if _, found := e.findings(); found["graph_version"]["ok"] != true || !strings.Contains(found["graph_version"]["detail"].(string), "2027-05-20") {
		t.Errorf("found is %v", found["graph_version"])
	}
	e.clock.Set(time.Date(2027, time.June, 1, 0, 0, 0, 0, time.UTC))
	if _, found := e.findings(); found["graph_version"]["ok"] != false || !strings.Contains(found["graph_version"]["detail"].(string), "has ended") {
		t.Errorf("after its end, found is %v", found["graph_version"])
	}
	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Status: 200, Body: "{}", Header: map[string][]string{"Facebook-Api-Version": {""}}})
	if _, found := e.findings(); found["graph_version"]["ok"] != false || !strings.Contains(found["graph_version"]["detail"].(string), "graph_url") {
		t.Errorf("with an answer of nobody knows whom, found is %v", found["graph_version"])
	}
	clear()
	e.fb.Fail(authpipetest.Fault{Reset: true})
	if ok, found := e.findings(); ok || found["graph_version"]["ok"] != false || found["client_secret"]["ok"] != false {
		t.Errorf("with the provider down, found is %v", found)
	}
	e.refused("not_found", 404, logical.UpdateOperation, "config/google/verify", nil)
}

// TestAnOverlapIsNoTrouble looks at a client with two secrets, of which the
// provider accepts one: which one, is what verifying finds out and remembers.
func TestAnOverlapIsNoTrouble(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	found := func(ok, fresh, former bool) {
		t.Helper()
		got, found := e.findings()
		if got != ok || found["client_secret"]["ok"] != fresh || found["former_client_secret"]["ok"] != former {
			t.Errorf("ok is %v, and found is %v", got, found)
		}
	}
	found(true, false, true)
	if !e.proves() {
		t.Error("before the provider knows the new secret, a proof is made with it")
	}
	e.fb.SetAppSecret(appID, newSecret)
	found(true, true, false)
	if !e.proves() {
		t.Error("verifying saw the former secret refused, and proofs are still made with it")
	}
	e.fb.SetAppSecret(appID, "none of them")
	found(false, false, false)
}

func TestAnUnknownVersionIsNoRiddle(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v97.0"})
	for _, question := range []string{"check", "refresh"} {
		if text := e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+uma+"/"+question, nil); !strings.Contains(text, "graph_version v97.0") {
			t.Errorf("a %s does not name the version: %s", question, text)
		}
	}
	e.untouched([]string{uma})
	// One that has ended is served by another, which verifying alone tells.
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v18.0"})
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	if ok, found := e.findings(); ok || !strings.Contains(found["graph_version"]["detail"].(string), "has ended") {
		t.Errorf("found is %v", found["graph_version"])
	}
}
