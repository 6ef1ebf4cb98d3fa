package authpipetest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestFaultAnswers(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	for _, test := range []struct {
		name        string
		fault       authpipetest.Fault
		status      int
		contentType string
		body        string
		challenge   string
	}{
		{
			"an error object has status 400", authpipetest.Fault{Error: &authpipetest.GraphError{Message: "(#4) Application request limit reached", Code: 4}},
			400, "application/json; charset=UTF-8", `"code":4`, `OAuth "Facebook Platform" "invalid_request" "(#4) Application request limit reached"`,
		},
		{
			"an error object may have another", authpipetest.Fault{Status: 500, Error: &authpipetest.GraphError{Message: "m", Type: "X", Code: 2, IsTransient: new(true)}},
			500, "application/json; charset=UTF-8", `{"error":{"message":"m","type":"X","code":2,"is_transient":true,"fbtrace_id":"A`, `OAuth "Facebook Platform" "invalid_request" "m"`,
		},
		{"a body is as it is", authpipetest.Fault{Body: "<h1>Sorry"}, 200, "text/html; charset=utf-8", "<h1>Sorry", ""},
		{"a body that looks like JSON is called so", authpipetest.Fault{Body: `{"acc`}, 200, "application/json; charset=UTF-8", `{"acc`, ""},
		{"a body may be called anything", authpipetest.Fault{Body: "a=b", ContentType: "text/plain", Status: 502}, 502, "text/plain", "a=b", ""},
		{"a status may come alone", authpipetest.Fault{Status: 503}, 503, "text/html; charset=utf-8", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.in(t)
			defer w.Fail(test.fault)()
			r := w.get("/v26.0/me", nil)
			if r.status != test.status || r.header.Get("Content-Type") != test.contentType || !strings.Contains(r.body, test.body) {
				t.Errorf("status %d, %s: %s", r.status, r.header.Get("Content-Type"), r.body)
			}
			if got := r.header.Get("WWW-Authenticate"); got != test.challenge {
				t.Errorf("WWW-Authenticate: %s", got)
			}
		})
	}
	if r := w.get("/v26.0/me", nil); !strings.Contains(r.body, "An active access token") {
		t.Errorf("after all faults were cleared: %s", r.body)
	}
}

func TestFaultAppliesToItsEndpointTimes(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	w.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointPermissions, Status: 500, Times: 2})
	w.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointPermissions, Status: 501, Times: 1})
	w.get("/me", params("access_token", token)).is(http.StatusOK, w.ada())
	for i, want := range []int{500, 500, 501, 200} {
		if r := w.get("/me/permissions", params("access_token", token)); r.status != want {
			t.Errorf("request %d: status %d, want %d", i, r.status, want)
		}
	}
}

func TestFaultAddsHeaders(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	defer w.Fail(authpipetest.Fault{Status: 400, Body: "{}", Header: http.Header{"x-app-usage": {`{"call_count":100}`}}})()
	if got := w.get("/me", nil).header.Get("X-App-Usage"); got != `{"call_count":100}` {
		t.Errorf("X-App-Usage: %s", got)
	}
}

func TestFaultAfterEffectLosesAnswer(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	code := w.login()
	w.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Times: 1, AfterEffect: true, Status: 504})
	if r := w.exchange("code", code); r.status != 504 {
		t.Errorf("status %d", r.status)
	}
	if log := w.Requests(); !log[len(log)-1].Served {
		t.Error("the log does not show that the call took effect")
	}
	w.exchange("code", code).refusedSub(100, 36009, codeUsed)
}

func TestFaultResetsConnection(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.Fail(authpipetest.Fault{Reset: true, Times: 2})
	_, err := http.Get(w.base + "/me")
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a reset connection", err)
	}
	if _, err := w.Authorize(w.dialog(), authpipetest.Consent{}); err == nil || !strings.Contains(err.Error(), "connection was reset") {
		t.Errorf("Authorize: %v", err)
	}
	if log := w.Requests(); log[0].Status != 0 || log[0].Served {
		t.Errorf("the log has status %d for a request without an answer; served: %t", log[0].Status, log[0].Served)
	}
}

