package backend_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// delivery is what the application relays of a webhook's delivery.
func delivery(secret string, body any) map[string]any {
	b, ok := body.([]byte)
	if !ok {
		b, _ = json.Marshal(body)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(b)
	return map[string]any{"payload": base64.StdEncoding.EncodeToString(b), "signature": "sha256=" + hex.EncodeToString(mac.Sum(nil))}
}

// permissions is a delivery of the object permissions about one person.
func (e *engine) permissions(person string, at time.Time, changes ...map[string]any) map[string]any {
	id := e.fb.ScopedID(appID, person)
	return map[string]any{"object": "permissions", "entry": []any{map[string]any{"id": id, "uid": id, "time": at.Unix(), "changes": changes}}}
}

func (e *engine) notified(body any) (marked int) {
	e.t.Helper()
	return e.must(logical.UpdateOperation, notify, delivery(appSecret, body))["marked"].(int)
}

func TestADeliveryMarksWhatItNames(t *testing.T) {
	for name, row := range map[string]struct {
		body           func(e *engine) any
		marked         int
		status, checks string
	}{
		"connected is revoked": {func(e *engine) any { return e.permissions("uma", e.clock.Now(), disconnected) }, 1, "revoked", "at once"},
		"connected is revoked, the verb beside": {func(e *engine) any {
			return e.permissions("uma", e.clock.Now(), map[string]any{"field": "connected", "verb": "revoked"})
		}, 1, "revoked", "at once"},
		"it comes with permissions": {func(e *engine) any {
			return e.permissions("uma", e.clock.Now(), map[string]any{"field": "email", "value": map[string]any{"verb": "revoked"}}, disconnected)
		}, 1, "revoked", "at once"},
		"a permission is revoked": {func(e *engine) any {
			return e.permissions("uma", e.clock.Now(), map[string]any{"field": "email", "value": map[string]any{"verb": "revoked", "target_ids": []string{"777"}}})
		}, 1, "active", "at once"},
		"a permission is granted": {func(e *engine) any {
			return e.permissions("uma", e.clock.Now(), map[string]any{"field": "email", "value": map[string]any{"verb": "granted"}})
		}, 1, "active", "at once"},
		"connected is granted": {func(e *engine) any {
			return e.permissions("uma", e.clock.Now(), map[string]any{"field": "connected", "value": map[string]any{"verb": "granted"}})
		}, 1, "active", "at once"},
		"values are not subscribed to": {func(e *engine) any {
			return map[string]any{"object": "permissions", "entry": []any{map[string]any{"id": e.fb.ScopedID(appID, "uma"), "time": e.clock.Now().Unix(), "changed_fields": []string{"connected"}}}}
		}, 1, "active", "at once"},
		"it tells no time": {func(e *engine) any { return e.permissions("uma", time.Unix(0, 0), disconnected) }, 1, "active", "at once"},
		"a permission's change tells no time": {func(e *engine) any {
			return e.permissions("uma", time.Unix(0, 0), map[string]any{"field": "email", "value": map[string]any{"verb": "granted"}})
		}, 1, "active", "at once"},
		"its time is of the future": {func(e *engine) any { return e.permissions("uma", e.clock.Now().Add(time.Hour), disconnected) }, 1, "active", "at once"},
		"it is of yesterday":        {func(e *engine) any { return e.permissions("uma", e.clock.Now().Add(-day), disconnected) }, 0, "active", "later"},
		"somebody else":             {func(e *engine) any { return e.permissions("udo", e.clock.Now(), disconnected) }, 0, "active", "later"},
		"another object": {func(e *engine) any {
			return map[string]any{"object": "page", "entry": []any{map[string]any{"id": "777"}}}
		}, 0, "active", "later"},
		"no entries": {func(e *engine) any { return map[string]any{"object": "permissions"} }, 0, "active", "later"},
		"entries of an unknown kind": {func(*engine) any {
			return []byte(`{"object":"permissions","entry":["x",1,null,{"id":{},"time":"x","changes":[{"field":"connected","verb":"revoked"}]}]}`)
		}, 0, "active", "later"},
		"a bad entry beside a good one": {func(e *engine) any {
			body := e.permissions("uma", e.clock.Now(), disconnected)
			body["entry"] = append([]any{"x", map[string]any{"changes": 7}}, body["entry"].([]any)...)
			return body
		}, 1, "revoked", "at once"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := both(t, authpipetest.Options{})
			e.clock.Advance(2 * time.Minute) // past the doubt about what the connection has just shown
			body := row.body(e)
			if marked := e.notified(body); marked != row.marked {
				t.Errorf("marked %d, want %d", marked, row.marked)
			}
			e.is(row.status, uma)
			due, _ := time.Parse(time.RFC3339, e.read("connections/" + uma)["next_due_at"].(string))
			if soon := !due.After(e.clock.Now().Add(time.Minute)); soon != (row.checks == "at once") {
				t.Errorf("it is next due at %v", due)
			}
			if row.marked > 0 {
				e.storage.Reset()
				if again := e.notified(body); again != 0 || len(e.storage.Writes()) != 0 {
					t.Errorf("again it marks %d and writes %v", again, e.storage.Writes())
				}
			}
			e.after(2 * time.Minute)
			e.read("creds/" + uma) // it lives
			e.clock.Advance(time.Hour)
			e.storage.Reset()
			timeless := strings.Contains(name, "time")
			if again := e.notified(body); row.status == "active" && !timeless && again != 0 {
				t.Errorf("what a check has told since marks %d", again)
			}
		})
	}
}

