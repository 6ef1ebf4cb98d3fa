package authpipetest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestVersionServesCalls(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for _, test := range []struct{ name, path, served string }{
		{"a version that is served serves itself", "/v24.0/me", "v24.0"},
		{"an expired one is served by the oldest", "/v20.0/me", "v21.0"},
		{"a very old one too", "/v3.2/me", "v21.0"},
		{"no version is served by the oldest", "/me", "v21.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.in(t)
			r := w.get(test.path, params("access_token", token))
			r.is(http.StatusOK, w.ada())
			if got := r.header.Get("Facebook-Api-Version"); got != test.served {
				t.Errorf("facebook-api-version: %s, want %s", got, test.served)
			}
		})
	}
	w.AddApp(authpipetest.App{ID: appID, Secret: appSecret, Version: "v25.0"})
	if got := w.get("/me", params("access_token", token)).header.Get("Facebook-Api-Version"); got != "v25.0" {
		t.Errorf("without a version, by the app's setting: %s", got)
	}
	w.clock.Set(time.Date(2028, time.March, 1, 0, 0, 0, 0, time.UTC))
	if got := w.get("/v24.0/me", nil).header.Get("Facebook-Api-Version"); got != "v25.0" {
		t.Errorf("in 2028 v24.0 is served by %s", got)
	}
}

func TestVersionHeaderIsAnOption(t *testing.T) {
	w := newWorld(t, authpipetest.Options{NoVersionHeader: true})
	for _, path := range []string{"/v26.0/me", "/v99.0/me", "/oauth/access_token"} {
		if r := w.get(path, nil); r.header.Values("Facebook-Api-Version") != nil || r.header.Get("X-Fb-Trace-Id") == "" {
			t.Errorf("%s: %v", path, r.header)
		}
	}
}

func TestVersionTableIsAnOption(t *testing.T) {
	w := newWorld(t, authpipetest.Options{Versions: []authpipetest.Version{{Name: "v27.0"}}})
	w.get("/v26.0/me", nil).refused(http.StatusBadRequest, 2500, "Unknown path components: /me")
	w.get("/v27.0/me", nil).refused(http.StatusBadRequest, 2500,
		"An active access token must be used to query information about the current user.")
}

func TestClockIsSetAndAdvanced(t *testing.T) {
	start := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	clock := authpipetest.NewClock(start)
	clock.Advance(time.Hour)
	if got := clock.Now(); !got.Equal(start.Add(time.Hour)) {
		t.Errorf("after an hour it is %s", got)
	}
	clock.Set(start)
	if got := clock.Now(); !got.Equal(start) {
		t.Errorf("set back, it is %s", got)
	}
}
