package authpipetest_test

import (
	"net/http"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestUnknownPathIsRefused(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	for path, components := range map[string]string{
		"/v99.0/me":          "/me",
		"/v26.1/me":          "/me",
		"/v26.0/me/shoes":    "/me/shoes",
		"/v26.0/favicon.ico": "/favicon.ico",
		"/favicon.ico":       "/favicon.ico",
	} {
		r := w.get(path, nil)
		r.refused(http.StatusBadRequest, 2500, "Unknown path components: "+components)
		for _, header := range []string{"Facebook-Api-Version", "X-Fb-Trace-Id", "X-Fb-Rev", "X-Fb-Request-Id"} {
			if r.header.Get(header) == "" {
				t.Errorf("%s: no %s", path, header)
			}
		}
	}
	if got := w.Count(authpipetest.EndpointUnknown); got != 3 {
		t.Errorf("%d unknown paths, want 3", got)
	}
}

func TestRoutesBelowVersionAnswerJSON(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		for _, path := range []string{
			"/v27.0", "/v27.0/", "/v27.0/?ids=", "/v27.0/?ids=1,2", "/v27.0/device", "/v27.0/.well-known/openid-configuration/", "/v27.0/search",
			"/v27.0/me/nonsense/", "/v27.0/1/2/3/4", "/v99.0/", "/?ids=1", "/?access_token=x", "/v27.0/platform/profilepic/",
		} {
			r := w.round(must(http.NewRequest(method, w.base+path, nil)))
			if got := r.header.Get("Content-Type"); r.status != http.StatusBadRequest || got != "application/json; charset=UTF-8" {
				t.Errorf("%s %s: status %d, %s", method, path, r.status, got)
			}
		}
	}
	w.get("/v27.0/", nil).is(http.StatusBadRequest, `{"error":{"message":"Unsupported get request. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api",
		"type":"GraphMethodException","code":100,"fbtrace_id":"A"}}`)
}
