package authpipetest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func ExampleFacebook() {
	fb := authpipetest.NewFacebook(authpipetest.Options{})
	fb.AddApp(authpipetest.App{ID: "123", Secret: "SEC", RedirectURIs: []string{"https://example.com/cb"}})
	fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin"})
	server := httptest.NewServer(fb) // in a test: fb.Start(t)
	defer server.Close()

	login := url.Values{"client_id": {"123"}, "redirect_uri": {"https://example.com/cb"}, "state": {"s"}, "scope": {"email"}}
	back, err := fb.Authorize(server.URL+"/v26.0/dialog/oauth?"+login.Encode(),
		authpipetest.Consent{User: "ada", Decline: []string{"email"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(back.Host, back.Query().Get("state"), back.Fragment)

	exchange := url.Values{
		"client_id": {"123"}, "redirect_uri": {"https://example.com/cb"}, "client_secret": {"WRONG"},
		"code": {back.Query().Get("code")},
	}
	response, err := http.Get(server.URL + "/v26.0/oauth/access_token?" + exchange.Encode())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Println(response.StatusCode, string(body[:56]))
	// Output:
	// example.com s _=_
	// 400 {"error":{"message":"Error validating client secret.","t
}
