package authpipetest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// listener is an app's server: it records requests and answers verification requests.
type listener struct {
	*httptest.Server
	mu       sync.Mutex
	status   int
	answer   string
	received []received
}

type received struct {
	path, body string
	header     http.Header
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{status: http.StatusOK}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := r.URL.Query(); r.Method == http.MethodGet {
		if q.Get("hub.mode") == "subscribe" && q.Get("hub.verify_token") == "vt" {
			_, _ = io.WriteString(w, q.Get("hub.challenge"))
		}
		return
	}
	body, _ := io.ReadAll(r.Body)
	l.received = append(l.received, received{r.URL.Path, string(body), r.Header})
	w.WriteHeader(l.status)
	_, _ = io.WriteString(w, l.answer)
}

// replies sets the listener's answer.
func (l *listener) replies(status int, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status, l.answer = status, answer
}

// newListening makes a world with a business and an app that receives all notifications.
func newListening(t *testing.T, o authpipetest.Options) (world, *listener) {
	t.Helper()
	w, l := newBusiness(t, o), newListener(t)
	w.AddApp(authpipetest.App{
		ID: appID, Secret: appSecret, RedirectURIs: []string{callback}, DeauthorizeURL: l.URL + "/gone", DataDeletionURL: l.URL + "/delete",
	})
	for _, object := range []string{"permissions", "application"} {
		s := authpipetest.Subscription{Object: object, CallbackURL: l.URL + "/hook", VerifyToken: "vt"}
		if err := w.Subscribe(t.Context(), appID, s); err != nil {
			t.Fatal(err)
		}
	}
	return w, l
}

// delivered delivers the queued notifications, checks their signatures, and returns them.
func (w world) delivered(secret string) []string {
	w.t.Helper()
	var sent []string
	for _, d := range w.Deliver(w.t.Context()) {
		if d.Err != nil {
			w.t.Error(d.Err)
		}
		sent = append(sent, strings.TrimPrefix(d.URL[strings.LastIndex(d.URL, "/"):], "/")+" "+w.payload(d, secret))
	}
	return sent
}

func (w world) payload(d authpipetest.Delivery, secret string) string {
	w.t.Helper()
	if d.Kind == authpipetest.EventWebhook {
		if got, want := d.Header.Get("X-Hub-Signature-256"), "sha256="+proof(secret, string(d.Body)); got != want {
			w.t.Errorf("X-Hub-Signature-256: %s, want %s", got, want)
		}
		return string(d.Body)
	}
	signature, payload, _ := strings.Cut(must(url.ParseQuery(string(d.Body))).Get("signed_request"), ".")
	want := must(hex.DecodeString(proof(secret, payload)))
	if got := must(base64.RawURLEncoding.DecodeString(signature)); !hmac.Equal(got, want) || len(got) != sha256.Size {
		w.t.Errorf("signature %x, want %x", got, want)
	}
	return string(must(base64.RawURLEncoding.DecodeString(payload)))
}

