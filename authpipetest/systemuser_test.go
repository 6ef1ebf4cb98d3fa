package authpipetest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// submit posts a form.
func (w world) submit(path string, form url.Values) reply {
	w.t.Helper()
	return w.send(http.MethodPost, path, nil, "application/x-www-form-urlencoded", form.Encode())
}

// mint asks for a token of the system user 900.
func (w world) mint(caller string, pairs ...string) reply {
	w.t.Helper()
	form := params("access_token", caller, "appsecret_proof", proof(appSecret, caller), "business_app", appID, "scope", "ads_read,pages_show_list")
	for name, values := range params(pairs...) {
		form[name] = values
	}
	return w.submit("/v26.0/900/access_tokens", form)
}

func newSystemUser(t *testing.T) world {
	t.Helper()
	w := newBusiness(t, authpipetest.Options{})
	w.AddSystemUser(authpipetest.SystemUser{ID: "900", Name: "Robot", Business: businessID, Apps: []string{appID}, Pages: []string{"777"}})
	return w
}

func TestSystemUserOfItsOwn(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	admin := w.token("business_management")
	made := w.submit("/v26.0/5566/system_users", params("access_token", admin, "name", "Robot", "role", "ADMIN"))
	var created struct{ ID string }
	if err := json.Unmarshal([]byte(made.body), &created); err != nil || created.ID == "" {
		t.Fatalf("status %d: %s", made.status, made.body)
	}
	path := "/v26.0/" + created.ID
	form := params("access_token", admin, "appsecret_proof", proof(appSecret, admin), "business_app", appID, "scope", "business_management")
	if r := w.submit(path+"/access_tokens", form); !strings.Contains(r.body, "The app is not installed") {
		t.Errorf("before the app is installed: %s", r.body)
	}
	w.submit(path+"/applications", params("access_token", admin, "business_app", appID)).is(http.StatusOK, `{"success":true}`)
	r := w.submit(path+"/access_tokens", form)
	r.is(http.StatusOK, `{"access_token":"`+r.accessToken()+`"}`)
	token := r.accessToken()
	w.get("/v26.0/me", params("access_token", token)).is(http.StatusOK, `{"id":"`+w.ScopedID(appID, created.ID)+`","name":"Robot"}`)
	w.get("/v26.0/me", params("fields", "client_business_id", "access_token", token)).
		refused(http.StatusBadRequest, 100, "(#100) Tried accessing nonexisting field (client_business_id) on node type (User)")
	form = params("access_token", token, "name", "Second", "role", "EMPLOYEE") // an admin may make others
	if r := w.submit("/v26.0/5566/system_users", form); r.status != http.StatusOK {
		t.Errorf("a system user by a system user: %s", r.body)
	}
}

func TestMintingIsRefused(t *testing.T) {
	w := newSystemUser(t)
	before := w.token("email")
	admin, other := w.token("business_management"), w.tokenAs(authpipetest.Consent{User: "uma"}, "business_management")
	employee := w.mint(admin, "scope", "business_management").accessToken()
	for _, test := range []struct {
		name, caller string
		pairs        []string
		want         string
	}{
		{"no proof", admin, []string{"appsecret_proof", ""}, "require an appsecret_proof"},
		{"another app", admin, []string{"business_app", "456"}, "not installed"},
		{"no scope", admin, []string{"scope", ""}, "scope is required"},
		{"a token from before the permission", before, nil, "Requires business_management"},
		{"somebody else's admin", other, nil, "does not exist"},
		{"an employee", employee, nil, "does not exist"},
		{"a page that is not assigned", admin, []string{"asset", "888"}, "beyond what was granted: 888"},
	} {
		if r := w.mint(test.caller, test.pairs...); r.status == http.StatusOK || !strings.Contains(r.body, test.want) {
			t.Errorf("%s: status %d: %s", test.name, r.status, r.body)
		}
	}
	w.AddBusiness(authpipetest.Business{ID: businessID, Admins: []string{"ada"}, RequireExpiringTokens: true})
	if r := w.mint(admin); !strings.Contains(r.body, "requires access tokens that expire") {
		t.Errorf("a token that never expires: %s", r.body)
	}
	w.mint(admin, "set_token_expires_in_60_days", "true").accessToken()
}

