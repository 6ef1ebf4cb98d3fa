package authpipetest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func (w world) post(node string, form url.Values) reply {
	w.t.Helper()
	return w.send(http.MethodPost, "/v26.0/"+node+"/feed", nil, "application/x-www-form-urlencoded", form.Encode())
}

func TestPostIsPublished(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	page := w.pageToken(w.token(pageScope))
	w.post("777", params("message", "Hello", "access_token", page)).is(http.StatusOK, `{"id":"777_1000000000000000"}`)
	w.post("me", params("message", "Look", "link", "https://e/", "access_token", page)).is(http.StatusOK, `{"id":"777_1000000000000001"}`)
	want := []authpipetest.Post{
		{ID: "777_1000000000000000", PageID: "777", Message: "Hello", App: appID, User: "ada", Time: w.clock.Now()},
		{ID: "777_1000000000000001", PageID: "777", Message: "Look", Link: "https://e/", App: appID, User: "ada", Time: w.clock.Now()},
	}
	if diff := cmp.Diff(want, w.Posts("777")); diff != "" {
		t.Errorf("posts (-want +got):\n%s", diff)
	}
}

func TestPostRefusals(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.AddPage(authpipetest.Page{ID: "888", Name: "Page B", Tasks: []string{"ANALYZE"}})
	user := w.token(pageScope)
	page := w.pageToken(user)
	ofB := w.get("/888", params("fields", "access_token", "access_token", user)).accessToken()
	const wrongKind = "This method must be called with a Page Access Token"
	const mayNot = "(#200) If posting to a group, requires app being installed in the group, and either publish_to_groups permission with user token, or both pages_read_engagement and pages_manage_posts permission with page token; If posting to a page, requires both pages_read_engagement and pages_manage_posts as an admin with sufficient administrative permission"
	for _, test := range []struct {
		name, node, token, message string
		status, code               int
		want                       string
	}{
		{"with a user token: 190 that is no expiry", "777", user, "Hello", 400, 190, wrongKind},
		{"with an app token", "777", appToken, "Hello", 400, 190, wrongKind},
		{"with nothing to say", "777", page, "", 400, 100, "(#100) Missing message or attachment"},
		{"without a token", "777", "", "Hello", 400, 104, "An access token is required to request this resource."},
		{"without the task", "888", ofB, "Hello", 403, 200, mayNot},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.in(t).post(test.node, params("message", test.message, "access_token", test.token)).
				refused(test.status, test.code, test.want)
		})
	}
	w.revoke("/me/permissions/pages_manage_posts", user)
	w.post("777", params("message", "Hello", "access_token", page)).refused(403, 200, mayNot)
	for _, node := range []string{"888", "999"} {
		w.post(node, params("message", "Hello", "access_token", page)).is(http.StatusBadRequest, fmt.Sprintf(`{"error":{"message":
			"Unsupported post request. Object with ID '%s' does not exist, cannot be loaded due to missing permissions, or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api",
			"type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"A"}}`, node))
	}
	if posts := w.Posts("777"); len(posts) != 0 {
		t.Errorf("posts: %v", posts)
	}
}

