package authpipetest_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const (
	businessID  = "5566"
	configID    = "31"
	businessAll = "ads_read,business_management,pages_read_engagement,pages_show_list,public_profile"
)

// newBusiness makes a world in which Ada is the admin of a business with both pages, and the app has a configuration for it.
func newBusiness(t *testing.T, o authpipetest.Options) world {
	t.Helper()
	w := newWorld(t, o)
	w.AddBusiness(authpipetest.Business{ID: businessID, Name: "Bakery Ltd", Admins: []string{"ada"}, Pages: []string{"777", "888"}})
	w.AddConfiguration(authpipetest.Configuration{
		ID: configID, App: appID, Permissions: []string{"ads_read", "business_management", "pages_show_list", "pages_read_engagement"},
	})
	return w
}

// connect takes Ada through the dialog of the configuration and returns the token of the business.
func (w world) connect(c authpipetest.Consent) string {
	w.t.Helper()
	c.User = "ada"
	return w.exchange("code", w.loginAs(c, "config_id", configID), "redirect_uri", "").accessToken()
}

// issueNarrowed asks for another token of the system user that acts for the app.
func (w world) issueNarrowed(token string, pairs ...string) reply {
	w.t.Helper()
	q := params("access_token", token, "appsecret_proof", proof(appSecret, token))
	for name, values := range params(pairs...) {
		q[name] = values
	}
	return w.send(http.MethodPost, "/v26.0/"+businessID+"/system_user_access_tokens", q, "", "")
}

func TestBusinessLoginIssuesSystemUserToken(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	code := w.loginAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, "config_id", configID)
	r := w.get("/v25.0/oauth/access_token", params("client_id", appID, "client_secret", appSecret, "code", code))
	token := r.accessToken()
	r.is(http.StatusOK, fmt.Sprintf(`{"access_token":%q,"token_type":"bearer"}`, token))
	w.exchange("code", code).refusedSub(100, 36009, codeUsed)
	user, connected := w.Integration(appID, businessID)
	if !connected {
		t.Error("the app is not connected")
	}
	w.get("/v26.0/me", params("fields", "client_business_id", "access_token", token)).
		is(http.StatusOK, `{"client_business_id":"5566","id":"`+user+`"}`)
	w.debug(token).is(http.StatusOK, `{"data":{"app_id":"123","type":"SYSTEM_USER","application":"Demo","data_access_expires_at":0,
		"expires_at":0,"is_valid":true,"issued_at":1794816000,"scopes":["ads_read","business_management","pages_read_engagement",
		"pages_show_list","public_profile"],"granular_scopes":[{"scope":"business_management","target_ids":["5566"]},
		{"scope":"pages_read_engagement","target_ids":["777"]},{"scope":"pages_show_list","target_ids":["777"]}],"user_id":"`+user+`"}}`)
	w.get("/v26.0/me/accounts", params("fields", "id", "access_token", token)).is(http.StatusOK,
		`{"data":[{"id":"777"}],"paging":{"cursors":{"before":"Nzc3","after":"Nzc3"}}}`)
	w.get("/v26.0/me/businesses", params("access_token", token)).is(http.StatusOK, `{"data":[{"id":"5566","name":"Bakery Ltd"}],
		"paging":{"cursors":{"before":"NTU2Ng","after":"NTU2Ng"}}}`)
	w.get("/v26.0/5566", params("access_token", token)).is(http.StatusOK, `{"id":"5566","name":"Bakery Ltd"}`)
	seen, _ := w.Inspect(w.pageToken(token))
	if seen.Kind != authpipetest.KindPage || seen.Business != businessID || !seen.ExpiresAt.IsZero() {
		t.Errorf("a page token of the system user: %+v", seen)
	}
}

func TestIntegrationTokenTypeChangesOnlyItsName(t *testing.T) {
	for _, named := range []string{"", authpipetest.KindUser} {
		w := newBusiness(t, authpipetest.Options{IntegrationTokenType: named})
		token := w.connect(authpipetest.Consent{})
		want := `"type":"` + cmp.Or(named, authpipetest.KindSystemUser) + `"`
		if r := w.debug(token); !strings.Contains(r.body, want) {
			t.Errorf("debug_token of a valid token: %s", r.body)
		}
		if r := w.debug(w.pageToken(token)); !strings.Contains(r.body, `"type":"PAGE"`) {
			t.Errorf("debug_token of its page token: %s", r.body)
		}
		if r := w.debug(w.token("email")); !strings.Contains(r.body, `"type":"USER"`) {
			t.Errorf("debug_token of a person's token: %s", r.body)
		}
		w.ExpireToken(token)
		if r := w.debug(token); !strings.Contains(r.body, want) {
			t.Errorf("debug_token of an invalid token: %s", r.body)
		}
		if seen, _ := w.Inspect(token); seen.Kind != authpipetest.KindSystemUser {
			t.Errorf("Inspect has kind %s", seen.Kind)
		}
	}
}