func TestSystemUserTokenIsRefreshed(t *testing.T) {
	w := newSystemUser(t)
	admin := w.token("business_management")
	old := w.mint(admin, "set_token_expires_in_60_days", "true").accessToken()
	w.clock.Advance(time.Hour)
	refresh := []string{
		"redirect_uri", "", "grant_type", "fb_exchange_token", "fb_exchange_token", old, "set_token_expires_in_60_days", "true",
	}
	r := w.exchange(refresh...)
	fresh := r.accessToken()
	r.is(http.StatusOK, `{"access_token":"`+fresh+`","token_type":"bearer","expires_in":5183999}`)
	before, _ := w.Inspect(old)
	after, _ := w.Inspect(fresh)
	if !before.Valid || fresh == old || after.ExpiresAt.Sub(before.ExpiresAt) != time.Hour {
		t.Errorf("old %+v, new %+v", before, after)
	}
	kept, _ := w.Inspect(w.extend(old).accessToken()) // without the flag nothing is gained
	if !kept.ExpiresAt.Equal(before.ExpiresAt) {
		t.Errorf("without the flag it expires %s, not %s", kept.ExpiresAt, before.ExpiresAt)
	}
	w.clock.Advance(authpipetest.LongLife - time.Hour)
	if r := w.exchange(refresh...); r.status != http.StatusBadRequest || !strings.Contains(r.body, `"error_subcode":463`) {
		t.Errorf("an expired token: status %d: %s", r.status, r.body)
	}
	if seen, _ := w.Inspect(fresh); !seen.Valid {
		t.Errorf("the new token: %+v", seen)
	}
}

func TestSystemUserTokenIsRevoked(t *testing.T) {
	w := newSystemUser(t)
	admin := w.token("business_management")
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		token, stays := w.mint(admin).accessToken(), w.mint(admin).accessToken()
		q := params("client_id", appID, "client_secret", appSecret, "revoke_token", token, "access_token", token)
		w.send(method, "/v26.0/oauth/revoke", q, "", "").is(http.StatusOK, `{"success":true}`)
		w.get("/v26.0/me", params("access_token", token)).refusedSub(190, 466, "Error validating access token.")
		if seen, _ := w.Inspect(stays); !seen.Valid {
			t.Errorf("another token died: %+v", seen)
		}
	}
	base := params("client_id", appID, "client_secret", appSecret, "revoke_token", admin, "access_token", admin)
	for name, want := range map[string]string{
		"a person's token":   "no access token of a system user",
		"client_secret":      "Error validating client secret.",
		"revoke_token":       "is no access token",
		"of another's token": "did not match",
	} {
		q := url.Values{}
		for n, v := range base {
			q[n] = v
		}
		if q.Has(name) {
			q.Set(name, "WRONG")
		}
		if name == "of another's token" {
			q.Set("client_id", "456")
			q.Set("client_secret", "OTHER")
		}
		if r := w.get("/oauth/revoke", q); r.status != http.StatusBadRequest || !strings.Contains(r.body, want) {
			t.Errorf("%s: status %d: %s", name, r.status, r.body)
		}
	}
}

func TestRevokingMayTakeAGET(t *testing.T) {
	for _, test := range []struct {
		name    string
		options authpipetest.Options
		method  string // of the request
		param   string // the parameter method
		revoked bool
	}{
		{"a GET", authpipetest.Options{RevokeTokenOnlyByGET: true}, http.MethodGet, "", true},
		{"a POST", authpipetest.Options{RevokeTokenOnlyByGET: true}, http.MethodPost, "", false},
		{"a POST that is a GET, of an old app", authpipetest.Options{RevokeTokenOnlyByGET: true, OldApps: true}, http.MethodPost, "get", true},
		{"a POST that would be a GET", authpipetest.Options{RevokeTokenOnlyByGET: true}, http.MethodPost, "get", false},
		{"a POST where POST will do", authpipetest.Options{}, http.MethodPost, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newBusiness(t, test.options)
			token := w.connect(authpipetest.Consent{})
			q := params("client_id", appID, "client_secret", appSecret, "revoke_token", token, "access_token", token)
			if test.param != "" {
				q.Set("method", test.param)
			}
			r := w.send(test.method, "/v26.0/oauth/revoke", q, "", "")
			if seen, _ := w.Inspect(token); seen.Valid == test.revoked {
				t.Errorf("revoked is %v; status %d: %s", !seen.Valid, r.status, r.body)
			}
			if !test.revoked && !strings.Contains(r.body, "HTTP method override") && !strings.Contains(r.body, "Unsupported post request") {
				t.Errorf("refused with %s", r.body)
			}
		})
	}
}

func TestBusinessUsage(t *testing.T) {
	w := newSystemUser(t)
	token := w.mint(w.token("business_management")).accessToken()
	w.Throttle(authpipetest.Throttle{Object: businessID, UseCase: "ads_insights", CallCount: 100, RegainAccess: 90 * time.Second})
	w.get("/me", params("access_token", token)).usage("", `{"5566":[{"type":"ads_insights","call_count":100,"total_cputime":0,"total_time":0,"estimated_time_to_regain_access":2}]}`).
		refusedSub(80000, 2446079, "(#80000) There have been too many calls to this ad-account. Wait a bit and try again. For more "+
			"info, please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting.")
}
