package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A write is one that storage may get in the way of.
type write struct {
	// act prepares it and returns the request, which may be made again.
	act func(*enginetest.Engine) func() error
	// done checks that it was carried out.
	done func(e *enginetest.Engine, when string)
}

func requested(op logical.Operation, path string, data map[string]any) func(*enginetest.Engine) func() error {
	return func(e *enginetest.Engine) func() error {
		return func() error { _, err := e.Do(op, path, data); return err }
	}
}

func writes() map[string]write {
	gone := func(path string) func(*enginetest.Engine, string) {
		return func(e *enginetest.Engine, when string) {
			if _, err := e.Do(logical.ReadOperation, path, nil); err == nil {
				e.T.Errorf("%s: %s is still there", when, path)
			}
		}
	}
	reads := func(path, field string, want any) func(*enginetest.Engine, string) {
		return func(e *enginetest.Engine, when string) {
			if got := e.Read(path)[field]; fmt.Sprint(got) != fmt.Sprint(want) {
				e.T.Errorf("%s: %s of %s is %v, want %v", when, field, path, got, want)
			}
		}
	}
	sweeping := func(before func(*enginetest.Engine)) func(e *enginetest.Engine) func() error {
		return func(e *enginetest.Engine) func() error {
			before(e)
			e.Clock.Advance(2 * time.Minute)
			return func() error {
				err := e.Sweep(context.Background())
				if err != nil {
					e.Clock.Advance(2 * time.Minute)
				}
				return err
			}
		}
	}
	return map[string]write{
		"sweep: a removal": {sweeping(func(e *enginetest.Engine) {
			e.Read("creds/" + enginetest.Page777)
			e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
		}), func(e *enginetest.Engine, when string) {
			for range 3 {
				e.After(2 * time.Minute)
			}
			if left := e.Storage.Under("cred/"); len(left) > 0 {
				e.T.Errorf("%s: left %v", when, left)
			}
			e.Install()
		}},
		"sweep: a tenant's deletion": {sweeping(func(e *enginetest.Engine) {
			e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
			e.Must(logical.DeleteOperation, enginetest.Acme, nil)
		}), func(e *enginetest.Engine, when string) {
			for range 4 {
				e.After(2 * time.Minute)
			}
			gone(enginetest.Acme)(e, when)
			for _, prefix := range []string{"cred/", "keyring/tenant/", "tenant/", "status/"} {
				if left := e.Storage.Under(prefix); len(left) > 0 {
					e.T.Errorf("%s: left %v", when, left)
				}
			}
			e.Install()
		}},
		"sweep: a rotation": {sweeping(func(e *enginetest.Engine) { e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil) }), func(e *enginetest.Engine, when string) {
			e.Tenant.FinishRotation(when)
			e.Read("creds/" + enginetest.Uma)
			reads(enginetest.Acme, "key_version", 2)(e, when)
		}},
		"sweep: a rotation's end": {sweeping(func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
			e.After(2 * time.Minute)
			for range 5 {
				e.After(17 * time.Minute)
			}
			e.Clock.Advance(18 * time.Minute)
		}), func(e *enginetest.Engine, when string) {
			e.Tenant.FinishRotation(when)
			e.Read("creds/" + enginetest.Uma)
			if e.Tenant.Keyring("org_acme").Keys() != 1 {
				e.T.Errorf("%s: %d keys", when, e.Tenant.Keyring("org_acme").Keys())
			}
		}},
		"sweep: a reindex": {sweeping(func(e *enginetest.Engine) {
			e.Tenant.LoseIndex("org_acme")
			e.Must(logical.UpdateOperation, enginetest.Acme+"/reindex", nil)
		}), func(e *enginetest.Engine, when string) {
			for range 3 {
				e.After(2 * time.Minute)
			}
			e.CheckInvariants(when)
		}},
		"sweep: a data deletion": {sweeping(func(e *enginetest.Engine) {
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			e.Webhooks.MustPost(enginetest.DataDeletionPath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
		}), func(e *enginetest.Engine, when string) {
			for range 4 {
				e.After(10 * time.Minute)
			}
			gone("connections/"+enginetest.Uma)(e, when)
		}},
		"sweep: a deauthorization that is not so": {sweeping(func(e *enginetest.Engine) {
			e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
		}), func(e *enginetest.Engine, when string) {
			for range 4 {
				e.After(10 * time.Minute)
			}
			e.CheckStatus("active", enginetest.Uma)
		}},
		"sweep: a session is reaped": {sweeping(func(e *enginetest.Engine) { e.Begin(enginetest.Udo, nil); e.Clock.Advance(40 * time.Minute) }), func(e *enginetest.Engine, when string) {
			for range 3 {
				e.After(10 * time.Minute)
			}
			if left := e.Storage.Under("session/"); len(left) > 0 {
				e.T.Errorf("%s: left %v", when, left)
			}
		}},
		"sweep: checks in a batch": {sweeping(func(e *enginetest.Engine) {
			e.AdvanceToDue(enginetest.Uma)
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
		}), func(e *enginetest.Engine, when string) {
			for range 3 {
				e.After(10 * time.Minute)
			}
			e.CheckStatus("revoked", enginetest.Uma)
			e.CheckStatus("active", enginetest.Installation)
			e.CheckInvariants(when)
		}},
		"sweep: refreshes": {sweeping(func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
			e.After(2 * time.Minute)
			e.AdvanceToDue(enginetest.Uma)
		}), func(e *enginetest.Engine, when string) {
			for range 3 {
				e.After(10 * time.Minute)
			}
			if token, _ := e.Facebook.Inspect(e.Token(enginetest.Uma)); token.ExpiresAt.Sub(e.Clock.Now()) < 59*24*time.Hour {
				e.T.Errorf("%s: the token expires at %v", when, token.ExpiresAt)
			}
			e.CheckInvariants(when)
		}},
		"checks are turned on": {func(e *enginetest.Engine) func() error {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
			e.After(2 * time.Minute)
			e.After(24 * time.Hour)
			return requested(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "2h"})(e)
		}, func(e *enginetest.Engine, when string) {
			calls := e.Facebook.Count(authpipetest.EndpointBatch) + e.Facebook.Count(authpipetest.EndpointDebugToken)
			e.After(2 * time.Minute)
			e.After(2*time.Hour + 10*time.Minute)
			e.After(10 * time.Minute)
			if e.Facebook.Count(authpipetest.EndpointBatch)+e.Facebook.Count(authpipetest.EndpointDebugToken) == calls {
				e.T.Errorf("%s: nothing is checked", when)
			}
		}},
		"a configuration is deleted": {func(e *enginetest.Engine) func() error {
			return func() error {
				_, err := e.Do(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
				return passed(err, "not_found")
			}
		}, gone("config/facebook")},
		"a secret is replaced": {func(e *enginetest.Engine) func() error {
			return requested(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})(e)
		}, func(e *enginetest.Engine, when string) {
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		}},
		"a tenant is suspended":       {requested(logical.UpdateOperation, enginetest.Acme, map[string]any{"suspended": true}), reads(enginetest.Acme, "suspended", true)},
		"a static credential is kept": {requested(logical.UpdateOperation, "creds/"+enginetest.StaticStripe, map[string]any{"credential": enginetest.APIKey, "credential_type": "api_key"}), reads("creds/"+enginetest.StaticStripe, "credential", enginetest.APIKey)},
		"a static credential is the tenant's first": {requested(logical.UpdateOperation, "creds/org_new/stripe/static/key", map[string]any{"credential": enginetest.APIKey, "credential_type": "api_key"}),
			reads("creds/org_new/stripe/static/key", "credential", enginetest.APIKey)},
		"a static credential is forgotten": {func(e *enginetest.Engine) func() error {
			e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
			return func() error {
				_, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.StaticStripe, nil)
				return passed(err, "not_found")
			}
		}, gone("creds/" + enginetest.StaticStripe)},
		"a token is imported": {func(e *enginetest.Engine) func() error {
			token := e.ObtainToken("udo")
			return requested(logical.UpdateOperation, "creds/"+enginetest.Udo, map[string]any{"access_token": token})(e)
		}, func(e *enginetest.Engine, _ string) { e.Read("creds/" + enginetest.Udo) }},
		"a session is begun": {requested(logical.UpdateOperation, "connect/org_new/facebook/installation", map[string]any{"actor": "boss"}), func(e *enginetest.Engine, _ string) {
			e.Connect("org_new/facebook/installation", "boss", authpipetest.Consent{User: "udo"})
		}},
		"a session is cancelled": {func(e *enginetest.Engine) func() error {
			s := e.Begin(enginetest.Udo, nil)
			return func() error {
				_, err := e.Do(logical.DeleteOperation, s.Path, nil)
				return err
			}
		}, func(*enginetest.Engine, string) {}},
		"a session is completed": {func(e *enginetest.Engine) func() error {
			s := e.Begin(enginetest.Udo, nil)
			code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(e.T)
			return requested(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})(e)
		}, func(e *enginetest.Engine, _ string) { e.Read("creds/" + enginetest.Udo) }},
		"a browser comes back": {func(e *enginetest.Engine) func() error {
			s := e.Begin(enginetest.Udo, nil)
			back := e.Consent(s, authpipetest.Consent{User: "udo"})
			return func() error {
				p, err := e.TryCallback(back)
				if err != nil {
					return err
				}
				_, err = e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": p.ConnectCode(e.T)})
				return err
			}
		}, func(e *enginetest.Engine, _ string) { e.Read("creds/" + enginetest.Udo) }},
		"a session completes by its callback": {func(e *enginetest.Engine) func() error {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
			back := e.Consent(e.Begin(enginetest.Udo, nil), authpipetest.Consent{User: "udo"})
			return func() error {
				p, err := e.TryCallback(back)
				if err == nil && p.Status != 200 {
					return errors.New("session_used: " + p.HTML)
				}
				return err
			}
		}, func(e *enginetest.Engine, _ string) { e.Read("creds/" + enginetest.Udo) }},
		"a token is refreshed": {func(e *enginetest.Engine) func() error {
			e.After(20 * 24 * time.Hour)
			return requested(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)(e)
		}, func(e *enginetest.Engine, when string) {
			if token, _ := e.Facebook.Inspect(e.Token(enginetest.Uma)); token.ExpiresAt.Sub(e.Clock.Now()) < 59*24*time.Hour {
				e.T.Errorf("%s: the token expires at %v", when, token.ExpiresAt)
			}
		}},
		"a page is read": {requested(logical.ReadOperation, "creds/"+enginetest.Page777, nil), func(e *enginetest.Engine, _ string) { e.Read("creds/" + enginetest.Page777) }},
		"a credential is deleted": {func(e *enginetest.Engine) func() error {
			token := e.Token(enginetest.Uma)
			return func() error {
				_, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
				if err == nil && e.Facebook.Valid(token) {
					e.T.Error("its grant lives")
				}
				return passed(err, "not_found")
			}
		}, gone("creds/" + enginetest.Uma)},
		"an installation is deleted": {func(e *enginetest.Engine) func() error {
			e.Read("creds/" + enginetest.Page777)
			return func() error {
				_, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
				return passed(err, "not_found")
			}
		}, func(e *enginetest.Engine, when string) {
			for range 3 {
				e.After(2 * time.Minute)
			}
			gone("connections/"+enginetest.Uma)(e, when)
			gone("connections/"+enginetest.Installation)(e, when)
			if left := e.Storage.Under("cred/"); len(left) > 0 {
				e.T.Errorf("%s: left %v", when, left)
			}
			e.Install()
		}},
		"a tenant is deleted": {func(e *enginetest.Engine) func() error {
			return func() error {
				_, err := e.Do(logical.DeleteOperation, enginetest.Acme, nil)
				return err
			}
		}, func(e *enginetest.Engine, when string) {
			for range 4 {
				e.After(2 * time.Minute)
			}
			gone(enginetest.Acme)(e, when)
			for _, prefix := range []string{"cred/", "keyring/tenant/", "tenant/", "status/"} {
				if left := e.Storage.Under(prefix); len(left) > 0 {
					e.T.Errorf("%s: left %v", when, left)
				}
			}
			e.Install()
		}},
		"a tenant is deleted by force": {requested(logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true}), func(e *enginetest.Engine, when string) {
			for range 4 {
				e.After(2 * time.Minute)
			}
			gone(enginetest.Acme)(e, when)
			e.Install()
		}},
		"a tenant's key is rotated": {func(e *enginetest.Engine) func() error {
			return func() error {
				_, err := e.Do(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
				return passed(err, "pending")
			}
		}, func(e *enginetest.Engine, when string) {
			e.Tenant.FinishRotation(when)
			reads(enginetest.Acme, "key_version", 2)(e, when)
		}},
		"a reindex": {requested(logical.UpdateOperation, enginetest.Acme+"/reindex", nil), func(e *enginetest.Engine, when string) {
			e.After(2 * time.Minute)
			if got := e.Read(enginetest.Acme)["reindex"].(map[string]any); got["finished_at"] == nil {
				e.T.Errorf("%s: %v", when, got)
			}
		}},
		"a deauthorization": {func(e *enginetest.Engine) func() error {
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			return func() error { return e.Webhooks.TryPost(enginetest.DeauthorizePath, word) }
		}, func(e *enginetest.Engine, when string) {
			gone("creds/"+enginetest.Uma)(e, when)
			e.After(2 * time.Minute)
			e.CheckStatus("revoked", enginetest.Uma)
		}},
		"a data deletion": {func(e *enginetest.Engine) func() error {
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			return func() error { return e.Webhooks.TryPost(enginetest.DataDeletionPath, word) }
		}, func(e *enginetest.Engine, when string) {
			gone("creds/"+enginetest.Uma)(e, when)
			e.After(2 * time.Minute)
			e.After(10 * time.Minute)
			gone("connections/"+enginetest.Uma)(e, when)
		}},
	}
}

