package notification_test

import (
	"encoding/base64"
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
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestDeliveryMarksNamedCredentials(t *testing.T) {
	for name, row := range map[string]struct {
		body           func(e *enginetest.Engine) any
		marked         int
		status, checks string
	}{
		"connected is revoked": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", e.Clock.Now(), enginetest.Disconnected)
		}, 1, "revoked", "at once"},
		"connected is revoked, the verb beside": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", e.Clock.Now(), map[string]any{"field": "connected", "verb": "revoked"})
		}, 1, "revoked", "at once"},
		"it comes with permissions": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", e.Clock.Now(), map[string]any{"field": "email", "value": map[string]any{"verb": "revoked"}}, enginetest.Disconnected)
		}, 1, "revoked", "at once"},
		"a permission is revoked": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", e.Clock.Now(), map[string]any{"field": "email", "value": map[string]any{"verb": "revoked", "target_ids": []string{"777"}}})
		}, 1, "active", "at once"},
		"a permission is granted": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", e.Clock.Now(), map[string]any{"field": "email", "value": map[string]any{"verb": "granted"}})
		}, 1, "active", "at once"},
		"connected is granted": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", e.Clock.Now(), map[string]any{"field": "connected", "value": map[string]any{"verb": "granted"}})
		}, 1, "active", "at once"},
		"values are not subscribed to": {func(e *enginetest.Engine) any {
			return map[string]any{"object": "permissions", "entry": []any{map[string]any{"id": e.Facebook.ScopedID(enginetest.AppID, "uma"), "time": e.Clock.Now().Unix(), "changed_fields": []string{"connected"}}}}
		}, 1, "active", "at once"},
		"it tells no time": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", time.Unix(0, 0), enginetest.Disconnected)
		}, 1, "active", "at once"},
		"a permission's change tells no time": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", time.Unix(0, 0), map[string]any{"field": "email", "value": map[string]any{"verb": "granted"}})
		}, 1, "active", "at once"},
		"its time is of the future": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", e.Clock.Now().Add(time.Hour), enginetest.Disconnected)
		}, 1, "active", "at once"},
		"it is of yesterday": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("uma", e.Clock.Now().Add(-enginetest.Day), enginetest.Disconnected)
		}, 0, "active", "later"},
		"somebody else": {func(e *enginetest.Engine) any {
			return e.Webhooks.Permissions("udo", e.Clock.Now(), enginetest.Disconnected)
		}, 0, "active", "later"},
		"another object": {func(e *enginetest.Engine) any {
			return map[string]any{"object": "page", "entry": []any{map[string]any{"id": "777"}}}
		}, 0, "active", "later"},
		"no entries": {func(e *enginetest.Engine) any { return map[string]any{"object": "permissions"} }, 0, "active", "later"},
		"entries of an unknown kind": {func(*enginetest.Engine) any {
			return []byte(`{"object":"permissions","entry":["x",1,null,{"id":{},"time":"x","changes":[{"field":"connected","verb":"revoked"}]}]}`)
		}, 0, "active", "later"},
		"a bad entry beside a good one": {func(e *enginetest.Engine) any {
			body := e.Webhooks.Permissions("uma", e.Clock.Now(), enginetest.Disconnected)
			body["entry"] = append([]any{"x", map[string]any{"changes": 7}}, body["entry"].([]any)...)
			return body
		}, 1, "revoked", "at once"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Clock.Advance(2 * time.Minute) // past the doubt about what the connection has just shown
			body := row.body(e)
			if marked := e.Webhooks.Notify(body); marked != row.marked {
				t.Errorf("marked %d, want %d", marked, row.marked)
			}
			e.CheckStatus(row.status, enginetest.Uma)
			due, _ := time.Parse(time.RFC3339, e.Read("connections/" + enginetest.Uma)["next_due_at"].(string))
			if soon := !due.After(e.Clock.Now().Add(time.Minute)); soon != (row.checks == "at once") {
				t.Errorf("it is next due at %v", due)
			}
			if row.marked > 0 {
				e.Storage.Reset()
				if again := e.Webhooks.Notify(body); again != 0 || len(e.Storage.Writes()) != 0 {
					t.Errorf("again it marks %d and writes %v", again, e.Storage.Writes())
				}
			}
			e.After(2 * time.Minute)
			e.Read("creds/" + enginetest.Uma) // it lives
			e.Clock.Advance(time.Hour)
			e.Storage.Reset()
			timeless := strings.Contains(name, "time")
			if again := e.Webhooks.Notify(body); row.status == "active" && !timeless && again != 0 {
				t.Errorf("what a check has told since marks %d", again)
			}
		})
	}
}

