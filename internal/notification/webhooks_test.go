package notification_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestDeauthorizationAppliesWithinRequest(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
	_, at := e.Events(0)
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	calls := e.Facebook.Count("")
	if body := e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))); body != "" {
		t.Errorf("the answer is %q", body)
	}
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	e.Refused("revoked", 409, logical.ReadOperation, "creds/org_globex/facebook/installation", nil)
	e.Read("creds/" + enginetest.Installation) // Ada's
	if n := e.Facebook.Count("") - calls; n != 0 {
		t.Errorf("the request made %d calls of the provider", n)
	}
	at = e.CheckEvents(at, "connection.revoked org_acme/facebook/users/uma", "connection.revoked org_globex/facebook/installation")
	e.After(2 * time.Minute)
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	e.CheckEvents(at)
	if next := e.Read("connections/" + enginetest.Uma)["next_due_at"]; next != nil {
		t.Errorf("it is checked again, at %v", next)
	}
}

func TestDeauthorizationRevokesPages(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Read("creds/" + enginetest.Page777)
	e.Facebook.RemoveApp(enginetest.AppID, "ada")
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("ada", e.Clock.Now())))
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	e.Read("creds/" + enginetest.Uma)
}

func TestCheckRestoresLivingToken(t *testing.T) {
	for name, checks := range map[string]any{"": "24h", ", with checks turned off": 0} {
		t.Run("by the check that the word has queued"+name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": checks})
			e.Clock.Advance(time.Hour)
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			e.Webhooks.MustPost(enginetest.DeauthorizePath, word)
			e.CheckStatus("revoked", enginetest.Uma)
			e.After(2 * time.Minute)
			e.Read("creds/" + enginetest.Uma)
			if next := e.Read("connections/" + enginetest.Uma)["next_due_at"]; next == nil {
				t.Error("nothing will refresh it any more")
			}
			e.Webhooks.MustPost(enginetest.DeauthorizePath, word)
			e.Read("creds/" + enginetest.Uma) // it was refuted
			e.After(2 * time.Minute)
			e.Read("creds/" + enginetest.Uma)
			e.Facebook.ChangePassword("uma")
			e.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			e.CheckStatus("needs_reauth", enginetest.Uma)
		})
	}
	t.Run("when the provider answers again", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
		repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Status: 500, Body: "<html>"})
		for range 3 {
			e.After(7 * time.Minute)
			e.CheckStatus("revoked", enginetest.Uma)
		}
		repair()
		for range 4 {
			e.After(30 * time.Minute)
		}
		e.Read("creds/" + enginetest.Uma)
	})
	t.Run("when a throttling is over", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
		repair := e.Facebook.Throttle(authpipetest.Throttle{CallCount: 100})
		e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
		e.After(2 * time.Minute)
		e.CheckStatus("revoked", enginetest.Uma)
		repair()
		for range 12 {
			e.After(30 * time.Minute)
		}
		e.Read("creds/" + enginetest.Uma)
	})
}

func TestRevokedTokenOfAnotherErrorStaysRevoked(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.ChangePassword("uma")
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.After(2 * time.Minute)
	e.CheckStatus("revoked", enginetest.Uma)
}

func TestNotificationOlderThanTheConnectionChangesNothing(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(time.Hour)
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
	body := e.Webhooks.Permissions("uma", e.Clock.Now(), enginetest.Disconnected)
	e.Clock.Advance(time.Second)
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	before := e.Read("connections/" + enginetest.Uma)
	e.Storage.Reset()
	e.Webhooks.MustPost(enginetest.DeauthorizePath, word)
	if marked := e.Webhooks.Notify(body); marked != 0 {
		t.Errorf("marked %d", marked)
	}
	if writes := e.Storage.Writes(); len(writes) != 0 {
		t.Errorf("written was %v", writes)
	}
	if after := e.Read("connections/" + enginetest.Uma); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("it was %v and is %v", before, after)
	}
}

func TestNotificationIsAppliedOnce(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	word, body := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())), e.Webhooks.Permissions("uma", e.Clock.Now(), enginetest.Disconnected)
	e.Webhooks.MustPost(enginetest.DeauthorizePath, word)
	for range 2 {
		e.Storage.Reset()
		e.Webhooks.MustPost(enginetest.DeauthorizePath, word)
		if marked := e.Webhooks.Notify(body); marked != 0 || len(e.Storage.Writes()) != 0 {
			t.Errorf("again it marks %d and writes %v", marked, e.Storage.Writes())
		}
		e.After(2 * time.Minute)
	}
	history := e.Read("connections/" + enginetest.Uma)["history"].([]map[string]any)
	if n := len(history); n != 3 { // connected, reported, confirmed
		t.Errorf("the history is %v", history)
	}
}

