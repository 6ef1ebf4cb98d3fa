package authpipetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// byID reads a page by its id, as an integration that wants its token does.
func (w world) byID(page, token string) reply {
	w.t.Helper()
	return w.get("/v27.0/"+page, params("fields", "id,name,tasks,access_token", "access_token", token))
}

// shape describes an answer about a page: its members, or its error.
func (r reply) shape() string {
	r.t.Helper()
	var answered map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.body), &answered); err != nil {
		r.t.Fatalf("status %d: %s", r.status, r.body)
	}
	var refused struct {
		Code    int
		Subcode int `json:"error_subcode"`
	}
	if raw, has := answered["error"]; has {
		if err := json.Unmarshal(raw, &refused); err != nil {
			r.t.Fatal(err)
		}
		return fmt.Sprintf("%d: %d/%d", r.status, refused.Code, refused.Subcode)
	}
	var names []string
	for name := range answered {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprintf("%d: %s", r.status, strings.Join(names, " "))
}

const (
	pageOwn    = "200: access_token id name tasks"
	pagePublic = "200: id name"
	pageAbsent = "400: 100/33"
)

func TestPageByIDHasTokenWhereGrantedAndRoleExists(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.AddPage(authpipetest.Page{ID: "999", Name: "Page of Others"})
	w.AddPage(authpipetest.Page{ID: "1000", Name: "Draft", Fields: map[string]any{"is_published": false}})
	w.AddApp(authpipetest.App{ID: "321", Secret: "S", RedirectURIs: []string{callback}, PublicContentAccess: true})
	token := func(app, scope string, pages ...string) string {
		code := w.loginAs(authpipetest.Consent{User: "ada", Pages: pages}, "scope", scope, "client_id", app)
		secret := map[string]string{appID: appSecret, "321": "S"}[app]
		return w.exchange("code", code, "client_id", app, "client_secret", secret).accessToken()
	}
	w.AddUser(authpipetest.User{ID: "max", Name: "Max", Pages: []string{"777"}})
	narrow := w.tokenAs(authpipetest.Consent{User: "max"}, "pages_manage_posts")
	own, featured := token(appID, "pages_show_list", "777"), token("321", "pages_read_engagement", "777")
	for _, test := range []struct{ name, page, token, want string }{
		{"granted, with a role", "777", own, pageOwn},
		{"granted, with a role, by another permission", "777", featured, pageOwn},
		{"not granted", "888", own, pageAbsent},
		{"not granted, to an app that reads public pages", "888", featured, pagePublic},
		{"without a role", "999", own, pageAbsent},
		{"without a role, to an app that reads public pages", "999", featured, pagePublic},
		{"not published", "1000", featured, pageAbsent},
		{"without a person, to an app that reads public pages", "999", "321|S", pagePublic},
		{"without a person", "777", appToken, pageAbsent},
		{"by the token of another page", "888", w.pageToken(own), pageAbsent},
		{"by its own token", "777", w.pageToken(own), pageOwn},
		{"with too narrow a permission", "777", narrow, "403: 10/0"},
		{"no page at all", "4711", own, pageAbsent},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := w.in(t).byID(test.page, test.token).shape(); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
	w.RemovePageRole("777", "ada")
	if got := w.byID("777", own).shape(); got != pageAbsent {
		t.Errorf("after the role was lost: %s", got)
	}
}

func TestPageByIDForSystemUser(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	token := w.connect(authpipetest.Consent{Pages: []string{"777"}})
	for page, want := range map[string]string{"777": pageOwn, "888": pageAbsent} {
		if got := w.byID(page, token).shape(); got != want {
			t.Errorf("page %s: %s, want %s", page, got, want)
		}
	}
}

func TestPageScopeErrorHasReportedCodes(t *testing.T) {
	for code, want := range map[int]string{
		0:   `403 (#10) This endpoint requires the 'pages_read_engagement' permission`,
		100: `400 (#100) Missing Permission`,
		190: `400 (#190) The pages_read_engagement permission(s) must be granted before impersonating a user's page.`,
		200: `403 (#200) Requires pages_read_engagement permission to manage the object`,
	} {
		w := newWorld(t, authpipetest.Options{PageScopeErrorCode: code})
		r := w.byID("777", w.token("pages_manage_posts"))
		var answered struct{ Error authpipetest.GraphError }
		if err := json.Unmarshal([]byte(r.body), &answered); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.status, " ", answered.Error.Message); !strings.HasPrefix(got, want) {
			t.Errorf("code %d: %s, want %s", code, got, want)
		}
	}
}

