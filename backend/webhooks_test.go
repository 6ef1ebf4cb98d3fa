package backend_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
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
)

const (
	deauthorize  = "webhooks/facebook/deauthorize"
	dataDeletion = "webhooks/facebook/data-deletion"
	notify       = "webhooks/facebook/notify"
)

// signed returns a signed request as Facebook makes them.
func signed(secret string, payload any) string {
	b, _ := json.Marshal(payload)
	encoded := base64.RawURLEncoding.EncodeToString(b)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(encoded))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "." + encoded
}

// request is the payload of a signed request about a person, made at a time.
func (e *engine) request(person string, at time.Time) map[string]any {
	return map[string]any{"user_id": e.fb.ScopedID(appID, person), "algorithm": "HMAC-SHA256", "issued_at": at.Unix()}
}

// posted posts to a public path as a stranger does, and returns the answer's
// status and body as Vault writes them.
func (e *engine) posted(path, signedRequest string) (status int, body string) {
	e.t.Helper()
	return e.public(logical.UpdateOperation, path, map[string]any{"signed_request": signedRequest})
}

func (e *engine) public(op logical.Operation, path string, data map[string]any) (status int, body string) {
	e.t.Helper()
	resp, err := e.HandleRequest(context.Background(), &logical.Request{Operation: op, Path: path, Data: data, Storage: e.storage, Unauthenticated: true})
	if err != nil {
		var coded logical.HTTPCodedError
		if !errors.As(err, &coded) {
			return http.StatusInternalServerError, err.Error()
		}
		return coded.Code(), err.Error()
	}
	raw, _ := resp.Data[logical.HTTPRawBody].([]byte)
	return resp.Data[logical.HTTPStatusCode].(int), string(raw)
}

// hears has Facebook's word arrive and expects that it is taken.
func (e *engine) hears(path, signedRequest string) (body string) {
	e.t.Helper()
	status, body := e.posted(path, signedRequest)
	if status != http.StatusOK {
		e.t.Fatalf("%s answers %d %s", path, status, body)
	}
	return body
}

func (e *engine) is(status, ref string) {
	e.t.Helper()
	if got := e.read("connections/" + ref)["status"]; got != status {
		e.t.Errorf("%s is %v, want %s", ref, got, status)
	}
}

var disconnected = map[string]any{"field": "connected", "value": map[string]any{"verb": "revoked"}}

func TestADeauthorizationIsNoticedWithinTheRequest(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "uma"})
	_, at := e.events(0)
	e.fb.RemoveApp(appID, "uma")
	calls := e.fb.Count("")
	if body := e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now()))); body != "" {
		t.Errorf("the answer is %q", body)
	}
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+uma, nil)
	e.refused("revoked", 409, logical.ReadOperation, "creds/org_globex/facebook/installation", nil)
	e.read("creds/" + installation) // Ada's
	if n := e.fb.Count("") - calls; n != 0 {
		t.Errorf("the request made %d calls of the provider", n)
	}
	at = e.happened(at, "connection.revoked org_acme/facebook/users/uma", "connection.revoked org_globex/facebook/installation")
	e.after(2 * time.Minute)
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+uma, nil)
	e.happened(at)
	if next := e.read("connections/" + uma)["next_due_at"]; next != nil {
		t.Errorf("it is checked again, at %v", next)
	}
}

func TestPagesGoWithWhatIsAboveThem(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.read("creds/" + page777)
	e.fb.RemoveApp(appID, "ada")
	e.hears(deauthorize, signed(appSecret, e.request("ada", e.clock.Now())))
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+page777, nil)
	e.read("creds/" + uma)
}