// TestUnverifiedRequestChangesNothing sends each kind of forgery, and ten
// thousand more, and looks at storage and provider.
func TestUnverifiedRequestChangesNothing(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(25 * time.Hour)
	now := e.Clock.Now()
	with := func(name string, value any) map[string]any {
		payload := e.Webhooks.Request("uma", now)
		if payload[name] = value; value == nil {
			delete(payload, name)
		}
		return payload
	}
	good := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", now))
	forged := map[string]string{
		"nothing": "", "a dot": ".", "junk": "junk", "another secret": enginetest.SignedRequest("another", e.Webhooks.Request("uma", now)),
		"too old": enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", now.Add(-24*time.Hour-time.Second))), "of the future": enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", now.Add(5*time.Minute+time.Second))),
		"no time": enginetest.SignedRequest(enginetest.AppSecret, with("issued_at", nil)), "a browser's code": enginetest.SignedRequest(enginetest.AppSecret, with("code", "AQ")), "a browser's token": enginetest.SignedRequest(enginetest.AppSecret, with("oauth_token", "")),
		"another algorithm": enginetest.SignedRequest(enginetest.AppSecret, with("algorithm", "none")), "nobody": enginetest.SignedRequest(enginetest.AppSecret, with("user_id", nil)),
		"twice": good + "," + good, "long": strings.Repeat(good, 1000),
	}
	forgeries := 1_000
	if enginetest.Full {
		forgeries = 10_000
	}
	for i := range forgeries {
		forged[fmt.Sprint(i)] = enginetest.SignedRequest(fmt.Sprint(i), e.Webhooks.Request("uma", now))
	}
	before, calls := e.Storage.Snapshot(), e.Facebook.Count("")
	e.Storage.Reset()
	refusals := map[string]bool{}
	for name, word := range forged {
		for _, path := range []string{enginetest.DeauthorizePath, enginetest.DataDeletionPath} {
			status, body := e.Webhooks.Post(path, word)
			if refusals[body] = true; status != http.StatusBadRequest {
				t.Errorf("%s: %s answers %d %s", name, path, status, body)
			}
		}
	}
	for _, path := range []string{"webhooks/myspace/deauthorize", "webhooks/myspace/data-deletion"} {
		_, body := e.Webhooks.Post(path, good)
		refusals[body] = true
	}
	if len(refusals) != 1 {
		t.Errorf("the refusals are %v", refusals)
	}
	if ops := e.Storage.Operations(); len(ops) != 0 {
		t.Errorf("that costs %v", ops)
	}
	if after := e.Storage.Snapshot(); after != before || e.Facebook.Count("") != calls {
		t.Error("it changed something")
	}
	e.Read("creds/" + enginetest.Uma)
	e.Webhooks.MustPost(enginetest.DeauthorizePath, good)
	e.CheckStatus("revoked", enginetest.Uma)
}

func TestBothSecretsSignDuringOverlap(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.CheckStatus("revoked", enginetest.Uma)
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.NewSecret, e.Webhooks.Request("ada", e.Clock.Now())))
	e.CheckStatus("revoked", enginetest.Installation)
	e.Clock.Advance(24*time.Hour + time.Minute)
	if status, _ := e.Webhooks.Post(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))); status != http.StatusBadRequest {
		t.Errorf("after the overlap the former secret is answered %d", status)
	}
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.NewSecret, e.Webhooks.Request("uma", e.Clock.Now())))
}

func TestNothingVerifiesWithoutConfig(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"enabled": false})
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.CheckStatus("revoked", enginetest.Uma) // no new sessions: what is there goes on
	e.Must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	if status, body := e.Webhooks.Post(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("ada", e.Clock.Now()))); status != http.StatusBadRequest {
		t.Errorf("answered %d %s", status, body)
	}
	e.CheckStatus("active", enginetest.Installation)
}

func TestPlainGETOfPublicWebhookAnswers200(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, path := range []string{enginetest.DeauthorizePath, enginetest.DataDeletionPath} {
		if status, body := e.Webhooks.Public(logical.ReadOperation, path, nil); status != http.StatusOK || body != "" {
			t.Errorf("%s answers %d %q", path, status, body)
		}
	}
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, map[string]any{"user_id": "0", "algorithm": "HMAC-SHA256", "issued_at": e.Clock.Now().Unix()})) // the dashboard's button
}

