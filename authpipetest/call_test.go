package authpipetest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// An app that was made before 2026-11-04 may post any GET.
func TestOldAppOverridesMethod(t *testing.T) {
	w := newWorld(t, authpipetest.Options{OldApps: true})
	token := w.token(pageScope)
	for path, form := range map[string]url.Values{
		"/v26.0/me":             params("access_token", token),
		"/v26.0/me/permissions": params("access_token", token),
		"/v26.0/me/accounts":    params("access_token", token, "limit", "1"),
		"/v26.0/debug_token":    params("access_token", appToken, "input_token", token),
	} {
		want := w.get(path, form)
		form.Set("method", "get")
		w.send(http.MethodPost, path, nil, "application/x-www-form-urlencoded", form.Encode()).is(http.StatusOK, want.body)
	}
}

// The error has a text that a test may choose, and the log names the feature.
func TestNewAppIsRefusedDiscontinuedFeatures(t *testing.T) {
	for feature, call := range map[string]struct {
		method, path string
		params       url.Values
	}{
		"HTTP method override":        {http.MethodPost, "/v25.0/debug_token", params("input_token", "x", "method", "get")},
		"multi-ID requests":           {http.MethodGet, "/v27.0/", params("ids", "me,777")},
		"date formatting":             {http.MethodGet, "/v27.0/me", params("date_format", "U")},
		"JSONP":                       {http.MethodGet, "/v27.0/me", params("callback", "f")},
		"field aliases":               {http.MethodGet, "/v27.0/me", params("fields", "name.as(title)")},
		"asynchronous batch requests": {http.MethodPost, "/v27.0/act_1/async_batch_requests", params("adbatch", "[]")},
	} {
		w := newWorld(t, authpipetest.Options{})
		call.params.Set("access_token", w.token("email"))
		r := w.send(call.method, call.path, call.params, "", "")
		if r.status != http.StatusBadRequest || !strings.Contains(r.body, feature) {
			t.Errorf("%s: status %d: %s", feature, r.status, r.body)
		}
		if last := w.Requests()[len(w.Requests())-1]; last.Discontinued != feature {
			t.Errorf("%s: the log has %q", feature, last.Discontinued)
		}

		w = newWorld(t, authpipetest.Options{DiscontinuedError: &authpipetest.GraphError{Code: 3, Message: "no more"}})
		call.params.Set("access_token", w.token("email"))
		if r := w.send(call.method, call.path, call.params, "", ""); !strings.Contains(r.body, "no more") {
			t.Errorf("%s: with a text of its own: %s", feature, r.body)
		}
	}
}

func TestOldAppReadsSeveralIDs(t *testing.T) {
	w := newWorld(t, authpipetest.Options{OldApps: true})
	r := w.get("/", params("ids", "me", "access_token", w.token("email")))
	if want := `{"me":` + w.ada(); r.status != http.StatusOK || !strings.HasPrefix(r.body, want) {
		t.Errorf("status %d: %s, want %s", r.status, r.body, want)
	}
}

func TestCallReadsBodyWithoutContentType(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for _, body := range []string{"access_token=" + token, ` {"access_token":"` + token + `"}`} {
		r := must(http.NewRequest(http.MethodPost, w.base+`/v27.0/?batch=[{"relative_url":"me"}]`, strings.NewReader(body)))
		if got := w.round(r); got.status != http.StatusOK || !strings.Contains(got.body, "Ada Admin") {
			t.Errorf("%s: status %d: %s", body, got.status, got.body)
		}
	}
}

func TestLinksAreHTTPSBehindTLSProxy(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	secure := strings.Replace(w.base, "http://", "https://", 1)
	for path, want := range map[string]string{
		"/v27.0/me/accounts?limit=1&access_token=" + token: `"next":"` + secure + "/v27.0/",
		"/.well-known/openid-configuration/":               `"jwks_uri":"` + secure + "/",
	} {
		r := must(http.NewRequest(http.MethodGet, w.base+path, nil))
		r.Header.Set("X-Forwarded-Proto", "https,http")
		if got := w.round(r).body; !strings.Contains(got, want) {
			t.Errorf("%s lacks %s: %s", path, want, got)
		}
	}
	batch := must(http.NewRequest(http.MethodPost, w.base+"/v27.0/?"+params("access_token", token, "batch", `[{"relative_url":"me/accounts?limit=1"}]`).Encode(), nil))
	batch.Header.Set("X-Forwarded-Proto", "https")
	if got := w.round(batch).body; !strings.Contains(got, secure+"/v27.0/") {
		t.Errorf("batched: %s", got)
	}
}
