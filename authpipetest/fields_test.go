package authpipetest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// newProfiles is the world with more about Ada and her page 777.
func newProfiles(t *testing.T, o authpipetest.Options) world {
	w := newWorld(t, o)
	w.AddUser(authpipetest.User{
		ID: "ada", Name: "Ada Admin", Email: "ada@example.com", Pages: []string{"777", "888"},
		Profile: map[string]any{"birthday": "05/16/1990", "middle_name": "B", "location": map[string]string{"id": "1", "name": "Zurich"}},
	})
	w.AddPage(authpipetest.Page{
		ID: "777", Name: "Page A", Username: "page.a", Instagram: "178414", Fields: map[string]any{"fan_count": 12, "about": "Bread"},
	})
	return w
}

func TestFieldIsAbsentWithoutValue(t *testing.T) {
	w := newProfiles(t, authpipetest.Options{})
	token := w.token(pageScope)
	w.get("/v27.0/me", params("access_token", token, "fields", "about,gender,quotes,website,verified,locale,age_range")).
		is(http.StatusOK, fmt.Sprintf(`{"id":%q}`, w.ScopedID(appID, "ada")))
	w.get("/v27.0/777", params("access_token", token, "fields", "mission,hours,cover,verification_status")).is(http.StatusOK, `{"id":"777"}`)
}

func TestFieldUnknownIsRefused(t *testing.T) {
	w := newProfiles(t, authpipetest.Options{})
	token := w.token(pageScope)
	for _, test := range []struct {
		path, fields string
		code         int
		message      string
	}{
		{"me", "id,shoe_size", 100, "(#100) Tried accessing nonexisting field (shoe_size) on node type (User)"},
		{"me", "accounts{shoe_size}", 100, "(#100) Tried accessing nonexisting field (shoe_size) on node type (Page)"},
		{"777", "picture{colour}", 100, "(#100) Tried accessing nonexisting field (colour) on node type (ProfilePictureSource)"},
		{"me", "username", 12, "(#12) username field is deprecated for versions v2.0 and higher"},
	} {
		w.get("/v27.0/"+test.path, params("access_token", token, "fields", test.fields)).refused(http.StatusBadRequest, test.code, test.message)
	}
}

func TestFieldNeedsItsPermission(t *testing.T) {
	w := newProfiles(t, authpipetest.Options{})
	uid := w.ScopedID(appID, "ada")
	link := "https://www.facebook.com/app_scoped_user_id/" + uid + "/"
	for _, test := range []struct{ scope, path, fields, want string }{
		{"public_profile", "me", "short_name,middle_name,name_format,email,birthday,link,location",
			`{"short_name":"Ada","middle_name":"B","name_format":"{first} {last}","id":"` + uid + `"}`},
		{"user_birthday,user_link,user_location", "me", "birthday,link,location{name}",
			`{"birthday":"05/16/1990","link":"` + link + `","location":{"id":"1","name":"Zurich"},"id":"` + uid + `"}`},
		{"pages_show_list", "777", "link,username,fan_count,about,instagram_business_account",
			`{"link":"https://www.facebook.com/page.a","username":"page.a","id":"777"}`},
		{"pages_show_list,pages_read_engagement,instagram_basic", "777", "link,username,fan_count,about,instagram_business_account",
			`{"link":"https://www.facebook.com/page.a","username":"page.a","fan_count":12,"about":"Bread","instagram_business_account":{"id":"178414"},"id":"777"}`},
	} {
		w := newProfiles(t, authpipetest.Options{})
		w.get("/v27.0/"+test.path, params("access_token", w.token(test.scope), "fields", test.fields)).is(http.StatusOK, test.want)
	}
}

