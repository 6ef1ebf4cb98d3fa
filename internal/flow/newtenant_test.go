package flow_test

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestUnfinishedConnectLeavesNoTenant(t *testing.T) {
	for name, end := range map[string]func(e *enginetest.Engine, s enginetest.Session){
		"the person never comes back": func(*enginetest.Engine, enginetest.Session) {},
		"the person declines": func(e *enginetest.Engine, s enginetest.Session) {
			e.Callback(e.Consent(s, authpipetest.Consent{User: "ada", Cancel: true}))
		},
		"the session is cancelled": func(e *enginetest.Engine, s enginetest.Session) { e.Must(logical.DeleteOperation, s.Path, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			end(e, e.Begin(enginetest.Newcomer, map[string]any{"actor": "admin"}))
			e.Clock.Advance(26 * time.Minute)
			e.MustSweep()
			if left := append(e.Storage.LeftOf("org_new"), e.Storage.Under("open/")...); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestLaterSessionKeepsKeyring: it was sealed with the keyring that the first
// session brought.
func TestLaterSessionKeepsKeyring(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Begin(enginetest.Newcomer, map[string]any{"actor": "admin"})
	e.Clock.Advance(20 * time.Minute)
	later := e.Begin(enginetest.Newcomer, map[string]any{"actor": "another"})
	e.Clock.Advance(6 * time.Minute)
	e.MustSweep()
	code := e.Callback(e.Consent(later, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	e.Must(logical.UpdateOperation, later.Path+"/complete", map[string]any{"actor": "another", "connect_code": code})
	e.After(time.Hour)
	e.Read("creds/" + enginetest.Newcomer)
}

func TestSessionExpiryKeepsKeyringOfTenant(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Begin(enginetest.Newcomer, map[string]any{"actor": "admin"})
	e.Connect(enginetest.Newcomer, "boss", authpipetest.Consent{User: "ada"})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Newcomer, nil)
	e.Clock.Advance(26 * time.Minute)
	e.MustSweep()
	if len(e.Storage.Under("keyring/tenant/org_new")) == 0 {
		t.Error("it is gone, and the tenant is not")
	}
	if left := e.Storage.Under("new-tenant/"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	e.Connect(enginetest.Newcomer, "boss", authpipetest.Consent{User: "ada"})
}

// TestUnfinishedConnectSurvivesCrash kills the engine while it begins a session, and
// while it deletes the expired one.
func TestUnfinishedConnectSurvivesCrash(t *testing.T) {
	for name, step := range map[string]struct {
		before func(*enginetest.Engine)
		act    func(*enginetest.Engine) error
	}{
		"begin": {func(*enginetest.Engine) {}, func(e *enginetest.Engine) error {
			return e.Try(logical.UpdateOperation, "connect/"+enginetest.Newcomer, map[string]any{"actor": "admin"})
		}},
		"reap": {func(e *enginetest.Engine) {
			e.Begin(enginetest.Newcomer, map[string]any{"actor": "admin"})
			e.Clock.Advance(26 * time.Minute)
		}, (*enginetest.Engine).TrySweep},
	} {
		t.Run(name, func(t *testing.T) {
			setup := func() *enginetest.Engine {
				e := enginetest.New(t, authpipetest.Options{})
				step.before(e)
				return e
			}
			enginetest.EachCrash(setup, step.act, func(e *enginetest.Engine, f enginetest.Failure) {
				e.Clock.Advance(time.Hour)
				e.MustSweep()
				e.After(time.Hour)
				if left := e.Storage.LeftOf("org_new"); len(left) > 0 {
					t.Errorf("%s, left: %v", f, left)
				}
			})
		})
	}
}