func TestPagesByIDInOneBatch(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	ids := []string{"777", "888"}
	for i := range 48 {
		id := fmt.Sprint(1000 + i)
		ids = append(ids, id)
		w.AddPage(authpipetest.Page{ID: id, Name: "Page " + id, Portfolio: "42"})
	}
	w.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin", Pages: ids})
	token := w.tokenAs(authpipetest.Consent{User: "ada", Pages: ids[1:]}, pageScope)
	var calls []map[string]any
	for _, id := range ids {
		calls = append(calls, get(id+"?fields=id,name,tasks,access_token"))
	}
	entries := w.batch(calls, "access_token", token).batched()
	if len(entries) != 50 {
		t.Fatalf("%d answers to 50 calls", len(entries))
	}
	for i, e := range entries {
		want := pageOwn
		if i == 0 {
			want = pageAbsent
		}
		if got := (reply{t: t, status: e.Code, body: e.Body}).shape(); got != want {
			t.Errorf("page %s: %s, want %s", ids[i], got, want)
		}
	}
}

func TestPortfolioPageIsGrantedAndNotListed(t *testing.T) {
	for _, test := range []struct {
		name, scope string
		strict      bool
		businesses  []string
		listed      bool
		byID        string
	}{
		{"without business_management", pageScope, false, nil, false, pageOwn},
		{"its token withheld too", pageScope, true, nil, false, pagePublic},
		{"with business_management", pageScope + ",business_management", true, nil, true, pageOwn},
		{"with business_management for another business", pageScope + ",business_management", true, []string{"43"}, false, pagePublic},
		{"with business_management for its business", pageScope + ",business_management", true, []string{"42"}, true, pageOwn},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			w.AddBusiness(authpipetest.Business{ID: "42", Name: "Agency"})
			w.AddBusiness(authpipetest.Business{ID: "43", Name: "Bakery", Admins: []string{"ada"}})
			w.AddPage(authpipetest.Page{ID: "777", Name: "Page A", Portfolio: "42", NeedsBusinessManagement: test.strict})
			token := w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}, Businesses: test.businesses}, test.scope)
			if r := w.debug(token); !strings.Contains(r.body, `{"scope":"pages_show_list","target_ids":["777"]}`) {
				t.Errorf("debug_token: %s", r.body)
			}
			if r := w.get("/me/accounts", params("access_token", token)); strings.Contains(r.body, `"777"`) != test.listed {
				t.Errorf("listed: %s", r.body)
			}
			if got := w.byID("777", token).shape(); got != test.byID {
				t.Errorf("by its id: %s, want %s", got, test.byID)
			}
		})
	}
}

func TestPortfolioPageMoves(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	listed := func() bool {
		return strings.Contains(w.get("/me/accounts", params("access_token", token)).body, `"777"`)
	}
	got := []bool{listed()}
	for _, portfolio := range []string{"42", ""} {
		w.SetPortfolio("777", portfolio)
		got = append(got, listed())
	}
	if diff := cmp.Diff([]bool{true, false, true}, got); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestPublicPageHasContentForItsFeature(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RedirectURIs: []string{callback}, PublicContentAccess: true})
	w.AddPage(authpipetest.Page{ID: "999", Name: "Public", Instagram: "5", Fields: map[string]any{"about": "Bread"}})
	w.get("/999", params("fields", "about,instagram_business_account,access_token", "access_token", w.token("email"))).
		is(http.StatusOK, `{"about":"Bread","id":"999"}`)
}