func TestADeliveryThatDoesNotVerifyIsRefused(t *testing.T) {
	e := both(t, authpipetest.Options{})
	now := e.clock.Now()
	good := delivery(appSecret, e.permissions("uma", now, disconnected))
	with := func(name string, value any) map[string]any {
		return map[string]any{"payload": good["payload"], "signature": good["signature"], name: value}
	}
	before, calls := e.snapshot(), e.fb.Count("")
	e.storage.Reset()
	signature := good["signature"].(string)
	for name, data := range map[string]map[string]any{
		"nothing": nil, "no payload": {"signature": signature}, "no signature": {"payload": good["payload"]},
		"no base64": with("payload", "{}"), "another secret's": delivery("another", e.permissions("uma", now, disconnected)),
		"another body's": with("payload", delivery(appSecret, e.permissions("ada", now, disconnected))["payload"]),
		"in capitals":    with("signature", "sha256="+strings.ToUpper(signature[7:])), "without its algorithm": with("signature", signature[7:]),
		"with more behind": with("signature", signature+"0"), "too many entries": delivery(appSecret, map[string]any{"object": "permissions", "entry": make([]int, 1001)}),
		"no JSON": delivery(appSecret, []byte("connected")),
		"unknown": with("tenant", "org_acme"), "a number": with("signature", 7),
	} {
		t.Run(name, func(t *testing.T) {
			e.refused("invalid_request", 400, logical.UpdateOperation, notify, data)
		})
	}
	if ops := e.storage.Operations(); len(ops) != 0 || e.snapshot() != before || e.fb.Count("") != calls {
		t.Errorf("that costs %v", ops)
	}
	e.refused("not_found", 404, logical.ReadOperation, "creds/org_none/facebook/installation", nil)
}

