package authpipetest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestClientRedeemsItsCodeWithoutTheSecret(t *testing.T) {
	w := newWorld(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife})
	token := w.extend(w.token("email")).accessToken()
	var answered struct {
		Code      string
		MachineID string `json:"machine_id"`
		ExpiresIn int    `json:"expires_in"`
	}
	read := func(r reply) {
		t.Helper()
		if err := json.Unmarshal([]byte(r.body), &answered); err != nil || r.status != http.StatusOK {
			t.Fatalf("status %d: %s", r.status, r.body)
		}
	}
	read(w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", token)))
	redeemed := w.exchange("client_secret", "", "code", answered.Code, "machine_id", "m-1")
	read(redeemed)
	if answered.MachineID != "m-1" || answered.ExpiresIn != 5183999 {
		t.Errorf("answered %s", redeemed.body)
	}
	w.get("/v27.0/me", params("access_token", redeemed.accessToken())).is(http.StatusOK, w.ada())
	w.exchange("client_secret", "", "code", answered.Code).refusedSub(100, 36009, "This authorization code has been used.")

	read(w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", token)))
	read(w.exchange("client_secret", "", "code", answered.Code))
	if answered.MachineID == "" || answered.MachineID == "m-1" {
		t.Errorf("machine_id %q", answered.MachineID)
	}
}

func TestClientCodeIsRefused(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for name, r := range map[string]reply{
		"the secret":   w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", token, "client_secret", "")),
		"redirect_uri": w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", token, "redirect_uri", "")),
		"the token":    w.get("/v27.0/oauth/client_code", w.exchangeParams()),
		"a person":     w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", appToken)),
	} {
		if r.status != http.StatusBadRequest || strings.Contains(r.body, `"code":"`) {
			t.Errorf("without %s: status %d: %s", name, r.status, r.body)
		}
	}
}