func TestALivingTokenIsBroughtBack(t *testing.T) {
	for name, checks := range map[string]any{"": "24h", ", with checks turned off": 0} {
		t.Run("by the check that the word has queued"+name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": checks})
			e.clock.Advance(time.Hour)
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			e.hears(deauthorize, word)
			e.is("revoked", uma)
			e.after(2 * time.Minute)
			e.read("creds/" + uma)
			if next := e.read("connections/" + uma)["next_due_at"]; next == nil {
				t.Error("nothing will refresh it any more")
			}
			e.hears(deauthorize, word)
			e.read("creds/" + uma) // it was refuted
			e.after(2 * time.Minute)
			e.read("creds/" + uma)
			e.fb.ChangePassword("uma")
			e.refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+uma+"/check", nil)
			e.is("needs_reauth", uma)
		})
	}
	t.Run("when the provider answers again", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
		repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Status: 500, Body: "<html>"})
		for range 3 {
			e.after(7 * time.Minute)
			e.is("revoked", uma)
		}
		repair()
		for range 4 {
			e.after(30 * time.Minute)
		}
		e.read("creds/" + uma)
	})
	t.Run("when a throttling is over", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
		repair := e.fb.Throttle(authpipetest.Throttle{CallCount: 100})
		e.do(logical.UpdateOperation, "connections/"+installation+"/check", nil)
		e.after(2 * time.Minute)
		e.is("revoked", uma)
		repair()
		for range 12 {
			e.after(30 * time.Minute)
		}
		e.read("creds/" + uma)
	})
}

func TestATokenThatIsDeadOtherwiseStaysRevoked(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.ChangePassword("uma")
	e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
	e.after(2 * time.Minute)
	e.is("revoked", uma)
}

func TestNotificationOlderThanTheConnectionChangesNothing(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(time.Hour)
	e.fb.RemoveApp(appID, "uma")
	word := signed(appSecret, e.request("uma", e.clock.Now()))
	body := e.permissions("uma", e.clock.Now(), disconnected)
	e.clock.Advance(time.Second)
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	before := e.read("connections/" + uma)
	e.storage.Reset()
	e.hears(deauthorize, word)
	if marked := e.notified(body); marked != 0 {
		t.Errorf("marked %d", marked)
	}
	if writes := e.storage.Writes(); len(writes) != 0 {
		t.Errorf("written was %v", writes)
	}
	if after := e.read("connections/" + uma); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("it was %v and is %v", before, after)
	}
}

func TestNotificationIsAppliedOnce(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.RemoveApp(appID, "uma")
	word, body := signed(appSecret, e.request("uma", e.clock.Now())), e.permissions("uma", e.clock.Now(), disconnected)
	e.hears(deauthorize, word)
	for range 2 {
		e.storage.Reset()
		e.hears(deauthorize, word)
		if marked := e.notified(body); marked != 0 || len(e.storage.Writes()) != 0 {
			t.Errorf("again it marks %d and writes %v", marked, e.storage.Writes())
		}
		e.after(2 * time.Minute)
	}
	history := e.read("connections/" + uma)["history"].([]map[string]any)
	if n := len(history); n != 3 { // connected, told, confirmed
		t.Errorf("the history is %v", history)
	}
}

// TestWhatDoesNotVerifyChangesNothing sends each kind of forgery, and ten
// thousand more, and looks at storage and provider.
func TestWhatDoesNotVerifyChangesNothing(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(25 * time.Hour)
	now := e.clock.Now()
	with := func(name string, value any) map[string]any {
		payload := e.request("uma", now)
		if payload[name] = value; value == nil {
			delete(payload, name)
		}
		return payload
	}
	good := signed(appSecret, e.request("uma", now))
	forged := map[string]string{
		"nothing": "", "a dot": ".", "junk": "junk", "another secret": signed("another", e.request("uma", now)),
		"too old": signed(appSecret, e.request("uma", now.Add(-24*time.Hour-time.Second))), "of the future": signed(appSecret, e.request("uma", now.Add(5*time.Minute+time.Second))),
		"no time": signed(appSecret, with("issued_at", nil)), "a browser's code": signed(appSecret, with("code", "AQ")), "a browser's token": signed(appSecret, with("oauth_token", "")),
		"another algorithm": signed(appSecret, with("algorithm", "none")), "nobody": signed(appSecret, with("user_id", nil)),
		"twice": good + "," + good, "long": strings.Repeat(good, 1000),
	}
	forgeries := 1_000
	if full {
		forgeries = 10_000
	}
	for i := range forgeries {
		forged[fmt.Sprint(i)] = signed(fmt.Sprint(i), e.request("uma", now))
	}
	before, calls := e.snapshot(), e.fb.Count("")
	e.storage.Reset()
	refusals := map[string]bool{}
	for name, word := range forged {
		for _, path := range []string{deauthorize, dataDeletion} {
			status, body := e.posted(path, word)
			if refusals[body] = true; status != http.StatusBadRequest {
				t.Errorf("%s: %s answers %d %s", name, path, status, body)
			}
		}
	}
	for _, path := range []string{"webhooks/myspace/deauthorize", "webhooks/myspace/data-deletion"} {
		_, body := e.posted(path, good)
		refusals[body] = true
	}
	if len(refusals) != 1 {
		t.Errorf("the refusals are %v", refusals)
	}
	if ops := e.storage.Operations(); len(ops) != 0 {
		t.Errorf("that costs %v", ops)
	}
	if after := e.snapshot(); after != before || e.fb.Count("") != calls {
		t.Error("it changed something")
	}
	e.read("creds/" + uma)
	e.hears(deauthorize, good)
	e.is("revoked", uma)
}