func TestFieldsExpand(t *testing.T) {
	w := newProfiles(t, authpipetest.Options{})
	token := w.token(pageScope)
	uid := w.ScopedID(appID, "ada")
	picture := func(id string, side int) string {
		return fmt.Sprintf(`{"data":{"height":%[3]d,"is_silhouette":false,"url":"%[1]s/platform/profilepic/?asid=%[2]s&height=%[3]d&width=%[3]d","width":%[3]d}}`,
			w.base, id, side)
	}
	next := w.base + "/v27.0/" + uid + "/accounts?access_token=" + token + "&after=Nzc3&fields=id%2Cname&limit=1"
	both := `{"data":[{"id":"777","name":"Page A"},{"id":"888","name":"Page B"}],"paging":{"cursors":{"before":"Nzc3","after":"ODg4"}}}`
	for _, test := range []struct{ fields, want string }{
		{"picture", `{"picture":` + picture(uid, 50) + `}`},
		{"name,picture.type(large)", `{"name":"Ada Admin","picture":` + picture(uid, 200) + `}`},
		{"picture.width(64).height(64){url}", fmt.Sprintf(`{"picture":{"data":{"url":"%s/platform/profilepic/?asid=%s&height=64&width=64"}}}`, w.base, uid)},
		{"accounts{id,name}", `{"accounts":` + both + `}`},
		{"accounts.limit(1){id,name}", `{"accounts":{"data":[{"id":"777","name":"Page A"}],"paging":{"cursors":{"before":"Nzc3","after":"Nzc3"},"next":"` + next + `"}}}`},
		{"accounts.limit(1){picture{url},id}", `{"accounts":{"data":[{"picture":{"data":{"url":"` + w.base + `/platform/profilepic/?asid=777&height=50&width=50"}},"id":"777"}],
			"paging":{"cursors":{"before":"Nzc3","after":"Nzc3"},"next":"` + strings.Replace(next, "id%2Cname", "picture%7Burl%7D%2Cid", 1) + `"}}}`},
		{"permissions", `{"permissions":{"data":[{"permission":"email","status":"granted"},{"permission":"pages_manage_posts","status":"granted"},
			{"permission":"pages_read_engagement","status":"granted"},{"permission":"pages_show_list","status":"granted"},{"permission":"public_profile","status":"granted"}]}}`},
		{`["name","email"]`, `{"name":"Ada Admin","email":"ada@example.com"}`},
		{`["name","accounts{id,name}"]`, `{"name":"Ada Admin","accounts":` + both + `}`},
	} {
		r := w.get("/v27.0/me", params("access_token", token, "fields", test.fields))
		r.is(http.StatusOK, strings.TrimSuffix(test.want, "}")+`,"id":"`+uid+`"}`)
	}
	w.open(next).is(http.StatusOK, `{"data":[{"id":"888","name":"Page B"}],"paging":{"cursors":{"before":"ODg4","after":"ODg4"},
		"previous":"`+strings.Replace(next, "after=Nzc3", "before=ODg4", 1)+`"}}`)
	// an empty list is left out
	uma := w.tokenAs(authpipetest.Consent{User: "uma"}, pageScope)
	w.get("/v27.0/me", params("access_token", uma, "fields", "accounts")).is(http.StatusOK, fmt.Sprintf(`{"id":%q}`, w.ScopedID(appID, "uma")))
}

func TestFieldsMalformedAreRefused(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for fields, message := range map[string]string{
		"name{":           `Syntax error "Expected "}" instead of end of string." at character 5: name{`,
		"name}":           `Syntax error "Expected end of string instead of "}"." at character 4: name}`,
		"accounts.(1)":    `Syntax error "Expected a name instead of "("." at character 9: accounts.(1)`,
		"picture.type":    `Syntax error "Expected "(" instead of end of string." at character 12: picture.type`,
		"picture.type(a":  `Syntax error "Expected ")" instead of end of string." at character 14: picture.type(a`,
		"id,/name":        `Syntax error "Expected a name instead of "/"." at character 3: id,/name`,
		`{"fields":"id"}`: `Syntax error "Expected a name instead of "{"." at character 0: {"fields":"id"}`,
	} {
		w.get("/v27.0/me", params("access_token", token, "fields", fields)).refused(http.StatusBadRequest, 2500, message)
	}
}

func TestFieldAliasIsForOldApps(t *testing.T) {
	w := newWorld(t, authpipetest.Options{OldApps: true})
	w.get("/v27.0/me", params("access_token", w.token("email"), "fields", "name.as(title)")).
		is(http.StatusOK, fmt.Sprintf(`{"title":"Ada Admin","id":%q}`, w.ScopedID(appID, "ada")))
}

func FuzzFields(f *testing.F) {
	f.Add("accounts.limit(2).after(x){id,picture.type(large){url}},permissions")
	f.Add(`["id","a{b{c{d{e{f{g{h{i{j{k{l}}}}}}}}}}}"]`)
	f.Add("id..(,{}}.as()")
	f.Fuzz(func(t *testing.T, fields string) {
		fb := authpipetest.NewFacebook(authpipetest.Options{AutoApprove: true, OldApps: true})
		fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RedirectURIs: []string{callback}})
		fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada", Pages: []string{"777"}})
		fb.AddPage(authpipetest.Page{ID: "777"})
		back := must(fb.Authorize("/dialog/oauth?"+params("client_id", appID, "redirect_uri", callback, "scope", pageScope, "response_type", "token").Encode(),
			authpipetest.Consent{}))
		token := must(url.ParseQuery(back.Fragment)).Get("access_token")
		page := httptest.NewRecorder()
		fb.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/me?"+params("fields", fields, "access_token", token).Encode(), nil))
		if page.Code != http.StatusOK && page.Code != http.StatusBadRequest {
			t.Errorf("status %d: %s", page.Code, page.Body)
		}
	})
}
