package backend_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
)

// lead makes another node the leader, whose clock is ahead of Facebook's.
func (e *engine) lead(ahead time.Duration) {
	e.t.Helper()
	e.storage.Reset()
	b, err := backend.New(context.Background(), &logical.BackendConfig{
		StorageView: e.storage, System: logicalSystem(), Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: e.log}),
	}, backend.Options{Now: func() time.Time { return e.clock.Now().Add(ahead) }, Transport: unhurried{http.DefaultTransport}})
	if err != nil {
		e.t.Fatal(err)
	}
	e.Backend = b
}

// A token that has half a day left, and a clock that says that it has expired:
// what fails then is not the token's end.
func TestAClockThatStoodAheadEndsNoLivingToken(t *testing.T) {
	for name, touch := range map[string]func(*engine){
		"a sweep":   func(e *engine) { e.sweeps(e.t.Context()) },
		"a read":    func(e *engine) { e.do(logical.ReadOperation, "creds/"+uma, nil) },
		"a refresh": func(e *engine) { e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) },
		"a check":   func(e *engine) { e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil) },
	} {
		e := both(t, authpipetest.Options{})
		token := e.served(uma)
		e.fb.SetTokenExpiry(token, e.clock.Now().Add(day/2))
		e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
		e.lead(day)
		mend := e.fb.Fail(authpipetest.Fault{Status: http.StatusServiceUnavailable, Body: "down"})
		touch(e)
		mend()
		e.lead(0)
		for range 3 {
			e.after(2 * time.Minute)
		}
		if got, err := e.do(logical.ReadOperation, "creds/"+uma, nil); err != nil {
			t.Errorf("after %s: a living token is not served: %v", name, err)
		} else if known, _ := e.fb.Inspect(got.Data["access_token"].(string)); !known.Valid {
			t.Errorf("after %s: a dead token is served", name)
		}
	}
}

// A person connects while the clock stands a day ahead, and asks to be deleted
// after it was set right.
func TestWhatWasConnectedByAClockThatStoodAheadIsDeleted(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.lead(day)
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	e.lead(0)
	e.clock.Advance(time.Hour)
	e.fb.RemoveApp(appID, "uma")
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	for range 3 {
		e.after(10 * time.Minute)
	}
	_, body := e.dataDeletion(code)
	if _, err := e.do(logical.ReadOperation, "connections/"+uma, nil); err == nil {
		t.Errorf("the deletion reads %s, and her record is there", body)
	}
}

// TestAClockThatStoodAheadForgetsNoTokenThatNobodyReads is as TestAClockThatStoodAheadEndsNoLivingToken, and nobody reads.
func TestAClockThatStoodAheadForgetsNoTokenThatNobodyReads(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.SetTokenExpiry(e.served(uma), e.clock.Now().Add(day/2))
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.lead(day)
	mend := e.fb.Fail(authpipetest.Fault{Status: http.StatusServiceUnavailable, Body: "down"})
	e.sweeps(t.Context())
	mend()
	e.lead(0)
	for range 6 {
		e.after(time.Hour)
	}
	e.is("active", uma)
}
