package authpipetest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestMeAnswersFields(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token, poor := w.token(pageScope), w.tokenAs(authpipetest.Consent{User: "uma", Decline: []string{"email"}}, "email")
	uid, umaID := w.ScopedID(appID, "ada"), w.ScopedID(appID, "uma")
	page := w.pageToken(token)
	for _, test := range []struct{ name, path, token, fields, want string }{
		{"id and name by default", "/v26.0/me", token, "", w.ada()},
		{"the id instead of me", "/v26.0/" + uid, token, "", w.ada()},
		{"the app token instead of the person's", "/v26.0/" + uid, appToken, "", w.ada()},
		{"fields that are asked for, and id", "/v26.0/me", token, "first_name,email", fmt.Sprintf(`{"first_name":"Ada","email":"ada@example.com","id":%q}`, uid)},
		{"no email without the permission", "/v26.0/me", poor, "id,email", fmt.Sprintf(`{"id":%q}`, umaID)},
		{"a page is me for its token", "/v26.0/me", page, "", `{"id":"777","name":"Page A"}`},
		{"a page by its id, for its person", "/v26.0/888", token, "name,category", `{"name":"Page B","category":"Brand","id":"888"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.in(t).get(test.path, params("access_token", test.token, "fields", test.fields)).is(http.StatusOK, test.want)
		})
	}
}

func TestMeRefusals(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for _, test := range []struct {
		name, fields, token string
		code                int
		message             string
	}{
		{"without a token", "", "", 2500, "An active access token must be used to query information about the current user."},
		{"for an app token", "", appToken, 2500, "An active access token must be used to query information about the current user."},
		{"for what is no token", "", "EAAx", 190, "Invalid OAuth access token - Cannot parse access token"},
		{"for a field of a business token", "client_business_id", token, 100, "(#100) Tried accessing nonexisting field (client_business_id) on node type (User)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.in(t).get("/v26.0/me", params("access_token", test.token, "fields", test.fields)).
				refused(http.StatusBadRequest, test.code, test.message)
		})
	}
}

func TestNodesOfOthersDoNotExist(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for _, id := range []string{w.ScopedID(appID, "uma"), w.ScopedID("456", "ada"), "777", "nobody"} {
		w.get("/v26.0/"+id, params("access_token", token)).is(http.StatusBadRequest, fmt.Sprintf(`{"error":{"message":
			"Unsupported get request. Object with ID '%s' does not exist, cannot be loaded due to missing permissions, or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api",
			"type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"A"}}`, id))
	}
}

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

func TestAccountsListPortfolioPageOnlyWithBusinessManagement(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.AddPage(authpipetest.Page{ID: "777", Name: "Page A", Portfolio: "42"})
	token := w.token(pageScope)
	if body := w.get("/v26.0/me/accounts", params("access_token", token)).body; strings.Contains(body, "777") {
		t.Errorf("the list is %s", body)
	}
	if body := w.get("/v26.0/777", params("fields", "access_token", "access_token", token)).body; !strings.Contains(body, `"access_token"`) {
		t.Errorf("by its id it answers %s", body)
	}
	if body := w.get("/v26.0/me/accounts", params("access_token", w.token(pageScope+",business_management"))).body; !strings.Contains(body, "777") {
		t.Errorf("with business_management the list is %s", body)
	}
}

func TestPictureIsAnImage(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	for path, asid := range map[string]string{"me": w.ScopedID(appID, "ada"), "777": "777"} {
		r := w.get("/v27.0/"+path+"/picture", params("access_token", token, "type", "normal"))
		want := w.base + "/platform/profilepic/?asid=" + asid + "&height=100&width=100"
		if got := r.header.Get("Location"); r.status != http.StatusFound || got != want || !strings.HasPrefix(r.header.Get("Content-Type"), "image/") {
			t.Errorf("status %d, leads to %s, want %s", r.status, got, want)
		}
		if drawn, err := png.Decode(bytes.NewReader([]byte(w.open(want).body))); err != nil || drawn.Bounds().Dx() != 100 {
			t.Errorf("the picture: %v", err)
		}
		w.get("/v27.0/"+path+"/picture", params("access_token", token, "redirect", "0", "height", "30")).is(http.StatusOK,
			`{"data":{"height":30,"is_silhouette":false,"url":"`+w.base+`/platform/profilepic/?asid=`+asid+`&height=30&width=30","width":30}}`)
	}
	w.get("/v27.0/me/picture", nil).refused(http.StatusBadRequest, 2500, "An active access token must be used to query information about the current user.")
}
