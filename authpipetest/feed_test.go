package authpipetest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func (w world) post(node string, form url.Values) reply {
	w.t.Helper()
	return w.send(http.MethodPost, "/v26.0/"+node+"/feed", nil, "application/x-www-form-urlencoded", form.Encode())
}

func TestPostingToAPage(t *testing.T) {
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

func TestPostingIsRefused(t *testing.T) {
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
