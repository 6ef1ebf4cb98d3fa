package backend_test

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

func TestNotifiedCredentialIsCheckedLessAndLess(t *testing.T) {
	for name, ail := range map[string]func(e *engine){
		"the provider does not answer about this token": func(e *engine) {
			e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Message: "Unsupported get request.", Code: 100}})
		},
		"its answer is not understood": func(e *engine) {
			e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Message: "Nobody knows.", Code: 4242}})
		},
		"there is no client any more": func(e *engine) { e.must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true}) },
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
			ail(e)
			calls, writes := e.fb.Count(authpipetest.EndpointDebugToken), 0
			for range 60 {
				e.clock.Advance(time.Minute)
				e.storage.Reset()
				e.Sweep(t.Context())
				writes += len(e.storage.Writes())
			}
			if n := e.fb.Count(authpipetest.EndpointDebugToken) - calls; n > 5 {
				t.Errorf("within an hour it is asked about %d times", n)
			}
			if writes > 30 {
				t.Errorf("within an hour that makes %d writes", writes)
			}
			e.is("revoked", uma)
		})
	}
}

func TestNotificationIsComparedWithTheCredential(t *testing.T) {
	for name, row := range map[string]struct {
		act  func(e *engine) (word string)
		want string
	}{
		"in the second of the connection it is about that": {func(e *engine) string {
			e.clock.Advance(500 * time.Millisecond)
			e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
			return signed(appSecret, e.request("uma", e.clock.Now()))
		}, "revoked"},
		"before a token was imported it may be about another connection": {func(e *engine) string {
			e.must(logical.DeleteOperation, "creds/"+uma, map[string]any{"revoke": false})
			token := e.obtained("uma")
			e.clock.Advance(time.Minute)
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			e.clock.Advance(30 * time.Second)
			e.must(logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": token})
			return word
		}, "active"},
		"before a refresh it is about the connection all the same": {func(e *engine) string {
			e.clock.Advance(20 * day)
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			e.clock.Advance(30 * time.Second)
			e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
			return word
		}, "revoked"},
		"a check of the same minute does not refute it": {func(e *engine) string {
			e.clock.Advance(time.Hour)
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			e.clock.Advance(59 * time.Second)
			e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
			return word
		}, "revoked"},
		"a check of a minute later does": {func(e *engine) string {
			e.clock.Advance(time.Hour)
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			e.clock.Advance(61 * time.Second)
			e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
			return word
		}, "active"},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.hears(deauthorize, row.act(e))
			e.is(row.want, uma)
		})
	}
}

// TestWhatAiledATokenBeforeDoesNotPutOffItsCheck has the check that a word
// queues fail once.
func TestWhatAiledATokenBeforeDoesNotPutOffItsCheck(t *testing.T) {
	e := both(t, authpipetest.Options{})
	repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Message: "Unsupported get request.", Code: 100}})
	for range 6 {
		e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	}
	e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
	e.after(2 * time.Minute)
	e.is("revoked", uma)
	repair()
	e.after(3 * time.Minute)
	e.is("active", uma)
}

// TestNotificationIsBelievedForAMinute has the check come with a minute
// that begins a moment after the word.
func TestNotificationIsBelievedForAMinute(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(time.Hour + 55*time.Second)
	e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
	e.after(6 * time.Second) // the provider's servers do not agree yet
	e.is("revoked", uma)
	e.fb.RemoveApp(appID, "uma")
	e.after(2 * time.Minute)
	e.is("revoked", uma)
}

func TestATenantThatDoesNotOpenKeepsNoOtherFromBeingMarked(t *testing.T) {
	for name, plant := range map[string]func(e *engine){
		"its record":           func(e *engine) { e.plant("tenant/org_acme", []byte("{")) },
		"its keyring":          func(e *engine) { e.plant("keyring/tenant/org_acme", []byte("{")) },
		"the credential's own": func(e *engine) { e.plant("cred/"+uma, []byte("{")) },
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
			plant(e)
			e.posted(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
			e.refused("revoked", 409, logical.ReadOperation, "creds/org_globex/facebook/installation", nil)
		})
	}
}

func TestAStorageErrorAtOneKeepsNoOtherFromBeingMarked(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" && op.Key == "cred/"+uma {
			return storagetest.ErrStorage
		}
		return nil
	})
	if status, body := e.posted(deauthorize, signed(appSecret, e.request("uma", e.clock.Now()))); status == 200 {
		t.Errorf("answered %d %s", status, body)
	}
	e.storage.Fail(nil)
	e.refused("revoked", 409, logical.ReadOperation, "creds/org_globex/facebook/installation", nil)
}