// snapshot is everything that is stored.
func (e *engine) snapshot() string {
	e.t.Helper()
	keys, err := e.storage.Keys(context.Background(), "")
	if err != nil {
		e.t.Fatal(err)
	}
	var all strings.Builder
	for _, key := range keys {
		entry, err := e.storage.Storage.Get(context.Background(), key)
		if err != nil {
			e.t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %x\n", key, entry.Value)
	}
	return all.String()
}

func TestBothSecretsSignWithinTheOverlap(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
	e.is("revoked", uma)
	e.hears(deauthorize, signed(newSecret, e.request("ada", e.clock.Now())))
	e.is("revoked", installation)
	e.clock.Advance(24*time.Hour + time.Minute)
	if status, _ := e.posted(deauthorize, signed(appSecret, e.request("uma", e.clock.Now()))); status != http.StatusBadRequest {
		t.Errorf("after the overlap the former secret is answered %d", status)
	}
	e.hears(deauthorize, signed(newSecret, e.request("uma", e.clock.Now())))
}

func TestWithoutAConfigurationNothingVerifies(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"enabled": false})
	e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
	e.is("revoked", uma) // no new sessions: what is there goes on
	e.must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	if status, body := e.posted(deauthorize, signed(appSecret, e.request("ada", e.clock.Now()))); status != http.StatusBadRequest {
		t.Errorf("answered %d %s", status, body)
	}
	e.is("active", installation)
}

func TestAPlainGETOfAPublicWebhookAnswers200(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for _, path := range []string{deauthorize, dataDeletion} {
		if status, body := e.public(logical.ReadOperation, path, nil); status != http.StatusOK || body != "" {
			t.Errorf("%s answers %d %q", path, status, body)
		}
	}
	e.hears(deauthorize, signed(appSecret, map[string]any{"user_id": "0", "algorithm": "HMAC-SHA256", "issued_at": e.clock.Now().Unix()})) // the dashboard's button
}

func TestNobodyCanHaveAPublicAnswerWrapped(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for _, op := range []logical.Operation{logical.ReadOperation, logical.UpdateOperation} {
		for _, path := range []string{deauthorize, dataDeletion} {
			_, err := e.HandleRequest(t.Context(), &logical.Request{
				Operation: op, Path: path, Storage: e.storage, Unauthenticated: true, WrapInfo: &logical.RequestWrapInfo{TTL: time.Hour},
				Data: map[string]any{"signed_request": signed(appSecret, e.request("uma", e.clock.Now()))},
			})
			checkCode(t, err, "invalid_request", 400)
		}
	}
}

