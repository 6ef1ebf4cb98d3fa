package removal_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// The tests of this file are about deletions whose request, connection and
// check come close together.

func TestDataDeletionIncludesCredentialStoredMeanwhile(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := e.Begin(enginetest.Udo, nil)
	back := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	var code string
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, AfterEffect: true, Times: 1}, // the last call of all
		func() {
			e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": back})
		},
		func() {
			e.Facebook.RemoveApp(enginetest.AppID, "udo")
			code = e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("udo", e.Clock.Now())))
			e.Clock.Advance(2 * time.Second)
		})
	for range 3 {
		e.After(2 * time.Minute)
	}
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Udo, nil)
}

func TestDataDeletionIsNotRejectedAtOnce(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(time.Hour + 55*time.Second)
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.After(6 * time.Second) // the minute has begun, and the provider's servers do not agree yet
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	for range 3 {
		e.After(2 * time.Minute)
	}
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Uma, nil)
}

func TestDataDeletionSparesLivingGrant(t *testing.T) {
	for _, dead := range []string{enginetest.Uma, "org_globex/facebook/installation"} {
		t.Run("but its token at "+dead+" is dead", func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
			e.Clock.Advance(time.Hour)
			e.Facebook.ExpireToken(e.Read("creds/" + dead)["access_token"].(string))
			code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
			e.After(2 * time.Minute)
			if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"rejected"}` {
				t.Errorf("its page says %s", got)
			}
			e.Read("connections/" + enginetest.Uma)
			e.Read("connections/org_globex/facebook/installation")
		})
	}
}

func TestDataDeletionSparesCredentialConnectedMeanwhile(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.Clock.Advance(2 * time.Minute)
	reached, release := e.Storage.Hold("list", "cred/"+enginetest.Uma+"/pages/") // it is about to be deleted
	var sweeping sync.WaitGroup
	sweeping.Go(func() { e.Sweep(context.Background()) })
	<-reached
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	release()
	sweeping.Wait()
	for range 2 {
		e.After(2 * time.Minute)
	}
	e.Read("creds/" + enginetest.Uma)
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
}
