package facebook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// served is whether the version is found to be served.
func (w world) served(t *testing.T) (ok bool, detail string) {
	t.Helper()
	for _, f := range w.Verify(t.Context(), w.client) {
		if f.Check == "graph_version" {
			return f.OK, f.Detail
		}
	}
	t.Fatal("nothing is found of the version")
	return false, ""
}

func TestAVersionIsNotServedByWhatSaysNothing(t *testing.T) {
	nameless := http.Header{"Facebook-Api-Version": nil}
	for name, fault := range map[string]authpipetest.Fault{
		"an object of nobody's": {Body: `{}`, Header: nameless},
		"an outage":             {Status: 500, Error: &authpipetest.GraphError{Code: 2, Message: "Service temporarily unavailable"}, Header: nameless},
		"a limit":               {Error: &authpipetest.GraphError{Code: 4}, Header: nameless},
		"a page of HTML":        {Body: "<html>", Header: nameless},
	} {
		w := newWorld(t, authpipetest.Options{})
		fault.Endpoint = authpipetest.EndpointMe
		w.fb.Fail(fault)
		if ok, detail := w.served(t); ok {
			t.Errorf("%s: %s", name, detail)
		}
	}
}

func TestAVersionIsVerifiedWithoutItsHeader(t *testing.T) {
	w := newWorld(t, authpipetest.Options{NoVersionHeader: true})
	if ok, detail := w.served(t); !ok {
		t.Errorf("%s: %s", w.client.APIVersion, detail)
	}
	w.client.APIVersion = "v97.0"
	if ok, detail := w.served(t); ok {
		t.Errorf("%s: %s", w.client.APIVersion, detail)
	}
}

// TestAVersionThatHasEndedIsNotServed although no answer says what served it.
func TestAVersionThatHasEndedIsNotServed(t *testing.T) {
	w := newWorld(t, authpipetest.Options{NoVersionHeader: true})
	w.client.APIVersion = "v22.0"
	w.clock.Set(time.Date(2027, time.June, 1, 0, 0, 0, 0, time.UTC))
	if ok, detail := w.served(t); ok {
		t.Errorf("%s in June 2027: %s", w.client.APIVersion, detail)
	}
}