func TestFaultTruncatesAnswer(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for name, fault := range map[string]authpipetest.Fault{
		"the call's own answer": {Truncate: true, Times: 1},
		"after its effect":      {Truncate: true, Times: 1, AfterEffect: true},
		"the fault's answer":    {Truncate: true, Times: 1, Body: w.ada()},
	} {
		w.Fail(fault)
		response, err := http.Get(w.base + "/me?access_token=" + token)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if half := w.ada()[:len(w.ada())/2]; !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != half {
			t.Errorf("%s: %q, %v", name, body, err)
		}
	}
}

func TestFaultHangEndsWhenCleared(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	release := w.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Hang: true, Times: 1})
	answered := make(chan reply)
	go func() { answered <- w.get("/me", params("access_token", token)) }()
	if err := w.AwaitCount(t.Context(), authpipetest.EndpointMe, 1); err != nil {
		t.Fatal(err)
	}
	w.get("/me", params("access_token", token)).is(http.StatusOK, w.ada()) // other requests pass
	release()
	release()
	(<-answered).is(http.StatusOK, w.ada())
}

// A test that changes something while the answer is held must do so after the effect.
func TestAwaitCountWaitsForEffect(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for n := range 100 {
		release := w.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Hang: true, AfterEffect: true})
		answered := make(chan reply)
		go func() { answered <- w.get("/me", params("access_token", token)) }()
		if err := w.AwaitCount(t.Context(), authpipetest.EndpointMe, n+1); err != nil {
			t.Fatal(err)
		}
		log := w.Requests()
		if last := log[len(log)-1]; !last.Served || last.Status != 0 {
			t.Fatalf("request %d: served %v, status %d", n+1, last.Served, last.Status)
		}
		release()
		(<-answered).is(http.StatusOK, w.ada())
	}
}

func TestHeldCountsWaitingRequests(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	release := w.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Hang: true})
	me := w.Count(authpipetest.EndpointMe)
	answered := make(chan reply)
	for range 2 {
		go func() { answered <- w.get("/me", params("access_token", token)) }()
	}
	if err := w.AwaitCount(t.Context(), authpipetest.EndpointMe, me+2); err != nil {
		t.Fatal(err)
	}
	if n := w.Held(authpipetest.EndpointMe); n != 2 {
		t.Errorf("%d requests are held, want 2", n)
	}
	release()
	for range 2 {
		(<-answered).is(http.StatusOK, w.ada())
	}
	if n := w.Held(authpipetest.EndpointMe) + w.Held(authpipetest.EndpointDebugToken); n != 0 {
		t.Errorf("%d requests are held after they were answered", n)
	}
}

func TestFaultHangEndsWithClient(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.Fail(authpipetest.Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(must(http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/me", nil)))
		failed <- err
	}()
	if err := w.AwaitCount(t.Context(), "", 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestFaultHangEndsWithServer(t *testing.T) {
	failed := make(chan error, 1)
	t.Run("a test that leaves a request behind", func(t *testing.T) {
		w := newWorld(t, authpipetest.Options{})
		w.Fail(authpipetest.Fault{Hang: true})
		go func() {
			_, err := http.Get(w.base + "/me")
			failed <- err
		}()
		if err := w.AwaitCount(t.Context(), "", 1); err != nil {
			t.Fatal(err)
		}
	})
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
}

func TestFaultDelayPassesCallOn(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	w.Fail(authpipetest.Fault{Delay: time.Millisecond})
	w.get("/me", params("access_token", token)).is(http.StatusOK, w.ada())
}

// One behavior has faults at several endpoints, two change the options beside one that was set from the start.
func TestBehaviorChangesAnswers(t *testing.T) {
	w := newWorld(t, authpipetest.Options{AppIDAsNumber: true})
	token := w.token("public_profile")
	stop, err := w.Behave("app-deactivated")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v26.0/me", "/v26.0/me/accounts"} {
		if body := w.get(path, params("access_token", token)).body; !strings.Contains(body, `"code":200`) || !strings.Contains(body, "API access deactivated") {
			t.Errorf("%s answers %s", path, body)
		}
	}
	stop()
	stop()
	if body := w.get("/v26.0/me", params("access_token", token)).body; strings.Contains(body, "error") {
		t.Errorf("afterwards it answers %s", body)
	}
	defer func() { // both may be in force, and end in any order
		if body := w.debug(token).body; !strings.Contains(body, `"app_id":`+appID) {
			t.Errorf("the original option is no longer in force: %s", body)
		}
	}()
	old, err := w.Behave("old-app")
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := w.Behave("ids-as-numbers")
	if err != nil {
		t.Fatal(err)
	}
	old()
	numbers()
}