func TestAPublicWebhookIsPassedOnByAStandby(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for _, state := range []consts.ReplicationState{consts.ReplicationPerformanceStandby, consts.ReplicationDRSecondary} {
		standby := e.node(&logical.StaticSystemView{ReplicationStateVal: state})
		for _, word := range []string{"junk", signed(appSecret, e.request("uma", e.clock.Now()))} {
			for _, path := range []string{deauthorize, dataDeletion} {
				if _, err := standby.do(logical.UpdateOperation, path, map[string]any{"signed_request": word}); err != logical.ErrReadOnly {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
		if _, err := standby.do(logical.UpdateOperation, notify, delivery(appSecret, e.permissions("uma", e.clock.Now(), disconnected))); err != logical.ErrReadOnly {
			t.Errorf("notify: %v", err)
		}
	}
	e.is("active", uma)
}

func TestNotificationWinsOverCallsUnderWay(t *testing.T) {
	t.Run("a check that was answered before", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, AfterEffect: true, Times: 1},
			func() { e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil) },
			func() {
				e.fb.RemoveApp(appID, "uma")
				e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
			})
		e.is("revoked", uma)
		e.after(2 * time.Minute)
		e.is("revoked", uma)
	})
	t.Run("a refresh", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		e.clock.Advance(20 * day)
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken},
			func() { e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) },
			func() { e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now()))) })
		e.is("revoked", uma)
		e.after(2 * time.Minute)
		e.is("active", uma) // Facebook had not heard of it
	})
	t.Run("a connection, which is checked at once", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		s := e.begin(udo, nil)
		code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, AfterEffect: true, Times: 1}, // the last call of all
			func() {
				e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
			},
			func() {
				e.fb.RemoveApp(appID, "udo")
				e.hears(deauthorize, signed(appSecret, e.request("udo", e.clock.Now())))
				e.clock.Advance(2 * time.Second)
			})
		e.after(2 * time.Minute)
		e.is("revoked", udo)
	})
	t.Run("a business's connection, which is checked at once", func(t *testing.T) {
		e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
		s := e.begin(installation, map[string]any{"actor": "admin"})
		code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
		body := map[string]any{"object": "application", "entry": []any{map[string]any{"id": appID, "time": e.clock.Now().Unix(), "changes": []any{
			map[string]any{"field": "business_integration_uninstall", "value": map[string]any{"business_manager_id": businessID}},
		}}}}
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, AfterEffect: true, Times: 1},
			func() {
				e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
			},
			func() {
				e.fb.RemoveIntegration(appID, businessID)
				e.notified(body)
				e.clock.Advance(2 * time.Second)
			})
		e.after(2 * time.Minute)
		if got := e.read("connections/" + installation)["status"]; got == "active" {
			t.Errorf("the installation is %v", got)
		}
	})
	t.Run("a connection that is just being stored", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		s := e.begin(udo, nil)
		code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
		reached, release := e.hold("put", "cred/"+udo)
		var all sync.WaitGroup
		all.Go(func() {
			e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "udo", "connect_code": code})
		})
		<-reached
		all.Go(func() { e.hears(deauthorize, signed(appSecret, e.request("udo", e.clock.Now()))) })
		e.settle()
		release()
		all.Wait()
		e.is("revoked", udo)
	})
	t.Run("many at once", func(t *testing.T) {
		e := both(t, authpipetest.Options{})
		word, body := signed(appSecret, e.request("uma", e.clock.Now())), e.permissions("uma", e.clock.Now(), disconnected)
		e.fb.RemoveApp(appID, "uma")
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { e.hears(deauthorize, word) })
			all.Go(func() { e.hears(dataDeletion, word) })
			all.Go(func() { e.notified(body) })
			all.Go(func() { e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil) })
			all.Go(func() { e.do(logical.ReadOperation, "creds/"+uma, nil) })
		}
		all.Wait()
		e.is("revoked", uma)
		e.after(2 * time.Minute)
		e.refused("not_found", 404, logical.ReadOperation, "connections/"+uma, nil)
	})
}

func TestImportIsCheckedAfterAnyNotification(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	token := e.obtained("ada")
	e.clock.Advance(time.Minute)
	word := signed(appSecret, e.request("ada", e.clock.Now()))
	e.clock.Advance(time.Minute)
	e.must(logical.UpdateOperation, "creds/"+installation, map[string]any{"access_token": token})
	e.hears(deauthorize, word)
	e.read("creds/" + installation)
	checked := e.read("connections/" + installation)["checked_at"]
	e.after(2 * time.Minute)
	if e.read("connections/" + installation)["checked_at"] == checked {
		t.Error("it was not checked")
	}
}

