package breaker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestHealthShowsSuspectedFromFirstFailure(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Status: 500, Error: &authpipetest.GraphError{Code: 2, Message: "Service temporarily unavailable"}})
	first := e.Clock.Now().Format(time.RFC3339)
	e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	health := e.ProviderHealth()
	answered, _ := health["error"].(map[string]any)
	if health["state"] != "suspected" || health["since"] != first || answered["message"] == nil || answered["code"] != 2 || health["until"] != nil {
		t.Errorf("the provider is %v", health)
	}
	if state := e.Metrics()[`authpipe_provider_state{provider="facebook",state="suspected"}`]; state != 1 {
		t.Errorf("the metric is %v", state)
	}
	if calls := e.Facebook.CallsDuring(func() { e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil) }); calls == 0 {
		t.Error("a suspected provider is not called")
	}
	if health := e.ProviderHealth(); health["state"] != "ok" || health["since"] != nil {
		t.Errorf("after a call that succeeded the provider is %v", health)
	}
}

// TestSuspectedEndsByItself: no caller makes a call, so the next tick does.
func TestSuspectedEndsByItself(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Status: 500, Error: &authpipetest.GraphError{Code: 2}})
	e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.After(time.Minute)
	if health := e.ProviderHealth(); health["state"] != "ok" {
		t.Errorf("the provider is %v", health)
	}
}

// TestOutageEventsHaveItsTimes: it began with the first of the five calls that
// failed, and ended when the provider answered again.
func TestOutageEventsHaveItsTimes(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	began := e.Clock.Now().UTC().Format(time.RFC3339)
	back := e.Facebook.Fail(authpipetest.Fault{Status: 503, Body: "<html>"})
	for range 5 {
		e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		e.Clock.Advance(10 * time.Second)
	}
	if health := e.ProviderHealth(); health["state"] != "unavailable" || health["since"] != began {
		t.Errorf("the provider is %v, and has failed since %s", health, began)
	}
	back()
	e.After(10 * time.Minute)
	if health := e.ProviderHealth(); health["state"] != "ok" {
		t.Errorf("the provider is %v", health)
	}
	line := ""
	for l := range strings.Lines(e.Log.String()) {
		if strings.Contains(l, "calls to the provider go on") {
			line = l
		}
	}
	if ended := e.Clock.Now().UTC(); !strings.Contains(line, "since="+began) || !strings.Contains(line, "until="+ended.Format(time.RFC3339)) || !strings.Contains(line, "lasted=10m50s") {
		t.Errorf("it lasted from %s to %s, and the log says %q", began, ended, line)
	}
}

// TestRefusedCallDoesNotSuspectProvider: an error that the provider
// tells apart says that it works.
func TestRefusedCallDoesNotSuspectProvider(t *testing.T) {
	for _, g := range []authpipetest.GraphError{
		{Code: 987654, Message: "nobody knows"}, {Code: 368, Message: "Blocked"}, {Code: 200, Message: "missing"}, {Code: 190, Subcode: 460},
	} {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &g})
		for range 6 {
			e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		}
		if health := e.ProviderHealth(); health["state"] != "ok" {
			t.Errorf("after %+v the provider is %v", g, health)
		}
	}
}

// TestUnknownErrorOfEveryCallOpensCircuit: the probe gets it, too.
func TestUnknownErrorOfEveryCallOpensCircuit(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	back := e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 987654, Message: "nobody knows"}})
	for range 5 {
		e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	}
	if health := e.ProviderHealth(); health["state"] != "unavailable" {
		t.Errorf("the provider is %v", health)
	}
	back()
	e.After(2 * time.Minute)
	if health := e.ProviderHealth(); health["state"] != "ok" {
		t.Errorf("later the provider is %v", health)
	}
}
