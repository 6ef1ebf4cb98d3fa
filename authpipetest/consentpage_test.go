package authpipetest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// inBrowser opens the dialog as Ada and returns the form controls of the consent page.
func (w world) inBrowser(pairs ...string) []input {
	w.t.Helper()
	return inputs(w.t, w.open(w.dialog(pairs...)+"&_as=ada").body)
}

// continues clicks Continue on the consent page, with the controls that are on and the hidden ones, and returns the token.
func (w world) continues(form url.Values, pairs ...string) string {
	w.t.Helper()
	form.Set("user", "ada")
	form.Set("action", "continue")
	location := w.click(w.dialog(pairs...), form).header.Get("Location")
	return w.exchange("code", must(url.Parse(location)).Query().Get("code")).accessToken()
}

// withPortfolio makes a world in which Ada holds page 888 through the portfolio of a business, and is admin of another.
func withPortfolio(t *testing.T) world {
	t.Helper()
	w := newBusiness(t, authpipetest.Options{})
	w.AddBusiness(authpipetest.Business{ID: "42", Name: "Agency"})
	w.AddPage(authpipetest.Page{ID: "888", Name: "Page B", Portfolio: "42"})
	return w
}

func TestConsentPageGroupsPagesByPortfolio(t *testing.T) {
	w := withPortfolio(t)
	form := w.inBrowser("scope", pageScope+",business_management")
	if diff := cmp.Diff([]string{"Your Pages / Page A: on", "Your Pages / Agency / Page B: on"}, choices(form, "page")); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Your businesses / Agency: on", "Your businesses / Bakery Ltd: on"}, choices(form, "managed")); diff != "" {
		t.Errorf("businesses (-want +got):\n%s", diff)
	}
	if got := choices(w.inBrowser("scope", pageScope), "managed"); got != nil {
		t.Errorf("businesses without business_management: %v", got)
	}
}

func TestConsentPageGrantsChosenBusinesses(t *testing.T) {
	w := withPortfolio(t)
	scope := pageScope + ",business_management"
	token := w.continues(url.Values{
		"allow": strings.Split(scope, ","), "pages": {"asked"}, "page": {"888"}, "businesses": {"asked"}, "managed": {"42"},
	}, "scope", scope)
	r := w.debug(token)
	for _, want := range []string{`{"scope":"business_management","target_ids":["42"]}`, `{"scope":"pages_show_list","target_ids":["888"]}`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("debug_token lacks %s: %s", want, r.body)
		}
	}
	w.get("/me/businesses", params("fields", "name", "access_token", token)).is(http.StatusOK,
		`{"data":[{"name":"Agency","id":"42"}],"paging":{"cursors":{"before":"NDI","after":"NDI"}}}`)
}

func TestConsentPageOffersPagesOfBusinesses(t *testing.T) {
	w := withPortfolio(t)
	form := w.inBrowser("config_id", configID)
	if diff := cmp.Diff([]string{"For the business / Bakery Ltd: on"}, choices(form, "business")); diff != "" {
		t.Errorf("businesses (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Your Pages / Bakery Ltd / Page A: on", "Your Pages / Bakery Ltd / Page B: on"}, choices(form, "page")); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	w.connect(authpipetest.Consent{Pages: []string{"888"}})
	want := []string{"Your Pages / Bakery Ltd / Page A: off", "Your Pages / Bakery Ltd / Page B: on"}
	if diff := cmp.Diff(want, choices(w.inBrowser("config_id", configID), "page")); diff != "" {
		t.Errorf("pages of a connected business (-want +got):\n%s", diff)
	}
}

func TestConsentPageOffersChoiceAgainWhenAsked(t *testing.T) {
	for _, test := range []struct {
		name  string
		pairs []string
		want  []string
	}{
		{"a second login", nil, nil},
		{"another kind of second login", []string{"auth_type", "reauthenticate"}, nil},
		{"rerequest", []string{"auth_type", "rerequest"}, []string{"Your Pages / Page A: on", "Your Pages / Page B: off", "Your Pages / New Page: off"}},
		{"reauthorize", []string{"auth_type", "reauthorize"}, []string{"Your Pages / Page A: on", "Your Pages / Page B: off", "Your Pages / New Page: off"}},
		{"a further permission", []string{"scope", pageScope + ",pages_messaging"}, []string{"Your Pages / Page A: on", "Your Pages / Page B: off", "Your Pages / New Page: off"}},
		{"opened by the person", []string{"_edit", "1"}, []string{"Your Pages / Page A: on", "Your Pages / Page B: off", "Your Pages / New Page: off"}},
		{"no permission for pages", []string{"scope", "email", "auth_type", "rerequest"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, pageScope)
			w.AddPage(authpipetest.Page{ID: "999", Name: "New Page"})
			w.SetPageRole("999", "ada", nil)
			pairs := append([]string{"scope", pageScope}, test.pairs...)
			if diff := cmp.Diff(test.want, choices(w.inBrowser(pairs...), "page")); diff != "" {
				t.Errorf("choice of pages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConsentPageLinksToChoice(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, pageScope)
	page := w.open(w.dialog("scope", pageScope) + "&_as=ada").body
	if !strings.Contains(page, `>Choose again</a>`) || !strings.Contains(page, "&amp;_edit=1") && !strings.Contains(page, "_edit=1&amp;") {
		t.Errorf("the page leads nowhere: %s", page)
	}
}

func TestLoginWithoutChoiceKeepsPages(t *testing.T) {
	for name, login := range map[string]func(w world, pairs ...string) string{
		"in the browser": func(w world, pairs ...string) string {
			return w.continues(url.Values{}, pairs...)
		},
		"by a script": func(w world, pairs ...string) string {
			location := w.open(w.dialog(append(pairs, "_user", "ada")...)).header.Get("Location")
			return w.exchange("code", must(url.Parse(location)).Query().Get("code")).accessToken()
		},
		"by Authorize": func(w world, pairs ...string) string {
			return w.exchange("code", w.loginAs(authpipetest.Consent{User: "ada", AsOffered: true}, pairs...)).accessToken()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, pageScope)
			if r := w.debug(login(w.in(t), "scope", pageScope)); !strings.Contains(r.body, `{"scope":"pages_show_list","target_ids":["777"]}`) {
				t.Errorf("without the choice: %s", r.body)
			}
		})
	}
}