func TestUnverifiedDeliveryIsRefused(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	now := e.Clock.Now()
	good := enginetest.Delivery(enginetest.AppSecret, e.Webhooks.Permissions("uma", now, enginetest.Disconnected))
	with := func(name string, value any) map[string]any {
		return map[string]any{"payload": good["payload"], "signature": good["signature"], name: value}
	}
	before, calls := e.Storage.Snapshot(), e.Facebook.Count("")
	e.Storage.Reset()
	signature := good["signature"].(string)
	for name, data := range map[string]map[string]any{
		"nothing": nil, "no payload": {"signature": signature}, "no signature": {"payload": good["payload"]},
		"no base64": with("payload", "{}"), "another secret's": enginetest.Delivery("another", e.Webhooks.Permissions("uma", now, enginetest.Disconnected)),
		"another body's": with("payload", enginetest.Delivery(enginetest.AppSecret, e.Webhooks.Permissions("ada", now, enginetest.Disconnected))["payload"]),
		"in capitals":    with("signature", "sha256="+strings.ToUpper(signature[7:])), "without its algorithm": with("signature", signature[7:]),
		"with more behind": with("signature", signature+"0"), "too many entries": enginetest.Delivery(enginetest.AppSecret, map[string]any{"object": "permissions", "entry": make([]int, 1001)}),
		"no JSON": enginetest.Delivery(enginetest.AppSecret, []byte("connected")),
		"unknown": with("tenant", "org_acme"), "a number": with("signature", 7),
	} {
		t.Run(name, func(t *testing.T) {
			e.Refused("invalid_request", 400, logical.UpdateOperation, enginetest.NotifyPath, data)
		})
	}
	if ops := e.Storage.Operations(); len(ops) != 0 || e.Storage.Snapshot() != before || e.Facebook.Count("") != calls {
		t.Errorf("that costs %v", ops)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "creds/org_none/facebook/installation", nil)
}

func TestFullBatchIsAccepted(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	entries := make([]any, 1000)
	for i := range entries {
		entries[i] = map[string]any{"id": fmt.Sprint(10_000_000 + i), "time": e.Clock.Now().Unix(), "changes": []any{enginetest.Disconnected}}
	}
	entries[999].(map[string]any)["id"] = e.Facebook.ScopedID(enginetest.AppID, "uma")
	entries[7].(map[string]any)["id"] = e.Facebook.ScopedID(enginetest.AppID, "ada")
	for i := range 500 {
		entries[100+i] = entries[7] // once is enough
	}
	e.Storage.Reset()
	if marked := e.Webhooks.Notify(map[string]any{"object": "permissions", "entry": entries}); marked != 2 {
		t.Errorf("marked %d", marked)
	}
	if n := len(e.Storage.Operations()); n > 600 {
		t.Errorf("that makes %d storage calls", n)
	}
	if n := len(e.Storage.Writes()); n > 20 {
		t.Errorf("that makes %d writes", n)
	}
}

// TestSimulatorDeliveriesAreApplied has the simulator's own deliveries arrive: its
// posts at the engine, and its webhooks by way of an application that relays.
func TestSimulatorDeliveriesAreApplied(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{"as it is": {}, "with the verb of connected beside": {ConnectedVerbBeside: true}} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Business(t, o, authpipetest.Business{}, authpipetest.Configuration{})
			var marked []int
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(e, w, r, &marked) }))
			t.Cleanup(server.Close)
			e.Facebook.AddApp(authpipetest.App{
				ID: enginetest.AppID, Secret: enginetest.AppSecret, RequireAppSecret: true, RedirectURIs: []string{enginetest.MountURL + "/callback/facebook"},
				DeauthorizeURL: server.URL + "/v1/" + enginetest.DeauthorizePath, DataDeletionURL: server.URL + "/v1/" + enginetest.DataDeletionPath,
			})
			e.Install()
			e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
			e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
			for _, object := range []string{"permissions", "application"} {
				if err := e.Facebook.Subscribe(t.Context(), enginetest.AppID, authpipetest.Subscription{Object: object, CallbackURL: server.URL + "/hook", VerifyToken: "vt"}); err != nil {
					t.Fatal(err)
				}
			}
			arrive := func(want int) {
				t.Helper()
				for _, deliveries := range [][]authpipetest.Delivery{e.Facebook.Deliver(t.Context()), e.Facebook.Redeliver(t.Context())} {
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
			e.Clock.Advance(time.Hour)

			e.Facebook.SetBusinessPages(enginetest.BusinessID, "777", "778")
			arrive(1)
			e.CheckStatus("active", enginetest.Installation)
			e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
			arrive(1)
			e.CheckStatus("revoked", enginetest.Installation)

			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			e.Facebook.RequestDeletion(enginetest.AppID, "udo")
			e.Facebook.TestDeauthorize(enginetest.AppID)
			arrive(0) // the posts came first
			e.CheckStatus("revoked", enginetest.Uma)
			e.CheckStatus("revoked", enginetest.Udo)
			e.After(2 * time.Minute)
			e.CheckStatus("revoked", enginetest.Installation)
			e.CheckStatus("revoked", enginetest.Uma)
			e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Udo, nil)
			e.Clock.Advance(time.Hour)
			e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
			arrive(1) // Facebook reports the new grant
			e.Read("creds/" + enginetest.Udo)
		})
	}
}

// serve is Vault and the application in one: what Facebook posts becomes a
// request to the engine, and relays what its webhook receives.
func serve(e *enginetest.Engine, w http.ResponseWriter, r *http.Request, marked *[]int) {
	if r.URL.Path == "/hook" {
		if r.Method == http.MethodGet {
			io.WriteString(w, r.URL.Query().Get("hub.challenge"))
			return
		}
		body, _ := io.ReadAll(r.Body)
		answer := e.Must(logical.UpdateOperation, enginetest.NotifyPath, map[string]any{
			"payload": base64.StdEncoding.EncodeToString(body), "signature": r.Header.Get("X-Hub-Signature-256"),
		})
		*marked = append(*marked, answer["marked"].(int))
		return
	}
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	status, answer := e.Webhooks.Post(strings.TrimPrefix(r.URL.Path, "/v1/"), form.Get("signed_request"))
	w.WriteHeader(status)
	io.WriteString(w, answer)
}
