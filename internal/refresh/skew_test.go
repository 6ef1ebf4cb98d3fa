package refresh_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// lead makes another node the leader, whose clock is ahead of Facebook's.
func lead(e *enginetest.Engine, ahead time.Duration) {
	e.T.Helper()
	e.Storage.Reset()
	b, err := backend.New(context.Background(), &logical.BackendConfig{
		StorageView: e.Storage, System: enginetest.SystemView(), Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: e.Log}),
	}, backend.Options{Now: func() time.Time { return e.Clock.Now().Add(ahead) }, Transport: enginetest.Unhurried{RoundTripper: http.DefaultTransport}})
	if err != nil {
		e.T.Fatal(err)
	}
	e.Backend = b
}

// A token that has half a day left, and a clock that says that it has expired:
// what fails then is not the token's end.
func TestFastClockEndsNoLivingToken(t *testing.T) {
	for name, touch := range map[string]func(*enginetest.Engine){
		"a sweep": func(e *enginetest.Engine) { e.SweepRecovering(e.T.Context()) },
		"a read":  func(e *enginetest.Engine) { e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil) },
		"a refresh": func(e *enginetest.Engine) {
			e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		},
		"a check": func(e *enginetest.Engine) { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil) },
	} {
		e := enginetest.Connected(t, authpipetest.Options{})
		token := e.Token(enginetest.Uma)
		e.Facebook.SetTokenExpiry(token, e.Clock.Now().Add(enginetest.Day/2))
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		lead(e, enginetest.Day)
		mend := e.Facebook.Fail(authpipetest.Fault{Status: http.StatusServiceUnavailable, Body: "down"})
		touch(e)
		mend()
		lead(e, 0)
		for range 3 {
			e.After(2 * time.Minute)
		}
		if got, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err != nil {
			t.Errorf("after %s: a living token is not served: %v", name, err)
		} else if known, _ := e.Facebook.Inspect(got.Data["access_token"].(string)); !known.Valid {
			t.Errorf("after %s: a dead token is served", name)
		}
	}
}

// A person connects while the clock stands a day ahead, and asks to be deleted
// after it was set right.
func TestCredentialConnectedByFastClockIsDeleted(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	lead(e, enginetest.Day)
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	lead(e, 0)
	e.Clock.Advance(time.Hour)
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	for range 3 {
		e.After(10 * time.Minute)
	}
	_, body := e.Webhooks.DeletionStatus(code)
	if _, err := e.Do(logical.ReadOperation, "connections/"+enginetest.Uma, nil); err == nil {
		t.Errorf("the deletion reads %s, and her record is there", body)
	}
}

// TestFastClockKeepsUnreadToken is as TestFastClockEndsNoLivingToken, without a reader.
func TestFastClockKeepsUnreadToken(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.SetTokenExpiry(e.Token(enginetest.Uma), e.Clock.Now().Add(enginetest.Day/2))
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	lead(e, enginetest.Day)
	mend := e.Facebook.Fail(authpipetest.Fault{Status: http.StatusServiceUnavailable, Body: "down"})
	e.SweepRecovering(t.Context())
	mend()
	lead(e, 0)
	for range 6 {
		e.After(time.Hour)
	}
	e.CheckStatus("active", enginetest.Uma)
}