func TestClientBusinessIsForSystemUsersOnly(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	w.get("/v26.0/me", params("fields", "client_business_id", "access_token", w.token("email"))).
		refused(http.StatusBadRequest, 100, "(#100) Tried accessing nonexisting field (client_business_id) on node type (User)")
}

func TestConfigurationDecidesTokenKind(t *testing.T) {
	for _, test := range []struct {
		name    string
		with    authpipetest.Configuration
		forced  bool
		consent authpipetest.Consent
		pairs   []string
		kind    string // of the token; empty: refused
		life    time.Duration
		refused string
	}{
		{"a token of the business never expires", authpipetest.Configuration{}, false, authpipetest.Consent{}, nil, authpipetest.KindSystemUser, 0, ""},
		{"or after 60 days", authpipetest.Configuration{ExpiresIn60Days: true}, false, authpipetest.Consent{}, nil, authpipetest.KindSystemUser, authpipetest.LongLife, ""},
		{"or if the business requires it", authpipetest.Configuration{}, true, authpipetest.Consent{}, nil, authpipetest.KindSystemUser, authpipetest.LongLife, ""},
		{
			"a token of the person is as ever", authpipetest.Configuration{TokenKind: authpipetest.KindUser}, false,
			authpipetest.Consent{}, []string{"scope", "email"}, authpipetest.KindUser, authpipetest.LongLife, "",
		},
		{"all or nothing", authpipetest.Configuration{}, false, authpipetest.Consent{Decline: []string{"ads_read"}}, nil, "", 0, "error_reason=user_denied"},
		{
			"all or nothing from the person too", authpipetest.Configuration{TokenKind: authpipetest.KindUser}, false,
			authpipetest.Consent{Decline: []string{"ads_read"}}, nil, "", 0, "error_reason=user_denied",
		},
		{"cancelled", authpipetest.Configuration{}, false, authpipetest.Consent{Cancel: true}, nil, "", 0, "error_reason=user_denied"},
		{"no scope beside it", authpipetest.Configuration{}, false, authpipetest.Consent{}, []string{"scope", "email"}, "", 0, "Invalid Scopes"},
		{"code only", authpipetest.Configuration{}, false, authpipetest.Consent{}, []string{"response_type", "token"}, "", 0, "Invalid response type"},
		{"of another app", authpipetest.Configuration{App: "456"}, false, authpipetest.Consent{}, nil, "", 0, "Invalid configuration"},
		{"by somebody else", authpipetest.Configuration{}, false, authpipetest.Consent{User: "uma"}, nil, "", 0, "uma is no admin of any business"},
		{"for another business", authpipetest.Configuration{}, false, authpipetest.Consent{Business: "7"}, nil, "", 0, `no admin of a business &#34;7&#34;`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newBusiness(t, authpipetest.Options{})
			test.with.ID, test.with.Permissions = "32", []string{"ads_read"}
			if test.with.App == "" {
				test.with.App = appID
			}
			w.AddConfiguration(test.with)
			w.AddBusiness(authpipetest.Business{ID: businessID, Admins: []string{"ada"}, RequireExpiringTokens: test.forced})
			back, err := w.Authorize(w.dialog(append(test.pairs, "config_id", "32")...), test.consent)
			if test.kind == "" {
				if got := fmt.Sprint(back, err); !strings.Contains(got, test.refused) {
					t.Errorf("%s, want %s", got, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			seen, _ := w.Inspect(w.exchange("code", back.Query().Get("code")).accessToken())
			if seen.Kind != test.kind || test.life != 0 != !seen.ExpiresAt.IsZero() || test.life != 0 && seen.ExpiresAt.Sub(seen.IssuedAt) != test.life {
				t.Errorf("token %+v", seen)
			}
		})
	}
}

func TestUserCodeNeedsItsRedirectURI(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	w.exchange("code", w.login("scope", "email"), "redirect_uri", "").refused(http.StatusBadRequest, 191, "Missing redirect_uri parameter.")
	code := w.loginAs(authpipetest.Consent{User: "ada"}, "config_id", configID)
	w.exchange("code", code, "redirect_uri", "https://e/other").refusedSub(100, 36008, mismatch)
	w.exchange("code", code).accessToken()
}

func TestBusinessDialogAsksInBrowser(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	url := w.dialog("config_id", configID) + "&_as=ada"
	page := w.open(url)
	for _, want := range []string{`name="business" value="5566" checked> Bakery Ltd`, `value="ads_read" checked`, `value="888" checked> Page B`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %s: %s", want, page.body)
		}
	}
	post := func(form string) string {
		r := must(http.NewRequest(http.MethodPost, url, strings.NewReader("user=ada&action=continue&pages=asked&business=5566&"+form)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return w.round(r).header.Get("Location")
	}
	if got := post("allow=ads_read"); !strings.Contains(got, "error=access_denied") {
		t.Errorf("a part of the permissions leads to %s", got)
	}
	code, _, _ := strings.Cut(strings.TrimPrefix(post("allow=ads_read&allow=business_management&allow=pages_show_list&allow=pages_read_engagement&page=888"), "https://e/cb?code="), "&")
	token := w.exchange("code", code).accessToken()
	if r := w.get("/me/accounts", params("fields", "id", "access_token", token)); !strings.HasPrefix(r.body, `{"data":[{"id":"888"}]`) {
		t.Errorf("accounts: %s", r.body)
	}
}

func TestIntegrationTokenIsNarrowed(t *testing.T) {
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
			r := w.in(t).issueNarrowed(token, test.pairs...)
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

func TestIntegrationTokenRefusals(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	token := w.connect(authpipetest.Consent{Pages: []string{"777"}})
	small := w.issueNarrowed(token, "scope", "business_management,ads_read").accessToken()
	without := w.issueNarrowed(token, "scope", "ads_read").accessToken()
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
			if r := w.in(t).issueNarrowed(test.token, pairs...); r.status == http.StatusOK || !strings.Contains(r.body, test.want) {
				t.Errorf("status %d: %s", r.status, r.body)
			}
		})
	}
	w.AddBusiness(authpipetest.Business{ID: businessID, RequireExpiringTokens: true, Pages: []string{"777"}})
	if r := w.issueNarrowed(token, "set_token_expires_in_60_days", "false"); !strings.Contains(r.body, "requires access tokens that expire") {
		t.Errorf("a token that never expires: %s", r.body)
	}
	w.issueNarrowed(token, "set_token_expires_in_60_days", "true").accessToken()
}

func TestIntegrationTokenFetchOnly(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	first := w.connect(authpipetest.Consent{})
	second := w.issueNarrowed(first, "scope", "ads_read").accessToken()
	if got := w.issueNarrowed(first, "fetch_only", "true").accessToken(); got != second {
		t.Error("not the youngest token was fetched")
	}
	w.KillToken(second, 190, 466, "")
	byAdmin := w.token("business_management") // a person may fetch it too
	if got := w.issueNarrowed(byAdmin, "fetch_only", "true").accessToken(); got != first {
		t.Error("fetch_only did not return the newest valid token")
	}
}

func TestRemoveIntegrationInvalidatesItsTokens(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	person := w.token(pageScope)
	first := w.connect(authpipetest.Consent{})
	second, page := w.issueNarrowed(first).accessToken(), w.pageToken(first)
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
	w.issueNarrowed(w.token("business_management")).is(http.StatusBadRequest, `{"error":{"message":"Unsupported post request. Object with ID '5566' does not exist, cannot be loaded due to missing permissions, or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api","type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"A"}}`)
}

func TestSetBusinessPagesChangesAccounts(t *testing.T) {
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

// submit posts a form.
func (w world) submit(path string, form url.Values) reply {
	w.t.Helper()
	return w.send(http.MethodPost, path, nil, "application/x-www-form-urlencoded", form.Encode())
}

// issue asks for a token of the system user 900.
func (w world) issue(caller string, pairs ...string) reply {
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

func TestSystemUserGetsTokens(t *testing.T) {
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
	form = params("access_token", token, "name", "Second", "role", "EMPLOYEE") // an admin may create others
	if r := w.submit("/v26.0/5566/system_users", form); r.status != http.StatusOK {
		t.Errorf("a system user by a system user: %s", r.body)
	}
}

func TestSystemTokenRefusals(t *testing.T) {
	w := newSystemUser(t)
	before := w.token("email")
	admin, other := w.token("business_management"), w.tokenAs(authpipetest.Consent{User: "uma"}, "business_management")
	employee := w.issue(admin, "scope", "business_management").accessToken()
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
		if r := w.issue(test.caller, test.pairs...); r.status == http.StatusOK || !strings.Contains(r.body, test.want) {
			t.Errorf("%s: status %d: %s", test.name, r.status, r.body)
		}
	}
	w.AddBusiness(authpipetest.Business{ID: businessID, Admins: []string{"ada"}, RequireExpiringTokens: true})
	if r := w.issue(admin); !strings.Contains(r.body, "requires access tokens that expire") {
		t.Errorf("a token that never expires: %s", r.body)
	}
	w.issue(admin, "set_token_expires_in_60_days", "true").accessToken()
}

func TestSystemUserTokenIsRefreshed(t *testing.T) {
	w := newSystemUser(t)
	admin := w.token("business_management")
	old := w.issue(admin, "set_token_expires_in_60_days", "true").accessToken()
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
		token, stays := w.issue(admin).accessToken(), w.issue(admin).accessToken()
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

func TestRevokeTokenMethodIsAnOption(t *testing.T) {
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
