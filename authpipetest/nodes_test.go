package authpipetest_test

import (
	"bytes"
	"fmt"
	"image/png"
	"net/http"
	"strings"
	"testing"

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