func TestAFullBatchIsTakenIn(t *testing.T) {
	e := both(t, authpipetest.Options{})
	entries := make([]any, 1000)
	for i := range entries {
		entries[i] = map[string]any{"id": fmt.Sprint(10_000_000 + i), "time": e.clock.Now().Unix(), "changes": []any{disconnected}}
	}
	entries[999].(map[string]any)["id"] = e.fb.ScopedID(appID, "uma")
	entries[7].(map[string]any)["id"] = e.fb.ScopedID(appID, "ada")
	for i := range 500 {
		entries[100+i] = entries[7] // once is enough
	}
	e.storage.Reset()
	if marked := e.notified(map[string]any{"object": "permissions", "entry": entries}); marked != 2 {
		t.Errorf("marked %d", marked)
	}
	if n := len(e.storage.Operations()); n > 600 {
		t.Errorf("that makes %d storage calls", n)
	}
	if n := len(e.storage.Writes()); n > 20 {
		t.Errorf("that makes %d writes", n)
	}
}

// TestFacebookTellsTheEngine has the simulator's own deliveries arrive: its
// posts at the engine, and its webhooks by way of an application that relays.
func TestFacebookTellsTheEngine(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{"as it is": {}, "with the verb of connected beside": {ConnectedVerbBeside: true}} {
		t.Run(name, func(t *testing.T) {
			e := business(t, o, authpipetest.Business{}, authpipetest.Configuration{})
			var marked []int
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, &marked) }))
			t.Cleanup(server.Close)
			e.fb.AddApp(authpipetest.App{
				ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{mountURL + "/callback/facebook"},
				DeauthorizeURL: server.URL + "/v1/" + deauthorize, DataDeletionURL: server.URL + "/v1/" + dataDeletion,
			})
			e.install()
			e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
			e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
			for _, object := range []string{"permissions", "application"} {
				if err := e.fb.Subscribe(t.Context(), appID, authpipetest.Subscription{Object: object, CallbackURL: server.URL + "/hook", VerifyToken: "vt"}); err != nil {
					t.Fatal(err)
				}
			}
			arrive := func(want int) {
				t.Helper()
				for _, deliveries := range [][]authpipetest.Delivery{e.fb.Deliver(t.Context()), e.fb.Redeliver(t.Context())} {
					for _, d := range deliveries {
						if d.Err != nil {
							t.Errorf("%s: %v: %s", d.Kind, d.Err, d.Answer)
						}
					}
				}
				sum := 0
				for _, n := range marked {
					sum += n
				}
				if marked = nil; sum != want {
					t.Errorf("webhooks marked %d, want %d", sum, want)
				}
			}
			e.clock.Advance(time.Hour)

			e.fb.SetBusinessPages(businessID, "777", "778")
			arrive(1)
			e.is("active", installation)
			e.fb.RemoveIntegration(appID, businessID)
			arrive(1)
			e.is("revoked", installation)

			e.fb.RemoveApp(appID, "uma")
			e.fb.RequestDeletion(appID, "udo")
			e.fb.TestDeauthorize(appID)
			arrive(0) // the posts came first
			e.is("revoked", uma)
			e.is("revoked", udo)
			e.after(2 * time.Minute)
			e.is("revoked", installation)
			e.is("revoked", uma)
			e.refused("not_found", 404, logical.ReadOperation, "connections/"+udo, nil)
			e.clock.Advance(time.Hour)
			e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
			arrive(1) // Facebook tells of the new grant
			e.read("creds/" + udo)
		})
	}
}

// serve is Vault and the application in one: what Facebook posts becomes a
// request to the engine, and what its webhook is told is relayed.
func (e *engine) serve(w http.ResponseWriter, r *http.Request, marked *[]int) {
	if r.URL.Path == "/hook" {
		if r.Method == http.MethodGet {
			io.WriteString(w, r.URL.Query().Get("hub.challenge"))
			return
		}
		body, _ := io.ReadAll(r.Body)
		answer := e.must(logical.UpdateOperation, notify, map[string]any{
			"payload": base64.StdEncoding.EncodeToString(body), "signature": r.Header.Get("X-Hub-Signature-256"),
		})
		*marked = append(*marked, answer["marked"].(int))
		return
	}
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	status, answer := e.posted(strings.TrimPrefix(r.URL.Path, "/v1/"), form.Get("signed_request"))
	w.WriteHeader(status)
	io.WriteString(w, answer)
}