func TestAnotherChoiceOfPagesNotifies(t *testing.T) {
	w, _ := newListening(t, authpipetest.Options{})
	id := w.ScopedID(appID, "ada")
	hook := func(verb, page string) string {
		change := func(field string) string {
			return `{"field": "` + field + `", "value": {"verb": "` + verb + `", "target_ids": ["` + page + `"]}}`
		}
		return `hook {"object": "permissions", "entry": [{"id": "` + id + `", "uid": "` + id + `", "time": 1794816000, "changes": [` +
			change("pages_read_engagement") + `, ` + change("pages_show_list") + `]}]}`
	}
	choose := func(pages ...string) []string {
		w.tokenAs(authpipetest.Consent{User: "ada", Pages: pages}, "email,pages_show_list,pages_read_engagement")
		return w.delivered(appSecret)
	}
	choose("777")
	for _, step := range []struct {
		name      string
		got, want []string
	}{
		{"another page", choose("888"), []string{hook("revoked", "777"), hook("granted", "888")}},
		{"the same", choose("888"), nil},
		{"all, which is one more", choose(), []string{hook("granted", "777")}},
		{"each by its name, which is the same", choose("777", "888"), nil},
		{"one fewer", choose("777"), []string{hook("revoked", "888")}},
	} {
		if diff := cmp.Diff(step.want, step.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func TestDeliverSendsNotifications(t *testing.T) {
	w, l := newListening(t, authpipetest.Options{})
	l.replies(http.StatusOK, `{"url":"https://e/status/1","confirmation_code":"c1"}`)
	id := w.ScopedID(appID, "ada")
	hook := func(object, changes string) string {
		entry := `"id": "` + id + `", "uid": "` + id + `"`
		if object == "application" {
			entry = `"id": "123"`
		}
		return `hook {"object": "` + object + `", "entry": [{` + entry + `, "time": 1794816000, "changes": [` + changes + `]}]}`
	}
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"a login", func() { w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, "email,pages_show_list") }, []string{hook("permissions",
			`{"field": "email", "value": {"verb": "granted"}}, {"field": "pages_show_list", "value": {"verb": "granted", "target_ids": ["777"]}}, {"field": "public_profile", "value": {"verb": "granted"}}`)}},
		{"the same again is no news", func() { w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, "email") }, nil},
		{"a permission taken back", func() { w.revoke("/"+id+"/permissions/email", appToken) }, []string{
			hook("permissions", `{"field": "email", "value": {"verb": "revoked"}}`)}},
		{"and once more is no news", func() { w.revoke("/"+id+"/permissions/email", appToken) }, nil},
		{"the app removed", func() { w.revoke("/"+id+"/permissions", appToken) }, []string{
			`gone {"user_id":"` + id + `","algorithm":"HMAC-SHA256","issued_at":1794816000}`, hook("permissions",
				`{"field": "pages_show_list", "value": {"verb": "revoked", "target_ids": ["777"]}}, {"field": "public_profile", "value": {"verb": "revoked"}}, {"field": "connected", "value": {"verb": "revoked"}}`)}},
		{"an app that is not there any more", func() { w.RemoveApp(appID, "ada") }, nil},
		{"deletion requested", func() { w.RequestDeletion(appID, "ada") }, []string{
			`delete {"user_id":"` + id + `","algorithm":"HMAC-SHA256","issued_at":1794816000,"expires":1794819600}`}},
		{"the dashboard's test", func() { w.TestDeauthorize(appID) }, []string{
			`gone {"user_id":"0","algorithm":"HMAC-SHA256","issued_at":1794816000}`}},
		{"a business connects", func() { w.connect(authpipetest.Consent{}) }, []string{hook("application",
			`{"field": "business_integration_install", "value": {"business_manager_id": "5566", "tp_config_id": "31"}}`)}},
		{"an asset lost", func() { w.SetBusinessPages(businessID, "888") }, []string{hook("application",
			`{"field": "business_integration_update", "value": {"business_manager_id": "5566"}}`)}},
		{"a business disconnects", func() { w.RemoveIntegration(appID, businessID) }, []string{hook("application",
			`{"field": "business_integration_uninstall", "value": {"business_manager_id": "5566"}}`)}},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.do()
			if diff := cmp.Diff(step.want, w.in(t).delivered(appSecret)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, h := range l.received {
		want := "application/x-www-form-urlencoded"
		if h.path == "/hook" {
			want = "application/json"
		}
		if got := h.header.Get("Content-Type"); got != want {
			t.Errorf("%s: Content-Type %s", h.path, got)
		}
	}
}

func TestWebhookBodyIsEscapedAsFacebooks(t *testing.T) {
	w, l := newListening(t, authpipetest.Options{})
	w.Notify(appID, "permissions", map[string]any{"name": "Café \"ü\" 🙂 <b>", "url": "https://e/?a=1%20&b=@", "n": []int{1, 2}})
	w.Notify(appID, "page", 1) // without a subscription
	w.delivered(appSecret)
	const want = `{"entry": [{"n": [1, 2], "name": "Caf\u00e9 \"\u00fc\" \ud83d\ude42 \u003cb>", "url": "https:\/\/e\/?a=1\u002520&b=\u0040"}], "object": "permissions"}`
	if got := l.received[0].body; got != want {
		t.Errorf("body %s\nwant %s", got, want)
	}
	if !json.Valid([]byte(l.received[0].body)) {
		t.Error("it is no JSON")
	}
}

func TestDeliverKeepsFailedNotifications(t *testing.T) {
	w, l := newListening(t, authpipetest.Options{ConnectedVerbBeside: true})
	w.token("email")
	w.delivered(appSecret)
	w.RequestDeletion(appID, "ada")
	l.replies(http.StatusInternalServerError, "")
	for _, d := range w.Deliver(t.Context()) {
		if d.Err == nil || d.Status != http.StatusInternalServerError {
			t.Errorf("an answer of 500: %+v", d)
		}
	}
	for _, answer := range []string{``, `{}`, `{url:"https://e/","confirmation_code":"c"}`, `{"url":"/status","confirmation_code":"c"}`, `{"url":"https://e/"}`} {
		l.replies(http.StatusOK, answer)
		w.Deliver(t.Context())
		if w.Pending() != 1 {
			t.Errorf("the answer %s to a data deletion request leaves %d undelivered", answer, w.Pending())
		}
	}
	l.replies(http.StatusOK, `{"url":"https://e/status/1","confirmation_code":"c1"}`)
	w.SetAppSecret(appID, "NEW") // signed with the current secret
	if got := w.delivered("NEW"); len(got) != 1 || !strings.HasPrefix(got[0], "delete ") || w.Pending() != 0 {
		t.Errorf("delivered %v, %d left", got, w.Pending())
	}
	again := w.Redeliver(t.Context())
	if len(again) != 4 || !strings.Contains(string(again[2].Body), `{"field": "connected", "verb": "revoked"}`) {
		t.Errorf("once more: %d", len(again))
	}
	l.Close()
	w.TestDeauthorize(appID)
	if got := w.Deliver(t.Context()); got[0].Err == nil || got[0].Status != 0 {
		t.Errorf("no server: %+v", got[0])
	}
}

func TestSubscriptionEndpoints(t *testing.T) {
	w, l := newListening(t, authpipetest.Options{})
	path := "/v26.0/" + appID + "/subscriptions"
	form := params("access_token", appToken, "object", "page", "callback_url", l.URL+"/page", "verify_token", "vt", "fields", "feed,mention")
	w.submit(path, form).is(http.StatusOK, `{"success":true}`)
	w.get(path, params("access_token", appToken)).is(http.StatusOK, `{"data":[
		{"object":"application","callback_url":"`+l.URL+`/hook","active":true,"fields":[]},
		{"object":"page","callback_url":"`+l.URL+`/page","active":true,"fields":[{"name":"feed","version":"v26.0"},{"name":"mention","version":"v26.0"}]},
		{"object":"permissions","callback_url":"`+l.URL+`/hook","active":true,"fields":[]}]}`)
	w.send(http.MethodDelete, path, params("access_token", appToken, "object", "page"), "", "").is(http.StatusOK, `{"success":true}`)
	w.Notify(appID, "page", 1)
	if w.Pending() != 0 {
		t.Error("queued without a subscription")
	}
	for name, want := range map[string]string{
		"verify_token": "(#2200) Callback verification failed", "callback_url": "absolute URL", "object": "object is required",
		"access_token": "must be called with an app access_token",
	} {
		bad := params("access_token", appToken, "object", "page", "callback_url", l.URL, "verify_token", "vt")
		bad.Set(name, map[string]string{"verify_token": "wrong", "callback_url": "/hook", "access_token": w.token("email")}[name])
		if r := w.submit(path, bad); r.status != http.StatusBadRequest || !strings.Contains(r.body, want) {
			t.Errorf("%s: status %d: %s", name, r.status, r.body)
		}
	}
	if r := w.submit("/v26.0/456/subscriptions", form); !strings.Contains(r.body, "does not exist") {
		t.Errorf("another app: %s", r.body)
	}
	if err := w.Subscribe(t.Context(), "nobody", authpipetest.Subscription{Object: "page", CallbackURL: l.URL, VerifyToken: "vt"}); err == nil {
		t.Error("an app that does not exist")
	}
}

func TestSubscriptionFiltersFields(t *testing.T) {
	w, l := newListening(t, authpipetest.Options{})
	s := authpipetest.Subscription{Object: "permissions", CallbackURL: l.URL + "/hook", VerifyToken: "vt", Fields: []string{"connected"}}
	if err := w.Subscribe(t.Context(), appID, s); err != nil {
		t.Fatal(err)
	}
	w.token("email")
	if w.Pending() != 0 {
		t.Error("queued a field without a subscription")
	}
	w.RemoveApp(appID, "ada")
	sent := w.delivered(appSecret)
	if len(sent) != 2 || !strings.Contains(sent[1], `"changes": [{"field": "connected"`) {
		t.Errorf("sent %v", sent)
	}
}

func FuzzWebhookBodyIsEquivalentJSON(f *testing.F) {
	f.Add("Café \"<b>\" \\ / % @ \u2028 🙂, : {")
	f.Add("\x00\x7f\xff")
	f.Fuzz(func(t *testing.T, text string) {
		w, l := newListening(t, authpipetest.Options{})
		w.Notify(appID, "permissions", map[string]string{text: text})
		w.delivered(appSecret)
		var got struct{ Entry []map[string]string }
		if err := json.Unmarshal([]byte(l.received[0].body), &got); err != nil {
			t.Fatalf("%v: %s", err, l.received[0].body)
		}
		var want map[string]string
		if err := json.Unmarshal(must(json.Marshal(map[string]string{text: text})), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Entry[0]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