func TestPublicAnswerIsNeverWrapped(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, op := range []logical.Operation{logical.ReadOperation, logical.UpdateOperation} {
		for _, path := range []string{enginetest.DeauthorizePath, enginetest.DataDeletionPath} {
			_, err := e.HandleRequest(t.Context(), &logical.Request{
				Operation: op, Path: path, Storage: e.Storage, Unauthenticated: true, WrapInfo: &logical.RequestWrapInfo{TTL: time.Hour},
				Data: map[string]any{"signed_request": enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))},
			})
			enginetest.CheckCode(t, err, "invalid_request", 400)
		}
	}
}

func TestStandbyForwardsPublicWebhook(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for _, state := range []consts.ReplicationState{consts.ReplicationPerformanceStandby, consts.ReplicationDRSecondary} {
		standby := e.Node(&logical.StaticSystemView{ReplicationStateVal: state})
		for _, word := range []string{"junk", enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))} {
			for _, path := range []string{enginetest.DeauthorizePath, enginetest.DataDeletionPath} {
				if _, err := standby.Do(logical.UpdateOperation, path, map[string]any{"signed_request": word}); err != logical.ErrReadOnly {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
		if _, err := standby.Do(logical.UpdateOperation, enginetest.NotifyPath, enginetest.Delivery(enginetest.AppSecret, e.Webhooks.Permissions("uma", e.Clock.Now(), enginetest.Disconnected))); err != logical.ErrReadOnly {
			t.Errorf("notify: %v", err)
		}
	}
	e.CheckStatus("active", enginetest.Uma)
}

func TestNotificationWinsOverCallsUnderWay(t *testing.T) {
	t.Run("a check that was answered before", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, AfterEffect: true, Times: 1},
			func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil) },
			func() {
				e.Facebook.RemoveApp(enginetest.AppID, "uma")
				e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
			})
		e.CheckStatus("revoked", enginetest.Uma)
		e.After(2 * time.Minute)
		e.CheckStatus("revoked", enginetest.Uma)
	})
	t.Run("a refresh", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		e.Clock.Advance(20 * enginetest.Day)
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken},
			func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil) },
			func() {
				e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
			})
		e.CheckStatus("revoked", enginetest.Uma)
		e.After(2 * time.Minute)
		e.CheckStatus("active", enginetest.Uma) // Facebook had not received it
	})
	t.Run("a connection, which is checked at once", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		s := e.Begin(enginetest.Udo, nil)
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, AfterEffect: true, Times: 1}, // the last call of all
			func() {
				e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			},
			func() {
				e.Facebook.RemoveApp(enginetest.AppID, "udo")
				e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("udo", e.Clock.Now())))
				e.Clock.Advance(2 * time.Second)
			})
		e.After(2 * time.Minute)
		e.CheckStatus("revoked", enginetest.Udo)
	})
	t.Run("a business's connection, which is checked at once", func(t *testing.T) {
		e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
		body := map[string]any{"object": "application", "entry": []any{map[string]any{"id": enginetest.AppID, "time": e.Clock.Now().Unix(), "changes": []any{
			map[string]any{"field": "business_integration_uninstall", "value": map[string]any{"business_manager_id": enginetest.BusinessID}},
		}}}}
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, AfterEffect: true, Times: 1},
			func() {
				e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
			},
			func() {
				e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
				e.Webhooks.Notify(body)
				e.Clock.Advance(2 * time.Second)
			})
		e.After(2 * time.Minute)
		if got := e.Read("connections/" + enginetest.Installation)["status"]; got == "active" {
			t.Errorf("the installation is %v", got)
		}
	})
	t.Run("a connection that is just being stored", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		s := e.Begin(enginetest.Udo, nil)
		code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
		reached, release := e.Storage.Hold("put", "cred/"+enginetest.Udo)
		var all sync.WaitGroup
		all.Go(func() {
			e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
		})
		<-reached
		all.Go(func() {
			e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("udo", e.Clock.Now())))
		})
		e.Storage.AwaitQuiet()
		release()
		all.Wait()
		e.CheckStatus("revoked", enginetest.Udo)
	})
	t.Run("many at once", func(t *testing.T) {
		e := enginetest.Connected(t, authpipetest.Options{})
		word, body := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())), e.Webhooks.Permissions("uma", e.Clock.Now(), enginetest.Disconnected)
		e.Facebook.RemoveApp(enginetest.AppID, "uma")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { e.Webhooks.MustPost(enginetest.DeauthorizePath, word) })
			all.Go(func() { e.Webhooks.MustPost(enginetest.DataDeletionPath, word) })
			all.Go(func() { e.Webhooks.Notify(body) })
			all.Go(func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil) })
			all.Go(func() { e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil) })
		}
		all.Wait()
		e.CheckStatus("revoked", enginetest.Uma)
		e.After(2 * time.Minute)
		e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Uma, nil)
	})
}

