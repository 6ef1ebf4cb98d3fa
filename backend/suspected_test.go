package backend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestHealthSaysSuspectedFromTheFirstFailureOn(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Status: 500, Error: &authpipetest.GraphError{Code: 2, Message: "Service temporarily unavailable"}})
	first := e.clock.Now().Format(time.RFC3339)
	e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	health := e.provider()
	answered, _ := health["error"].(map[string]any)
	if health["state"] != "suspected" || health["since"] != first || answered["message"] == nil || answered["code"] != 2 || health["until"] != nil {
		t.Errorf("the provider is %v", health)
	}
	if state := e.metrics()[`authpipe_provider_state{provider="facebook",state="suspected"}`]; state != 1 {
		t.Errorf("the metric is %v", state)
	}
	if calls := e.calls(func() { e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil) }); calls == 0 {
		t.Error("a suspected provider is not called")
	}
	if health := e.provider(); health["state"] != "ok" || health["since"] != nil {
		t.Errorf("after a call that succeeded the provider is %v", health)
	}
}

// TestSuspicionEndsByItself: no caller makes a call, so the next tick does.
func TestSuspicionEndsByItself(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Status: 500, Error: &authpipetest.GraphError{Code: 2}})
	e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.after(time.Minute)
	if health := e.provider(); health["state"] != "ok" {
		t.Errorf("the provider is %v", health)
	}
}

// TestOutageIsToldWithItsRealTimes: it began with the first of the five calls that
// failed, and ended when the provider answered again.
func TestOutageIsToldWithItsRealTimes(t *testing.T) {
	e := both(t, authpipetest.Options{})
	began := e.clock.Now().UTC().Format(time.RFC3339)
	back := e.fb.Fail(authpipetest.Fault{Status: 503, Body: "<html>"})
	for range 5 {
		e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
		e.clock.Advance(10 * time.Second)
	}
	if health := e.provider(); health["state"] != "unavailable" || health["since"] != began {
		t.Errorf("the provider is %v, and has failed since %s", health, began)
	}
	back()
	e.after(10 * time.Minute)
	if health := e.provider(); health["state"] != "ok" {
		t.Errorf("the provider is %v", health)
	}
	line := ""
	for l := range strings.Lines(e.log.String()) {
		if strings.Contains(l, "calls to the provider go on") {
			line = l
		}
	}
	if ended := e.clock.Now().UTC(); !strings.Contains(line, "since="+began) || !strings.Contains(line, "until="+ended.Format(time.RFC3339)) || !strings.Contains(line, "lasted=10m50s") {
		t.Errorf("it lasted from %s to %s, and the log says %q", began, ended, line)
	}
}

// TestRefusalOfOneCallIsNoReasonToSuspectTheProvider: an error that the provider
// tells apart says that it works.
func TestRefusalOfOneCallIsNoReasonToSuspectTheProvider(t *testing.T) {
	for _, g := range []authpipetest.GraphError{
		{Code: 987654, Message: "nobody knows"}, {Code: 368, Message: "Blocked"}, {Code: 200, Message: "missing"}, {Code: 190, Subcode: 460},
	} {
		e := both(t, authpipetest.Options{})
		e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &g})
		for range 6 {
			e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
		}
		if health := e.provider(); health["state"] != "ok" {
			t.Errorf("after %+v the provider is %v", g, health)
		}
	}
}

// TestUnknownErrorOfEveryCallIsTheProviders: the probe gets it, too.
func TestUnknownErrorOfEveryCallIsTheProviders(t *testing.T) {
	e := both(t, authpipetest.Options{})
	back := e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 987654, Message: "nobody knows"}})
	for range 5 {
		e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	}
	if health := e.provider(); health["state"] != "unavailable" {
		t.Errorf("the provider is %v", health)
	}
	back()
	e.after(2 * time.Minute)
	if health := e.provider(); health["state"] != "ok" {
		t.Errorf("later the provider is %v", health)
	}
}
