package notification_test

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestNotifiedCredentialIsCheckedLessOften(t *testing.T) {
	for name, ail := range map[string]func(e *enginetest.Engine){
		"the provider does not answer about this token": func(e *enginetest.Engine) {
			e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Message: "Unsupported get request.", Code: 100}})
		},
		"its answer is not understood": func(e *enginetest.Engine) {
			e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Message: "Nobody knows.", Code: 4242}})
		},
		"there is no client any more": func(e *enginetest.Engine) {
			e.Must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
			ail(e)
			calls, writes := e.Facebook.Count(authpipetest.EndpointDebugToken), 0
			for range 60 {
				e.Clock.Advance(time.Minute)
				e.Storage.Reset()
				e.Sweep(t.Context())
				writes += len(e.Storage.Writes())
			}
			if n := e.Facebook.Count(authpipetest.EndpointDebugToken) - calls; n > 5 {
				t.Errorf("within an hour it is asked about %d times", n)
			}
			if writes > 30 {
				t.Errorf("within an hour that makes %d writes", writes)
			}
			e.CheckStatus("revoked", enginetest.Uma)
		})
	}
}

func TestNotificationAppliesByTimeAndAccount(t *testing.T) {
	for name, row := range map[string]struct {
		act  func(e *enginetest.Engine) (word string)
		want string
	}{
		"in the second of the connection it is about that": {func(e *enginetest.Engine) string {
			e.Clock.Advance(500 * time.Millisecond)
			e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
			return enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
		}, "revoked"},
		"before a token was imported it may be about another connection": {func(e *enginetest.Engine) string {
			e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, map[string]any{"revoke": false})
			token := e.ObtainToken("uma")
			e.Clock.Advance(time.Minute)
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			e.Clock.Advance(30 * time.Second)
			e.Must(logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": token})
			return word
		}, "active"},
		"before a refresh it is about the connection all the same": {func(e *enginetest.Engine) string {
			e.Clock.Advance(20 * enginetest.Day)
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			e.Clock.Advance(30 * time.Second)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			return word
		}, "revoked"},
		"a check of the same minute does not refute it": {func(e *enginetest.Engine) string {
			e.Clock.Advance(time.Hour)
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			e.Clock.Advance(59 * time.Second)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			return word
		}, "revoked"},
		"a check of a minute later does": {func(e *enginetest.Engine) string {
			e.Clock.Advance(time.Hour)
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			e.Clock.Advance(61 * time.Second)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			return word
		}, "active"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Webhooks.MustPost(enginetest.DeauthorizePath, row.act(e))
			e.CheckStatus(row.want, enginetest.Uma)
		})
	}
}

// TestEarlierFailureDoesNotPostponeCheckOfNotification has the check that a word
// queues fail once.
func TestEarlierFailureDoesNotPostponeCheckOfNotification(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Message: "Unsupported get request.", Code: 100}})
	for range 6 {
		e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	}
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.After(2 * time.Minute)
	e.CheckStatus("revoked", enginetest.Uma)
	repair()
	e.After(3 * time.Minute)
	e.CheckStatus("active", enginetest.Uma)
}

// TestNotificationIsNotCheckedForAMinute has the check come with a minute
// that begins a moment after the word.
func TestNotificationIsNotCheckedForAMinute(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(time.Hour + 55*time.Second)
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.After(6 * time.Second) // the provider's servers do not agree yet
	e.CheckStatus("revoked", enginetest.Uma)
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	e.After(2 * time.Minute)
	e.CheckStatus("revoked", enginetest.Uma)
}

func TestNotificationSkipsUnreadableTenant(t *testing.T) {
	for name, plant := range map[string]func(e *enginetest.Engine){
		"its record":           func(e *enginetest.Engine) { e.Plant("tenant/org_acme", []byte("{")) },
		"its keyring":          func(e *enginetest.Engine) { e.Plant("keyring/tenant/org_acme", []byte("{")) },
		"the credential's own": func(e *enginetest.Engine) { e.Plant("cred/"+enginetest.Uma, []byte("{")) },
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
			plant(e)
			e.Webhooks.Post(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
			e.Refused("revoked", 409, logical.ReadOperation, "creds/org_globex/facebook/installation", nil)
		})
	}
}

func TestNotificationMarksOthersDespiteStorageError(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" && op.Key == "cred/"+enginetest.Uma {
			return storagetest.ErrStorage
		}
		return nil
	})
	if status, body := e.Webhooks.Post(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))); status == 200 {
		t.Errorf("answered %d %s", status, body)
	}
	e.Storage.Fail(nil)
	e.Refused("revoked", 409, logical.ReadOperation, "creds/org_globex/facebook/installation", nil)
}