func TestImportIsCheckedAfterAnyNotification(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	token := e.ObtainToken("ada")
	e.Clock.Advance(time.Minute)
	word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("ada", e.Clock.Now()))
	e.Clock.Advance(time.Minute)
	e.Must(logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": token})
	e.Webhooks.MustPost(enginetest.DeauthorizePath, word)
	e.Read("creds/" + enginetest.Installation)
	checked := e.Read("connections/" + enginetest.Installation)["checked_at"]
	e.After(2 * time.Minute)
	if e.Read("connections/" + enginetest.Installation)["checked_at"] == checked {
		t.Error("it was not checked")
	}
}

func TestNotifiedCredentialIsRevokedWhenDeleted(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	if known, _ := e.Facebook.Inspect(token); known.Valid {
		t.Error("a living grant was forgotten")
	}
}

func TestNotificationSurvivesCrash(t *testing.T) {
	for name, prepare := range map[string]func(e *enginetest.Engine) func() error{
		"a deauthorization": func(e *enginetest.Engine) func() error {
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			return func() error { return e.Webhooks.TryPost(enginetest.DeauthorizePath, word) }
		},
		"a deletion": func(e *enginetest.Engine) func() error {
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			return func() error { return e.Webhooks.TryPost(enginetest.DataDeletionPath, word) }
		},
		"a delivery": func(e *enginetest.Engine) func() error {
			data := enginetest.Delivery(enginetest.AppSecret, e.Webhooks.Permissions("uma", e.Clock.Now(), enginetest.Disconnected))
			return func() error { _, err := e.Do(logical.UpdateOperation, enginetest.NotifyPath, data); return err }
		},
		"the deletion's end": func(e *enginetest.Engine) func() error {
			word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
			e.Webhooks.MustPost(enginetest.DataDeletionPath, word)
			e.Clock.Advance(2 * time.Minute)
			return func() error {
				if err := e.Sweep(context.Background()); err != nil {
					return err
				}
				return e.Webhooks.TryPost(enginetest.DataDeletionPath, word)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var act func() error
			setup := func() *enginetest.Engine {
				e := enginetest.Connected(t, authpipetest.Options{})
				e.Facebook.RemoveApp(enginetest.AppID, "uma")
				act = prepare(e)
				return e
			}
			enginetest.EachCrash(setup, func(*enginetest.Engine) error { return act() }, func(e *enginetest.Engine, f enginetest.Failure) {
				when := f.String()
				e.CheckInvariants(when)
				if f.Err == nil && !f.AfterEffect && name != "the deletion's end" {
					if _, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err == nil {
						t.Errorf("%s: it was taken, and uma is served", when)
					}
				}
				if err := act(); err != nil {
					t.Errorf("%s: again: %v", when, err)
				}
				if _, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err == nil {
					t.Errorf("%s: it was taken again, and uma is served", when)
				}
				for range 3 {
					e.After(10 * time.Minute)
				}
				if _, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err == nil {
					t.Errorf("%s: uma is served", when)
				}
				if gone := e.Try(logical.ReadOperation, "connections/"+enginetest.Uma, nil) != nil; gone != strings.Contains(name, "deletion") {
					t.Errorf("%s: that uma's record is gone is %v", when, gone)
				}
			})
		})
	}
}

func TestNotificationOutlivesItsCaller(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	ctx, leave := context.WithCancel(t.Context())
	word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
	e.Storage.Fail(func(int, storagetest.Operation) error { leave(); return nil })
	e.HandleRequest(ctx, &logical.Request{Operation: logical.UpdateOperation, Path: enginetest.DeauthorizePath, Data: map[string]any{"signed_request": word}, Storage: e.Storage, Unauthenticated: true})
	e.CheckStatus("revoked", enginetest.Uma)
}

func TestNotifiedCredentialsShareTheirGrant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const other = "org_globex/facebook/installation"
	e.Connect(other, "boss", authpipetest.Consent{User: "uma"})
	e.Webhooks.MustPost(enginetest.DeauthorizePath, enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.After(2 * time.Minute)
	e.Read("creds/" + other) // it was not so, and the grant was not ended for the other
}