func TestNotifiedCredentialIsRevokedWhenDeleted(t *testing.T) {
	e := both(t, authpipetest.Options{})
	token := e.read("creds/" + uma)["access_token"].(string)
	e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
	if known, _ := e.fb.Inspect(token); known.Valid {
		t.Error("a living grant was forgotten")
	}
}

func TestTheProcessMayDieWhileTheProviderTells(t *testing.T) {
	for name, act := range map[string]func(e *engine) func() error{
		"a deauthorization": func(e *engine) func() error {
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			return func() error { return e.tried(deauthorize, word) }
		},
		"a deletion": func(e *engine) func() error {
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			return func() error { return e.tried(dataDeletion, word) }
		},
		"a delivery": func(e *engine) func() error {
			data := delivery(appSecret, e.permissions("uma", e.clock.Now(), disconnected))
			return func() error { _, err := e.do(logical.UpdateOperation, notify, data); return err }
		},
		"the deletion's end": func(e *engine) func() error {
			word := signed(appSecret, e.request("uma", e.clock.Now()))
			e.hears(dataDeletion, word)
			e.clock.Advance(2 * time.Minute)
			return func() error {
				if err := e.Sweep(context.Background()); err != nil {
					return err
				}
				return e.tried(dataDeletion, word)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for c := range eachCrash() {
				e := both(t, authpipetest.Options{})
				e.fb.RemoveApp(appID, "uma")
				act := act(e)
				e.storage.DieAt(c.operation, c.afterEffect)
				err := act()
				if c.misses(e) {
					continue
				}
				when := c.String()
				e.restart()
				e.checkInvariants(when)
				if err == nil && !c.afterEffect && name != "the deletion's end" {
					if _, err := e.do(logical.ReadOperation, "creds/"+uma, nil); err == nil {
						t.Errorf("%s: it was taken, and uma is served", when)
					}
				}
				if err := act(); err != nil {
					t.Errorf("%s: again: %v", when, err)
				}
				if _, err := e.do(logical.ReadOperation, "creds/"+uma, nil); err == nil {
					t.Errorf("%s: it was taken again, and uma is served", when)
				}
				for range 3 {
					e.after(10 * time.Minute)
				}
				if _, err := e.do(logical.ReadOperation, "creds/"+uma, nil); err == nil {
					t.Errorf("%s: uma is served", when)
				}
				_, err = e.do(logical.ReadOperation, "connections/"+uma, nil)
				if gone := err != nil; gone != strings.Contains(name, "deletion") {
					t.Errorf("%s: that uma's record is gone is %v", when, gone)
				}
			}
		})
	}
}

func TestWhoTellsMayGoAway(t *testing.T) {
	e := both(t, authpipetest.Options{})
	ctx, leave := context.WithCancel(t.Context())
	word := signed(appSecret, e.request("uma", e.clock.Now()))
	e.storage.Fail(func(int, storagetest.Operation) error { leave(); return nil })
	e.HandleRequest(ctx, &logical.Request{Operation: logical.UpdateOperation, Path: deauthorize, Data: map[string]any{"signed_request": word}, Storage: e.storage, Unauthenticated: true})
	e.is("revoked", uma)
}

func (e *engine) tried(path, signedRequest string) error {
	if status, body := e.posted(path, signedRequest); status != http.StatusOK {
		return fmt.Errorf("%d %s", status, body)
	}
	return nil
}

func TestNotifiedCredentialsShareTheirGrant(t *testing.T) {
	e := both(t, authpipetest.Options{})
	const other = "org_globex/facebook/installation"
	e.connect(other, "boss", authpipetest.Consent{User: "uma"})
	e.hears(deauthorize, signed(appSecret, e.request("uma", e.clock.Now())))
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
	e.after(2 * time.Minute)
	e.read("creds/" + other) // it was not so, and the grant was not ended for the other
}