func TestPostsAreListedNewestFirst(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	user := w.token(pageScope)
	page := w.pageToken(user)
	w.post("777", params("message", "One", "access_token", page))
	w.post("777", params("link", "https://e/", "access_token", page))
	one := `{"created_time":"2026-11-16T08:00:00+0000","message":"One","id":"777_1000000000000000"}`
	two := `{"created_time":"2026-11-16T08:00:00+0000","id":"777_1000000000000001"}`
	for _, path := range []string{"/v27.0/777/feed", "/v27.0/me/feed", "/v27.0/777/posts", "/v27.0/777/published_posts"} {
		w.get(path, params("access_token", page)).is(http.StatusOK, fmt.Sprintf(
			`{"data":[%s,%s],"paging":{"cursors":{"before":"Nzc3XzEwMDAwMDAwMDAwMDAwMDE","after":"Nzc3XzEwMDAwMDAwMDAwMDAwMDA"}}}`, two, one))
	}
	w.get("/v27.0/777/feed", params("access_token", user, "limit", "1", "fields", "id")).is(http.StatusOK, fmt.Sprintf(
		`{"data":[{"id":"777_1000000000000001"}],"paging":{"cursors":{"before":"Nzc3XzEwMDAwMDAwMDAwMDAwMDE","after":"Nzc3XzEwMDAwMDAwMDAwMDAwMDE"},
			"next":"%s/v27.0/777/feed?access_token=%s&after=Nzc3XzEwMDAwMDAwMDAwMDAwMDE&fields=id&limit=1"}}`, w.base, user))
	w.get("/v27.0/777_1000000000000000", params("access_token", page)).is(http.StatusOK, one)
	w.get("/v27.0/777_1000000000000001", params("access_token", page, "fields", "from,permalink_url,attachments{url}")).is(http.StatusOK,
		`{"from":{"name":"Page A","id":"777"},"permalink_url":"https://www.facebook.com/777_1000000000000001",
			"attachments":{"data":[{"type":"share","unshimmed_url":"https://e/","url":"https://e/"}]},"id":"777_1000000000000001"}`)
	w.get("/v27.0/777", params("access_token", page, "fields", "feed.limit(2){message},posts{id}")).is(http.StatusOK,
		`{"feed":{"data":[{"id":"777_1000000000000001"},{"message":"One","id":"777_1000000000000000"}],"paging":{"cursors":{
			"before":"Nzc3XzEwMDAwMDAwMDAwMDAwMDE","after":"Nzc3XzEwMDAwMDAwMDAwMDAwMDA"}}},
		"posts":{"data":[{"id":"777_1000000000000001"},{"id":"777_1000000000000000"}],"paging":{"cursors":{
			"before":"Nzc3XzEwMDAwMDAwMDAwMDAwMDE","after":"Nzc3XzEwMDAwMDAwMDAwMDAwMDA"}}},"id":"777"}`)
}

func TestPostIsChangedAndDeleted(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	user := w.token(pageScope)
	page := w.pageToken(user)
	w.post("777", params("message", "One", "access_token", page))
	const id = "777_1000000000000000"
	const form = "application/x-www-form-urlencoded"
	w.send(http.MethodDelete, "/v27.0/"+id, params("access_token", user), "", "").
		refused(http.StatusBadRequest, 190, "This method must be called with a Page Access Token")
	w.send(http.MethodPost, "/v27.0/"+id, nil, form, params("message", "Two", "access_token", page).Encode()).is(http.StatusOK, `{"success":true}`)
	if posts := w.Posts("777"); len(posts) != 1 || posts[0].Message != "Two" {
		t.Errorf("posts %+v", posts)
	}
	w.send(http.MethodDelete, "/v27.0/"+id, params("access_token", page), "", "").is(http.StatusOK, `{"success":true}`)
	if posts := w.Posts("777"); len(posts) != 0 {
		t.Errorf("posts %+v", posts)
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		r := w.send(method, "/v27.0/"+id, params("access_token", page), "", "")
		if r.status != http.StatusBadRequest || !strings.Contains(r.body, `"error_subcode":33`) {
			t.Errorf("%s of a deleted post: status %d: %s", method, r.status, r.body)
		}
	}
	w.post("777", params("message", "Three", "access_token", page)).is(http.StatusOK, `{"id":"777_1000000000000001"}`)
}

func TestPostsNeedPermission(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	poor := w.tokenAs(authpipetest.Consent{User: "ada", Decline: []string{"pages_read_engagement"}}, pageScope)
	for _, token := range []string{poor, w.pageToken(poor)} {
		r := w.get("/v27.0/777/feed", params("access_token", token))
		if r.status != http.StatusForbidden || !strings.Contains(r.body, `"code":10,`) {
			t.Errorf("status %d: %s", r.status, r.body)
		}
	}
	uma := w.tokenAs(authpipetest.Consent{User: "uma"}, pageScope)
	if r := w.get("/v27.0/777/feed", params("access_token", uma)); !strings.Contains(r.body, `"error_subcode":33`) {
		t.Errorf("a stranger reads: %s", r.body)
	}
}
