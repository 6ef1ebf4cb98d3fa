package authpipetest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// The requests are those of github.com/huandu/facebook (v2: session.go, app.go): forms with format=json, DELETE by the parameter
// method, and a batch beside the token. The library itself is not among the judges: see judges/README.md.
func TestRequestsOfHuanduAreAnswered(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, old := range []bool{false, true} {
		w := newWorld(t, authpipetest.Options{OldApps: old})
		post := func(path string, pairs ...string) reply {
			return w.send(http.MethodPost, "/v27.0/"+path, nil, form, params(pairs...).Encode())
		}
		token := post("oauth/access_token", "client_id", appID, "client_secret", appSecret, "redirect_uri", callback,
			"code", w.login("scope", pageScope)).accessToken()
		token = post("oauth/access_token", "grant_type", "fb_exchange_token", "client_id", appID, "client_secret", appSecret,
			"fb_exchange_token", token).accessToken()
		signed := func(token string, pairs ...string) url.Values {
			q := params(pairs...)
			q.Set("format", "json")
			q.Set("access_token", token)
			q.Set("appsecret_proof", proof(appSecret, token))
			return q
		}
		w.get("/v27.0/me", signed(token, "fields", "id")).is(http.StatusOK, `{"id":"`+w.ScopedID(appID, "ada")+`"}`)
		if r := w.get("/v27.0/debug_token", params("format", "json", "input_token", token, "access_token", appToken)); !strings.Contains(r.body, `"is_valid":true`) {
			t.Errorf("Inspect: %s", r.body)
		}
		page := w.pageToken(token)
		w.send(http.MethodPost, "/v27.0/777/feed", nil, form, signed(page, "message", "Hello").Encode()).is(http.StatusOK, `{"id":"777_1000000000000000"}`)
		deleted := w.send(http.MethodPost, "/v27.0/777_1000000000000000", nil, form, signed(page, "method", "DELETE").Encode())
		timed := w.get("/v27.0/me", signed(token, "date_format", `Y-m-d\TH:i:sP`)) // RFC3339Timestamps
		if want := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[old]; deleted.status != want || timed.status != want {
			t.Errorf("old app %v: Delete: status %d: %s; RFC3339Timestamps: status %d: %s", old, deleted.status, deleted.body, timed.status, timed.body)
		}
		batch := w.send(http.MethodPost, "/v27.0/", nil, form, signed(token, "batch", `[{"method":"GET","relative_url":"me"}]`).Encode())
		if batch.status != http.StatusOK || !strings.Contains(batch.body, "Ada Admin") {
			t.Errorf("batch: status %d: %s", batch.status, batch.body)
		}
	}
}
