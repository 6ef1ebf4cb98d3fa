package authpipe_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

func TestWebhookHandlerConfirmsSubscriptionByToken(t *testing.T) {
	d := newDouble(time.Now)
	client := newClient(t, d, authpipe.Options{})
	for what, row := range map[string]struct {
		token, query string
		want         int
	}{
		"Facebook":           {"vt", "hub.mode=subscribe&hub.verify_token=vt&hub.challenge=<b>1158", 200},
		"a wrong token":      {"vt", "hub.mode=subscribe&hub.verify_token=no&hub.challenge=1158", 403},
		"no token was set":   {"", "hub.mode=subscribe&hub.verify_token=&hub.challenge=1158", 403},
		"not a subscription": {"vt", "hub.verify_token=vt&hub.challenge=1158", 403},
	} {
		t.Run(what, func(t *testing.T) {
			h := &authpipe.WebhookHandler{Client: client, VerifyToken: authpipe.NewSecret(row.token)}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/webhook?"+row.query, nil))
			if w.Code != row.want || (w.Body.String() == "<b>1158") != (row.want == 200) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
				t.Errorf("got %d %s %s", w.Code, w.Header(), w.Body)
			}
		})
	}
	wantRequests(t, d, "", 0)
}

func TestWebhookHandlerRelaysExactBytes(t *testing.T) {
	const signature = "sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	body := "{\"object\" : \"permissions\",\r\n \"e\":\"\\u00e9\xff\"}"
	for what, row := range map[string]struct {
		signature string
		body      string
		answer    int // Vault's status
		text      string
		verified  error
		want      int
		relayed   int
	}{
		"it verifies":                      {signature, body, 200, "", nil, 200, 1},
		"it does not verify":               {signature, body, 400, "invalid_request: it is not signed", nil, 400, 1},
		"Vault is sealed":                  {signature, body, 503, "Vault is sealed", nil, 503, 1},
		"the relay's token is not allowed": {signature, body, 403, "permission denied", nil, 503, 1},
		"the application fails":            {signature, body, 200, "", errors.New("no disk"), 500, 1},
		"it has no signature":              {"", body, 200, "", nil, 400, 0},
		"it has another kind of signature": {"sha1=0123", body, 200, "", nil, 400, 0},
		"it is as long as allowed":         {signature, strings.Repeat("x", 256<<10), 200, "", nil, 200, 1},
		"it is longer than allowed":        {signature, strings.Repeat("x", 256<<10+1), 200, "", nil, 413, 0},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			var payload, signed string
			d.intercept(func(r *http.Request) *http.Response {
				sent := bodyOf(r)
				payload, signed = sent["payload"].(string), sent["signature"].(string)
				if row.answer != 200 {
					return d.refuse(row.answer, row.text)
				}
				return d.page(200, map[string]any{"data": map[string]any{"marked": 1}})
			})
			verified := ""
			h := &authpipe.WebhookHandler{Client: newClient(t, d, authpipe.Options{}), Verified: func(_ context.Context, b []byte) error {
				verified = string(b)
				return row.verified
			}}
			r := httptest.NewRequest(http.MethodPost, "/webhook", bytes.NewReader([]byte(row.body)))
			if row.signature != "" {
				r.Header.Set("X-Hub-Signature-256", row.signature)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != row.want {
				t.Errorf("got %d", w.Code)
			}
			wantRequests(t, d, "PUT webhooks/facebook/notify", row.relayed)
			if got, _ := base64.StdEncoding.DecodeString(payload); row.relayed > 0 && (string(got) != row.body || signed != row.signature) {
				t.Errorf("relayed %q, signed %s", got, signed)
			}
			if (verified != "") != (row.answer == 200 && row.relayed > 0) {
				t.Errorf("Verified got %q", verified)
			}
		})
	}
}

func TestWebhookHandlerBoundsDeliveries(t *testing.T) {
	const signature = "sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	deliver := func(h http.Handler, size int) int {
		r := httptest.NewRequest(http.MethodPost, "/webhook", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", size))}) // of unknown length
		r.Header.Set("X-Hub-Signature-256", signature)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	t.Run("size", func(t *testing.T) {
		for most, row := range map[int64]struct{ fits, exceeds int }{
			0: {256 << 10, 256<<10 + 1}, 100: {100, 101}, 1 << 30: {768 << 10, 768<<10 + 1},
		} {
			d := newDouble(time.Now)
			d.intercept(func(*http.Request) *http.Response { return d.refuse(400, "invalid_request: it is not signed") })
			h := &authpipe.WebhookHandler{Client: newClient(t, d, authpipe.Options{}), MaxBytes: most}
			if got := deliver(h, row.fits); got != http.StatusBadRequest {
				t.Errorf("MaxBytes %d: %d bytes got %d", most, row.fits, got)
			}
			if got := deliver(h, row.exceeds); got != http.StatusRequestEntityTooLarge {
				t.Errorf("MaxBytes %d: %d bytes got %d", most, row.exceeds, got)
			}
			wantRequests(t, d, "PUT ", 1)
		}
	})
	t.Run("number", func(t *testing.T) {
		for parallel, want := range map[int]int{0: 16, 3: 3} {
			d := newDouble(time.Now)
			release := make(chan struct{})
			d.intercept(func(*http.Request) *http.Response {
				<-release
				return d.refuse(400, "invalid_request: it is not signed")
			})
			h := &authpipe.WebhookHandler{Client: newClient(t, d, authpipe.Options{}), Parallel: parallel}
			answers := make(chan int, 50)
			for range 50 {
				go func() { answers <- deliver(h, 10) }()
			}
			for range 50 - want {
				if got := <-answers; got != http.StatusServiceUnavailable {
					t.Errorf("Parallel %d: one beyond got %d", parallel, got)
				}
			}
			close(release)
			for range want {
				if got := <-answers; got != http.StatusBadRequest {
					t.Errorf("Parallel %d: one within got %d", parallel, got)
				}
			}
			wantRequests(t, d, "PUT ", want)
			if got := deliver(h, 10); got != http.StatusBadRequest {
				t.Errorf("Parallel %d: the next got %d", parallel, got)
			}
		}
	})
}

func TestWebhookRevokesCredentialOfRemovedApp(t *testing.T) {
	env := testEnvironment(t)
	client := newRealClient(t, env)
	env.connect(client, "webhooked", "", alice)
	env.facebook.AddUser(authpipetest.User{ID: "1000000009", Name: "Gone Soon"})
	env.connect(client, "webhooked", "gone", "1000000009")
	hook := httptest.NewServer(&authpipe.WebhookHandler{Client: client, VerifyToken: authpipe.NewSecret("vt")})
	defer hook.Close()
	if err := env.facebook.Subscribe(t.Context(), appID, authpipetest.Subscription{Object: "permissions", CallbackURL: hook.URL, VerifyToken: "vt"}); err != nil {
		t.Fatal(err)
	}
	env.facebook.RemoveApp(appID, "1000000009")
	env.facebook.Deliver(t.Context())
	client.Forget("webhooked/facebook/users/gone")
	if _, err := client.Credential(t.Context(), authpipe.Request{Tenant: "webhooked", User: "gone", For: authpipe.ForUser}); !errors.Is(err, authpipe.ErrRevoked) {
		t.Errorf("got %v", err)
	}
}
