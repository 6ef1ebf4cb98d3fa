package authpipetest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestRequestsAreLogged(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.authorize(authpipetest.Consent{Cancel: true})
	w.clock.Advance(time.Minute)
	w.send(http.MethodPost, "/v26.0/oauth/access_token", params("code", "x"), "application/json", `{"client_id":123,"deep":{"a":[1]}}`)
	at := w.clock.Now()
	want := []authpipetest.Request{
		{
			Time: at.Add(-time.Minute), Endpoint: authpipetest.EndpointDialog, Method: "GET", Path: "/v26.0/dialog/oauth",
			Query: url.Values{"client_id": {appID}, "redirect_uri": {callback}, "state": {"s"}}, Form: url.Values{}, Served: true, Status: 302,
		},
		{
			Time: at, Endpoint: authpipetest.EndpointAccessToken, Method: "POST", Path: "/v26.0/oauth/access_token",
			Query: url.Values{"code": {"x"}}, Form: url.Values{"client_id": {"123"}, "deep": {`{"a":[1]}`}}, Served: true, Status: 400,
		},
	}
	if diff := cmp.Diff(want, w.Requests(), cmpopts.IgnoreFields(authpipetest.Request{}, "Header")); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if got := w.Requests()[1].Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the log has Content-Type %q", got)
	}
	if all, dialogs := w.Count(""), w.Count(authpipetest.EndpointDialog); all != 2 || dialogs != 1 {
		t.Errorf("counted %d and %d", all, dialogs)
	}
}

func TestLogLimitKeepsCounts(t *testing.T) {
	w := newWorld(t, authpipetest.Options{LogLimit: 3})
	for i := range 10 {
		w.get(fmt.Sprintf("/v26.0/%d", i), nil)
	}
	log := w.Requests()
	if len(log) != 3 || log[0].Path != "/v26.0/7" || log[2].Path != "/v26.0/9" || log[2].Status == 0 {
		t.Errorf("the log reads %v", log)
	}
	if all, nodes := w.Count(""), w.Count(authpipetest.EndpointMe); all != 10 || nodes != 10 {
		t.Errorf("counted %d and %d", all, nodes)
	}
}

func TestAwaitCountEndsWithContext(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.AwaitCount(ctx, authpipetest.EndpointMe, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