// passed returns nil for an error that says that the request was carried out
// before.
func passed(err error, code string) error {
	if err != nil && strings.HasPrefix(err.Error(), code+": ") {
		return nil
	}
	return err
}

// TestWriteSurvivesStorageFailure has one operation of each path that writes
// fail, in turn, before and after its effect, and the process live on or not. A
// success is one; after a failure the request, made again, is.
func TestWriteSurvivesStorageFailure(t *testing.T) {
	for name, w := range writes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var act func() error
			setup := func() *enginetest.Engine {
				e := enginetest.Connected(t, authpipetest.Options{})
				act = w.act(e)
				return e
			}
			enginetest.EachFailure(setup, func(*enginetest.Engine) error { return act() }, func(e *enginetest.Engine, f enginetest.Failure) {
				err := f.Err
				if err != nil {
					err = act()
				}
				if passed(err, "session_used") != nil {
					t.Errorf("%s; again: %v", f, err)
				}
				if err == nil { // a code may be lost with the process that redeemed it: the person begins again
					w.done(e, f.String())
				}
			})
		})
	}
}

// TestSessionSurvivesUnansweredWrite: the write that takes a session for redemption takes effect, and only its
// answer is lost. The process lives, and has sent nothing: the code is good.
func TestSessionSurvivesUnansweredWrite(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := e.Begin(enginetest.Udo, nil)
	proof := map[string]any{"actor": "udo", "connect_code": e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)}
	e.Storage.FailAt(3, true)
	if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", proof); err == nil || e.Storage.Operations()[2].Verb != "put" {
		t.Fatalf("answered %v after %v", err, e.Storage.Operations())
	}
	e.Storage.Reset()
	if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", proof); err != nil {
		t.Errorf("again: %v", err)
	}
}
