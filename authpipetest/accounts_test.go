package authpipetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestAccountsArePaginated(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	uid := w.ScopedID(appID, "ada")
	account := func(id, name string) string {
		pageToken := w.get("/v26.0/"+id, params("fields", "access_token", "access_token", token)).accessToken()
		return fmt.Sprintf(`{"access_token":%q,"category":"Brand","category_list":[{"id":"1605186416478696","name":"Brand"}],
			"name":%q,"id":%q,"tasks":["ANALYZE","ADVERTISE","MODERATE","CREATE_CONTENT","MANAGE"]}`, pageToken, name, id)
	}
	next := w.base + "/v26.0/" + uid + "/accounts?access_token=" + token + "&after=Nzc3&limit=1"
	first := w.get("/v26.0/me/accounts", params("access_token", token, "limit", "1"))
	first.is(http.StatusOK, fmt.Sprintf(`{"data":[%s],"paging":{"cursors":{"before":"Nzc3","after":"Nzc3"},"next":%q}}`,
		account("777", "Page A"), next))
	second := w.open(next)
	second.is(http.StatusOK, fmt.Sprintf(`{"data":[%s],"paging":{"cursors":{"before":"ODg4","after":"ODg4"},"previous":%q}}`,
		account("888", "Page B"), strings.Replace(next, "after=Nzc3", "before=ODg4", 1)))
	var answered struct{ Paging struct{ Previous string } }
	if err := json.Unmarshal([]byte(second.body), &answered); err != nil {
		t.Fatal(err)
	}
	w.open(answered.Paging.Previous).is(http.StatusOK, first.body)
}

func TestAccountsListSelectedPages(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	listed := func(consent authpipetest.Consent, scope string) string {
		r := w.get("/v26.0/me/accounts", params("fields", "id", "access_token", w.tokenAs(consent, scope)))
		before, _, _ := strings.Cut(r.body, `,"paging"`)
		return strings.TrimSuffix(before, "}")
	}
	for _, step := range []struct{ name, got, want string }{
		{"none without pages_show_list", listed(authpipetest.Consent{User: "ada"}, "email"), `{"data":[]`},
		{"all that the person selected", listed(authpipetest.Consent{User: "ada", Pages: []string{"888"}}, pageScope), `{"data":[{"id":"888"}]`},
		{"none that the person selected", listed(authpipetest.Consent{User: "ada", Pages: []string{}}, pageScope), `{"data":[]`},
		{"all of them", listed(authpipetest.Consent{User: "ada"}, pageScope), `{"data":[{"id":"777"},{"id":"888"}]`},
		{"none of a person without pages", listed(authpipetest.Consent{User: "uma"}, pageScope), `{"data":[]`},
	} {
		if step.got != step.want {
			t.Errorf("%s: %s, want %s", step.name, step.got, step.want)
		}
	}
}

