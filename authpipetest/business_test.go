package authpipetest_test

import (
	"cmp"
	"fmt"
	"net/http"
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

// newBusiness is a world where Ada is the admin of a business with both pages, and the app has a configuration for it.
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

// narrow asks for a token of the business's system user.
func (w world) narrow(token string, pairs ...string) reply {
	w.t.Helper()
	q := params("access_token", token, "appsecret_proof", proof(appSecret, token))
	for name, values := range params(pairs...) {
		q[name] = values
	}
	return w.send(http.MethodPost, "/v26.0/"+businessID+"/system_user_access_tokens", q, "", "")
}

func TestBusinessLogin(t *testing.T) {
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

func TestABusinessTokenMayHaveAnotherType(t *testing.T) {
	for _, named := range []string{"", authpipetest.KindUser} {
		w := newBusiness(t, authpipetest.Options{IntegrationTokenType: named})
		token := w.connect(authpipetest.Consent{})
		want := `"type":"` + cmp.Or(named, authpipetest.KindSystemUser) + `"`
		if r := w.debug(token); !strings.Contains(r.body, want) {
			t.Errorf("of a living one debug_token tells %s", r.body)
		}
		if r := w.debug(w.pageToken(token)); !strings.Contains(r.body, `"type":"PAGE"`) {
			t.Errorf("of its page's debug_token tells %s", r.body)
		}
		if r := w.debug(w.token("email")); !strings.Contains(r.body, `"type":"USER"`) {
			t.Errorf("of a person's debug_token tells %s", r.body)
		}
		w.ExpireToken(token)
		if r := w.debug(token); !strings.Contains(r.body, want) {
			t.Errorf("of a dead one debug_token tells %s", r.body)
		}
		if seen, _ := w.Inspect(token); seen.Kind != authpipetest.KindSystemUser {
			t.Errorf("the books have it as %s", seen.Kind)
		}
	}
}

func TestOnlySystemUsersHaveAClientBusiness(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	w.get("/v26.0/me", params("fields", "client_business_id", "access_token", w.token("email"))).
		refused(http.StatusBadRequest, 100, "(#100) Tried accessing nonexisting field (client_business_id) on node type (User)")
}

func TestConfigurations(t *testing.T) {
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
		{"or as the business wants it", authpipetest.Configuration{}, true, authpipetest.Consent{}, nil, authpipetest.KindSystemUser, authpipetest.LongLife, ""},
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

func TestCodeOfAPersonNeedsItsRedirectURI(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	w.exchange("code", w.login("scope", "email"), "redirect_uri", "").refused(http.StatusBadRequest, 191, "Missing redirect_uri parameter.")
	code := w.loginAs(authpipetest.Consent{User: "ada"}, "config_id", configID)
	w.exchange("code", code, "redirect_uri", "https://e/other").refusedSub(100, 36008, mismatch)
	w.exchange("code", code).accessToken()
}

func TestPersonClicksThroughTheBusinessDialog(t *testing.T) {
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
