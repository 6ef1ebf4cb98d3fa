package facebook_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// managing returns a world whose Ada has these pages, and her token: she has ticked each of
// them, so the token's granular scopes name them.
func managing(t *testing.T, pages ...authpipetest.Page) (world, oauth.Token) {
	t.Helper()
	w := newWorld(t, authpipetest.Options{})
	ada := authpipetest.User{ID: "ada"}
	for _, page := range pages {
		if page.Portfolio != "" {
			w.fb.AddBusiness(authpipetest.Business{ID: page.Portfolio})
		}
		w.fb.AddPage(page)
		ada.Pages = append(ada.Pages, page.ID)
	}
	w.fb.AddUser(ada)
	dialog, err := w.AuthorizationURL(w.client, provider.AuthorizationRequest{
		State: oauth.NewSecret("state"), RedirectURI: redirectURI, Scopes: []string{"pages_show_list", "pages_read_engagement"},
	})
	if err != nil {
		t.Fatal(err)
	}
	back, err := w.fb.Authorize(dialog, authpipetest.Consent{User: "ada", Pages: ada.Pages})
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: oauth.NewSecret(back.Query().Get("code")), RedirectURI: redirectURI})
	if err == nil {
		token, err = w.Settle(t.Context(), w.client, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w, token
}

// pageIDs returns the ids of the pages that the token reaches, sorted.
func (w world) pageIDs(t *testing.T, token oauth.Token) []string {
	t.Helper()
	pages, err := w.Pages(t.Context(), w.client, token)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, page := range pages {
		if page.Token.AccessToken.IsZero() || page.Name == "" {
			t.Errorf("page %s has no token or no name: %+v", page.ID, page)
		}
		ids = append(ids, page.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestPortfolioPageIsReadByItsID(t *testing.T) {
	w, token := managing(t, authpipetest.Page{ID: "901", Name: "Own"},
		authpipetest.Page{ID: "902", Name: "Portfolio", Portfolio: "55"},
		authpipetest.Page{ID: "903", Name: "Withheld", Portfolio: "55", NeedsBusinessManagement: true})
	if ids := w.pageIDs(t, token); !slices.Equal(ids, []string{"901", "902"}) {
		t.Errorf("reached are %v", ids)
	}
	// They are asked for in one request, and only if the list has not all of them.
	if got := w.fb.Count(authpipetest.EndpointAccounts); got != 1 {
		t.Errorf("%d lists", got)
	}
	before := w.fb.Count("")
	w.pageIDs(t, token)
	if got := w.fb.Count("") - before; got != 2 {
		t.Errorf("%d requests", got)
	}
	w.fb.SetPortfolio("902", "")
	w.fb.SetPortfolio("903", "")
	before = w.fb.Count("")
	if ids := w.pageIDs(t, token); len(ids) != 3 || w.fb.Count("")-before != 1 {
		t.Errorf("%v, with %d requests", ids, w.fb.Count("")-before)
	}
}

func TestManyPortfolioPagesAreReadInBatches(t *testing.T) {
	var pages []authpipetest.Page
	var want []string
	for i := range 120 {
		pages = append(pages, authpipetest.Page{ID: fmt.Sprint(9000 + i), Name: "P", Portfolio: "55"})
		want = append(want, pages[i].ID)
	}
	w, token := managing(t, pages...)
	before := w.fb.Count(authpipetest.EndpointBatch)
	if ids := w.pageIDs(t, token); !slices.Equal(ids, want) {
		t.Errorf("reached are %v", ids)
	}
	if got := w.fb.Count(authpipetest.EndpointBatch) - before; got != 3 {
		t.Errorf("%d batches", got)
	}
}

// A page that is not named any more was unticked or lost since the scopes were read.
func TestPagesByIDLeaveOutLostPages(t *testing.T) {
	w, token := managing(t, authpipetest.Page{ID: "901", Name: "Kept"}, authpipetest.Page{ID: "902", Name: "Lost"})
	w.fb.RemovePageRole("902", "ada")
	if ids := w.pageIDs(t, token); !slices.Equal(ids, []string{"901"}) {
		t.Errorf("reached are %v", ids)
	}
}

func TestPagesByIDReturnPassingFailures(t *testing.T) {
	for name, fault := range map[string]authpipetest.Fault{
		"a failing server": {Status: http.StatusServiceUnavailable, Body: "<html>"},
		"a rate limit":     {Status: http.StatusBadRequest, Error: &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}},
		"an unknown error": {Status: http.StatusBadRequest, Error: &authpipetest.GraphError{Code: 1, Message: "An unknown error occurred"}},
		"no object":        {Body: `null`},
	} {
		w, token := managing(t, authpipetest.Page{ID: "901", Name: "Own"}, authpipetest.Page{ID: "902", Name: "Portfolio", Portfolio: "55"})
		fault.Endpoint, fault.ContentType = authpipetest.EndpointMe, "application/json"
		w.fb.Fail(fault)
		if pages, err := w.Pages(t.Context(), w.client, token); err == nil || pages != nil {
			t.Errorf("%s: %v", name, pages)
		}
	}
}

// What is wrong with one page does not withhold the others.
func TestPagesByIDLeaveOutRefusedPage(t *testing.T) {
	for name, fault := range map[string]authpipetest.Fault{
		"a page that was migrated": {Status: http.StatusBadRequest, Error: &authpipetest.GraphError{Code: 21, Message: "(#21) Page ID 902 was migrated to page ID 904. Please update your API calls to the new ID"}},
		"no permission":            {Status: http.StatusBadRequest, Error: &authpipetest.GraphError{Code: 10, Message: "(#10) This endpoint requires the 'pages_read_engagement' permission"}},
		"another page":             {Body: `{"id":"777","name":"A","access_token":"EAAx"}`},
	} {
		w, token := managing(t, authpipetest.Page{ID: "901", Name: "Own"}, authpipetest.Page{ID: "902", Name: "Portfolio", Portfolio: "55"})
		fault.Endpoint, fault.ContentType = authpipetest.EndpointMe, "application/json"
		w.fb.Fail(fault)
		if ids := w.pageIDs(t, token); !slices.Equal(ids, []string{"901"}) {
			t.Errorf("%s: reached are %v", name, ids)
		}
	}
}

func TestEmptyListOfPagesIsAskedForAgain(t *testing.T) {
	w, token := managing(t, authpipetest.Page{ID: "901", Name: "Own"})
	token.Granular = nil // as of a grant for all pages
	w.fb.SetPageList("", authpipetest.PageList{Empty: 1})
	if ids := w.pageIDs(t, token); !slices.Equal(ids, []string{"901"}) {
		t.Errorf("reached are %v", ids)
	}
	w.fb.SetPageList("", authpipetest.PageList{Empty: -1})
	before := w.fb.Count("")
	if ids := w.pageIDs(t, token); len(ids) != 0 || w.fb.Count("")-before != 2 {
		t.Errorf("reached are %v, with %d requests", ids, w.fb.Count("")-before)
	}
}

// While the list is empty, the granular scopes still name the pages.
func TestEmptyListOfPagesIsNotBelieved(t *testing.T) {
	w, token := managing(t, authpipetest.Page{ID: "901", Name: "A"}, authpipetest.Page{ID: "902", Name: "B"})
	w.fb.SetPageList("", authpipetest.PageList{Empty: -1})
	if ids := w.pageIDs(t, token); !slices.Equal(ids, []string{"901", "902"}) {
		t.Errorf("reached are %v", ids)
	}
}

func TestTooLargeListOfPagesIsAskedForInSmallerParts(t *testing.T) {
	var pages []authpipetest.Page
	for i := range 60 {
		pages = append(pages, authpipetest.Page{ID: fmt.Sprint(9000 + i), Name: "P"})
	}
	for limit, requests := range map[int]int{100: 1, 25: 1 + 3, 5: 2 + 12} {
		w, token := managing(t, pages...)
		w.fb.SetPageList("", authpipetest.PageList{Limit: limit})
		before := w.fb.Count(authpipetest.EndpointAccounts)
		if ids := w.pageIDs(t, token); len(ids) != len(pages) {
			t.Errorf("limit %d: %d pages", limit, len(ids))
		}
		if got := w.fb.Count(authpipetest.EndpointAccounts) - before; got != requests {
			t.Errorf("limit %d: %d requests", limit, got)
		}
	}
	w, token := managing(t, pages...)
	w.fb.SetPageList("", authpipetest.PageList{Limit: 1})
	if listed, err := w.Pages(t.Context(), w.client, token); provider.ClassOf(err) != provider.Transient || err == nil || listed != nil {
		t.Errorf("%v, %v", listed, err)
	}
}