func TestAccountsCursorsCoverManyPages(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	var ids []string
	for i := range 60 {
		id := fmt.Sprint(1000 + i)
		ids = append(ids, id)
		w.AddPage(authpipetest.Page{ID: id, Name: "Page " + id})
	}
	w.AddUser(authpipetest.User{ID: "max", Name: "Max Many", Pages: ids})
	at := w.base + "/v26.0/me/accounts?" + params("fields", "name", "access_token",
		w.tokenAs(authpipetest.Consent{User: "max"}, pageScope)).Encode()
	var seen []string
	for rounds := 0; at != "" && rounds < 10; rounds++ {
		var answered struct {
			Data   []struct{ ID string }
			Paging struct{ Next string }
		}
		if err := json.Unmarshal([]byte(w.open(at).body), &answered); err != nil {
			t.Fatal(err)
		}
		for _, page := range answered.Data {
			seen = append(seen, page.ID)
		}
		at = answered.Paging.Next
	}
	if diff := cmp.Diff(ids, seen); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestNextURLOmitsProof(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	var answered struct{ Paging struct{ Next string } }
	r := w.get("/me/accounts", params("limit", "1", "access_token", token, "appsecret_proof", proof(appSecret, token)))
	if err := json.Unmarshal([]byte(r.body), &answered); err != nil {
		t.Fatal(err)
	}
	if q := must(url.Parse(answered.Paging.Next)).Query(); q.Has("appsecret_proof") || q.Get("access_token") != token {
		t.Errorf("next is %s", answered.Paging.Next)
	}
}

func TestAccountsRefusals(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	w.get("/v26.0/me/accounts", params("access_token", w.pageToken(token))).
		refused(http.StatusBadRequest, 100, "(#100) Tried accessing nonexisting field (accounts) on node type (Page)")
	w.get("/v26.0/me/accounts", params("access_token", token, "fields", "id,shoe_size")).
		refused(http.StatusBadRequest, 100, "(#100) Tried accessing nonexisting field (shoe_size) on node type (Page)")
	w.get("/v26.0/"+w.ScopedID(appID, "ada")+"/accounts", params("access_token", appToken)).
		refused(http.StatusBadRequest, 102, "A user access token is required to request this resource.")
}

// accountReaders read a person's pages in the two ways there are.
var accountReaders = map[string]func(w world, token string, limit string) (data string, r reply){
	"the edge": func(w world, token, limit string) (string, reply) {
		r := w.get("/me/accounts", params("fields", "id", "limit", limit, "access_token", token))
		var answered struct{ Data json.RawMessage }
		_ = json.Unmarshal([]byte(r.body), &answered)
		return string(answered.Data), r
	},
	"the field": func(w world, token, limit string) (string, reply) {
		r := w.get("/me", params("fields", "name,accounts.limit("+limit+"){id}", "access_token", token))
		var answered struct {
			Accounts struct{ Data json.RawMessage }
		}
		_ = json.Unmarshal([]byte(r.body), &answered)
		if answered.Accounts.Data == nil && r.status == http.StatusOK { // Facebook omits an empty list among fields
			return "[]", r
		}
		return string(answered.Accounts.Data), r
	},
}

const bothPages = `[{"id":"777"},{"id":"888"}]`

func TestPageListIsEmptyForNextCalls(t *testing.T) {
	for name, read := range accountReaders {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(pageScope)
		w.SetPageList("", authpipetest.PageList{Empty: 2})
		var got []string
		for range 3 {
			data, _ := read(w, token, "100")
			got = append(got, data)
		}
		if diff := cmp.Diff([]string{"[]", "[]", bothPages}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPageListRefusesLargeLimit(t *testing.T) {
	for name, read := range accountReaders {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(pageScope)
		w.SetPageList("", authpipetest.PageList{Limit: 50, Empty: 1})
		if _, r := read(w, token, "51"); r.status != http.StatusInternalServerError || !strings.Contains(r.body,
			`{"message":"Please reduce the amount of data you're asking for, then retry your request","type":"OAuthException","code":1,`) {
			t.Errorf("%s, beyond the limit: status %d: %s", name, r.status, r.body)
		}
		if data, r := read(w, token, "50"); data != "[]" {
			t.Errorf("%s, empty after all: %s", name, r.body)
		}
		if data, r := read(w, token, "50"); data != bothPages {
			t.Errorf("%s, at the limit: %s", name, r.body)
		}
	}
}

func TestPageListWithoutEndBeginsAgain(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	w.SetPageList("ada", authpipetest.PageList{Endless: true})
	var seen []string
	for at := w.base + "/me/accounts?" + params("fields", "id", "limit", "1", "access_token", token).Encode(); len(seen) < 5; {
		var answered struct {
			Data   []struct{ ID string }
			Paging struct{ Next string }
		}
		if err := json.Unmarshal([]byte(w.open(at).body), &answered); err != nil || len(answered.Data) != 1 || answered.Paging.Next == "" {
			t.Fatalf("after %v: %+v, %v", seen, answered, err)
		}
		seen, at = append(seen, answered.Data[0].ID), answered.Paging.Next
	}
	if diff := cmp.Diff([]string{"777", "888", "777", "888", "777"}, seen); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
}

func TestPageListIsOfOnePersonOrAll(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.AddUser(authpipetest.User{ID: "max", Name: "Max", Pages: []string{"777"}})
	ada, other := w.token(pageScope), w.tokenAs(authpipetest.Consent{User: "max"}, pageScope)
	read := accountReaders["the edge"]
	both := func() []string {
		first, _ := read(w, ada, "25")
		second, _ := read(w, other, "25")
		return []string{first, second}
	}
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"of one person", func() { w.SetPageList("ada", authpipetest.PageList{Empty: -1}) }, []string{"[]", `[{"id":"777"}]`}},
		{"of all", func() { w.SetPageList("", authpipetest.PageList{Empty: -1}) }, []string{"[]", "[]"}},
		{"but of one", func() { w.SetPageList("ada", authpipetest.PageList{Limit: 99}) }, []string{bothPages, "[]"}},
		{"ended", func() { w.SetPageList("", authpipetest.PageList{}) }, []string{bothPages, `[{"id":"777"}]`}},
	} {
		step.do()
		if got := both(); !slices.Equal(got, step.want) {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
	}
}

func TestPageListBehaviors(t *testing.T) {
	for behavior, want := range map[string]string{
		"pages-empty": `{"data":[]}`, "pages-limited": `"code":1,`, "pages-endless": `"next":`,
	} {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(pageScope)
		read := func() string { return w.get("/me/accounts", params("limit", "100", "access_token", token)).body }
		if before := read(); strings.Contains(before, want) {
			t.Errorf("%s, before it: %s", behavior, before)
		}
		defer must(w.Behave(behavior))()
		if body := read(); !strings.Contains(body, want) {
			t.Errorf("%s: %s", behavior, body)
		}
	}
}

func TestAccountsFieldAnswersAsEdge(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	var answered struct {
		Name     string
		Accounts json.RawMessage
	}
	r := w.get("/me", params("fields", "name,accounts.limit(100){id,name,access_token,tasks}", "access_token", token))
	if err := json.Unmarshal([]byte(r.body), &answered); err != nil || answered.Name != "Ada Admin" {
		t.Fatalf("%v: %s", err, r.body)
	}
	edge := w.get("/me/accounts", params("fields", "id,name,access_token,tasks", "limit", "100", "access_token", token))
	edge.is(http.StatusOK, string(answered.Accounts))
	if !strings.Contains(edge.body, `"paging":{"cursors":{"before":"Nzc3","after":"ODg4"}}`) {
		t.Errorf("it has no cursors: %s", edge.body)
	}
}
