package authpipetest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestTokensOfTheBusinessAreNarrowed(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	token := w.connect(authpipetest.Consent{Pages: []string{"777"}})
	for _, test := range []struct {
		name         string
		pairs        []string
		scopes, page string
		expires      bool
	}{
		{"as it is", nil, businessAll, "777", false},
		{"by scope", []string{"scope", "pages_show_list"}, "pages_show_list", "777", false},
		{"by scope, as JSON", []string{"scope", `["ads_read","pages_show_list"]`}, "ads_read,pages_show_list", "777", false},
		{"by asset and life", []string{"asset", "777", "set_token_expires_in_60_days", "true"}, businessAll, "777", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := w.in(t).narrow(token, test.pairs...)
			r.is(http.StatusOK, fmt.Sprintf(`{"access_token":%q}`, r.accessToken()))
			seen, _ := w.Inspect(r.accessToken())
			if got := strings.Join(seen.Scopes, ","); got != test.scopes || seen.Business != businessID || seen.ExpiresAt.IsZero() == test.expires {
				t.Errorf("token %+v", seen)
			}
			if list := w.get("/me/accounts", params("fields", "id", "access_token", r.accessToken())); !strings.HasPrefix(list.body, `{"data":[{"id":"777"}]`) {
				t.Errorf("accounts: %s", list.body)
			}
		})
	}
}

func TestTokensOfTheBusinessAreRefused(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	token := w.connect(authpipetest.Consent{Pages: []string{"777"}})
	small := w.narrow(token, "scope", "business_management,ads_read").accessToken()
	without := w.narrow(token, "scope", "ads_read").accessToken()
	for _, test := range []struct {
		name, token string
		pairs       []string
		want        string
	}{
		{"no proof", token, []string{"appsecret_proof", ""}, "API calls from the server require an appsecret_proof argument"},
		{"a wrong proof", token, []string{"appsecret_proof", "00"}, "Invalid appsecret_proof provided in the API argument"},
		{"more than was granted", token, []string{"scope", "ads_read,ads_management"}, "beyond what was granted: ads_management"},
		{"more than the token has", small, []string{"scope", "pages_show_list"}, "beyond what was granted: pages_show_list"},
		{"a page that was not selected", token, []string{"asset", "777,888"}, "beyond what was granted: 888"},
		{"a token that may not manage", without, nil, "(#200) Requires business_management permission to manage the object"},
		{"a person who may not manage", w.token("email"), nil, "(#200) Requires business_management permission to manage the object"},
		{"another system user", token, []string{"system_user_id", "1"}, "Object with ID '1' does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			pairs := append([]string{"appsecret_proof", proof(appSecret, test.token)}, test.pairs...)
			if r := w.in(t).narrow(test.token, pairs...); r.status == http.StatusOK || !strings.Contains(r.body, test.want) {
				t.Errorf("status %d: %s", r.status, r.body)
			}
		})
	}
	w.AddBusiness(authpipetest.Business{ID: businessID, RequireExpiringTokens: true, Pages: []string{"777"}})
	if r := w.narrow(token, "set_token_expires_in_60_days", "false"); !strings.Contains(r.body, "requires access tokens that expire") {
		t.Errorf("a token that never expires: %s", r.body)
	}
	w.narrow(token, "set_token_expires_in_60_days", "true").accessToken()
}

func TestFetchOnly(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	first := w.connect(authpipetest.Consent{})
	second := w.narrow(first, "scope", "ads_read").accessToken()
	if got := w.narrow(first, "fetch_only", "true").accessToken(); got != second {
		t.Error("not the youngest token was fetched")
	}
	w.KillToken(second, 190, 466, "")
	byAdmin := w.token("business_management") // a person may fetch it too
	if got := w.narrow(byAdmin, "fetch_only", "true").accessToken(); got != first {
		t.Error("not the youngest good token was fetched")
	}
}

func TestRemovedIntegrationEndsAllItsTokens(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	person := w.token(pageScope)
	first := w.connect(authpipetest.Consent{})
	second, page := w.narrow(first).accessToken(), w.pageToken(first)
	w.RemoveIntegration(appID, businessID)
	third := w.connect(authpipetest.Consent{})
	for _, token := range []string{first, second, page} {
		if r := w.get("/v26.0/me", params("access_token", token)); !strings.Contains(r.body, `"code":190,"error_subcode":464`) {
			t.Errorf("status %d: %s", r.status, r.body)
		}
		r := w.get("/v26.0/debug_token", params("input_token", token, "access_token", appToken))
		if r.status != http.StatusBadRequest || !strings.Contains(r.body, `"type":"GraphMethodException","code":100`) {
			t.Errorf("debug_token: status %d: %s", r.status, r.body)
		}
	}
	for _, token := range []string{person, third} {
		if r := w.get("/v26.0/me", params("access_token", token)); r.status != http.StatusOK {
			t.Errorf("another token died too: %s", r.body)
		}
	}
	w.RemoveIntegration(appID, businessID)
	if _, connected := w.Integration(appID, businessID); connected {
		t.Error("still connected")
	}
	w.narrow(w.token("business_management")).is(http.StatusBadRequest, `{"error":{"message":"Unsupported post request. Object with ID '5566' does not exist, cannot be loaded due to missing permissions, or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api","type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"A"}}`)
}

func TestAssetsOfTheBusinessChange(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	token := w.connect(authpipetest.Consent{})
	page := w.pageToken(token)
	w.SetBusinessPages(businessID, "888")
	if r := w.get("/me/accounts", params("fields", "id", "access_token", token)); !strings.HasPrefix(r.body, `{"data":[{"id":"888"}]`) {
		t.Errorf("accounts: %s", r.body)
	}
	if seen, _ := w.Inspect(page); seen.Error == nil || seen.Error.Subcode != 492 {
		t.Errorf("the token of the page that left: %+v", seen)
	}
}
