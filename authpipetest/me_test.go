package authpipetest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestMe(t *testing.T) {
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

func TestMeIsRefused(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for _, test := range []struct {
		name, fields, token string
		code                int
		message             string
	}{
		{"without a token", "", "", 2500, "An active access token must be used to query information about the current user."},
		{"for an app, which is nobody", "", appToken, 2500, "An active access token must be used to query information about the current user."},
		{"for what is no token", "", "EAAx", 190, "Invalid OAuth access token - Cannot parse access token"},
		{"for a field of a business token", "client_business_id", token, 100, "(#100) Tried accessing nonexisting field (client_business_id) on node type (User)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.in(t).get("/v26.0/me", params("access_token", test.token, "fields", test.fields)).
				refused(http.StatusBadRequest, test.code, test.message)
		})
	}
}

func TestOthersDoNotExist(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for _, id := range []string{w.ScopedID(appID, "uma"), w.ScopedID("456", "ada"), "777", "nobody"} {
		w.get("/v26.0/"+id, params("access_token", token)).is(http.StatusBadRequest, fmt.Sprintf(`{"error":{"message":
			"Unsupported get request. Object with ID '%s' does not exist, cannot be loaded due to missing permissions, or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api",
			"type":"GraphMethodException","code":100,"error_subcode":33,"fbtrace_id":"A"}}`, id))
	}
}

func TestScopedIDs(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	ada, again, elsewhere := w.ScopedID(appID, "ada"), w.ScopedID(appID, "ada"), w.ScopedID("456", "ada")
	if ada != again || ada == elsewhere || ada == w.ScopedID(appID, "uma") {
		t.Errorf("ids %s, %s, %s", ada, again, elsewhere)
	}
	if len(ada) != 17 {
		t.Errorf("id %s does not have 17 digits", ada)
	}
}

func TestUnauthorizedStatusIsASwitch(t *testing.T) {
	w := newWorld(t, authpipetest.Options{TokenErrorStatus: http.StatusUnauthorized})
	r := w.get("/v26.0/me", params("access_token", "IGAAx"))
	r.refused(http.StatusUnauthorized, 190, "Invalid OAuth access token - Cannot parse access token")
	if got := r.header.Get("WWW-Authenticate"); got != `OAuth "Facebook Platform" "invalid_token" "Invalid OAuth access token - Cannot parse access token"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
}
