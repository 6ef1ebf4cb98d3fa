package facebook_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// What debug_token calls a business integration system user's token is not written down.
func TestReview3BusinessTokenWhoseTypeIsUSER(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.fb.AddBusiness(authpipetest.Business{ID: "5566", Admins: []string{"ada"}})
	w.fb.AddConfiguration(authpipetest.Configuration{ID: "31", App: "123", Permissions: []string{"pages_show_list"}})
	token, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: w.code(t, provider.AuthorizationRequest{ConfigID: "31"}), RedirectURI: redirectURI})
	if err != nil {
		t.Fatal(err)
	}
	defer w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"123","type":"USER","user_id":"9","expires_at":0,"scopes":["pages_show_list"]}}`})()
	settled, err := w.Settle(t.Context(), w.client, token)
	if err != nil || settled.Business != "5566" || !w.RevokesAlone(settled) {
		t.Errorf("business %q, revoked alone: %v, %v", settled.Business, w.RevokesAlone(settled), err)
	}
}

func TestReview3OneOddPageID(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Body: `{"data":[{"id":"777","name":"A","access_token":"EAAa","tasks":[]},{"id":"x_1","name":"B","access_token":"EAAb"},{"id":"778","name":"C","access_token":"EAAc"}]}`})
	pages, err := w.Pages(t.Context(), w.client, token)
	if err != nil || len(pages) != 2 {
		t.Errorf("%v, %v", pages, err)
	}
}

func TestReview3OneOddTargetID(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for _, odd := range []string{`"act_1"`, `""`, `-1`, `null`} {
		clear := w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"123","type":"USER","user_id":"9","expires_at":0,"scopes":["ads_read"],"granular_scopes":[{"scope":"ads_read","target_ids":[` + odd + `]}]}}`})
		got, err := w.Inspect(t.Context(), w.client, token)
		if err != nil || len(got.Granular) != 1 {
			t.Errorf("target %s: %v, %v: a scope narrowed to an unknown object must not read as granted for all", odd, got.Granular, err)
		}
		clear()
	}
}

func TestReview3AccountsAnswerWithoutAList(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for _, body := range []string{`{}`, `null`, `{"data":null}`, `{"success":true}`} {
		clear := w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Body: body, ContentType: "application/json"})
		if pages, err := w.Pages(t.Context(), w.client, token); err == nil {
			t.Errorf("%s is an empty list: %v", body, pages)
		}
		clear()
	}
}

func TestReview3BusinessAnswerWithoutBusiness(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	defer w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"123","type":"SYSTEM_USER","user_id":"9","expires_at":0}}`})()
	defer w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Body: `{}`})()
	if got, err := w.Settle(t.Context(), w.client, token); err == nil {
		t.Errorf("settled as one of no business: %+v", got)
	}
}

func TestReview3DeadTokensClass(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for body, want := range map[string]provider.Class{
		`{"data":{"is_valid":false,"error":{"code":2,"message":"Service temporarily unavailable"}}}`:                       provider.Transient,
		`{"data":{"is_valid":false,"error":{"code":1,"message":"An unknown error"}}}`:                                      provider.Transient,
		`{"data":{"is_valid":false,"error":{"code":4,"message":"limit"}}}`:                                                 provider.Throttled,
		`{"data":{"is_valid":false,"error":{"code":987654,"message":"nobody knows"}}}`:                                     provider.Transient,
		`{"data":{"is_valid":false,"error":{"code":190,"message":"This method must be called with a Page Access Token"}}}`: provider.Caller,
	} {
		clear := w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: body})
		if _, err := w.Inspect(t.Context(), w.client, token); provider.ClassOf(err) != want {
			t.Errorf("%s: %s, want %s", body, provider.ClassOf(err), want)
		}
		clear()
	}
}

func TestReview3ProvideValidAppID(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 200, Message: "(#200) Provide valid app ID"}})
	_, err := w.Refresh(t.Context(), w.client, token)
	if got := provider.ClassOf(err); got != provider.Misconfigured {
		t.Errorf("class %s", got)
	}
	if _, err := w.Inspect(t.Context(), w.client, token); provider.ClassOf(err) != provider.Misconfigured {
		t.Errorf("app token: class %s", provider.ClassOf(err))
	}
}

func TestReview3TraceOfADeadToken(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.KillToken(token.AccessToken.Reveal(), 190, 460, "")
	_, err := w.Inspect(t.Context(), w.client, token)
	var e *provider.Error
	if !errors.As(err, &e) || e.TraceID == "" {
		t.Errorf("no trace for the support ticket: %+v", e)
	}
	w2 := newWorld(t, authpipetest.Options{})
	token = w2.token(t)
	w2.fb.Fail(authpipetest.Fault{Status: 503, Body: "<html>", Header: http.Header{"X-Fb-Trace-Id": {"Abc"}}})
	_, err = w2.Inspect(t.Context(), w2.client, token)
	if !errors.As(err, &e) || e.TraceID != "Abc" {
		t.Errorf("no trace of an HTML page: %+v", e)
	}
}

// A version that Facebook does not know must not put the token into a URL.
func TestReview3UnknownVersionPutsNoTokenInAURL(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.client.APIVersion = "v97.0"
	for _, f := range []func(){
		func() { w.Inspect(t.Context(), w.client, token) },
		func() { w.Revoke(t.Context(), w.client, token) },
		func() { w.Pages(t.Context(), w.client, token) },
	} {
		f()
	}
	for _, r := range w.fb.Requests() {
		if strings.Contains(r.Query.Encode(), "EAA") {
			t.Errorf("%s %s?%s", r.Method, r.Path, "… holds the token")
		}
	}
}

// The app's capability, or a passing 100/33, likewise.
func TestReview3RefusalPutsNoTokenInAURL(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Error: &authpipetest.GraphError{Code: 3, Message: "Application does not have the capability"}})
	w.Inspect(t.Context(), w.client, token)
	w.Inspect(t.Context(), w.client, token)
	n := 0
	for _, r := range w.fb.Requests() {
		if strings.Contains(r.Query.Encode(), "EAA") {
			n++
		}
	}
	if n > 0 {
		t.Errorf("%d URLs hold the token", n)
	}
}

// Meta documents GET /oauth/revoke alone.
func TestReview3RevocationWherePostIsNotUnderstood(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	token.Kind = "SYSTEM_USER"
	w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevokeToken, Times: 1, Error: &authpipetest.GraphError{Code: 100, Subcode: 33, Type: "GraphMethodException", Message: "Unsupported post request."}})
	w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevokeToken, Body: `{"success":true}`})
	if err := w.Revoke(t.Context(), w.client, token); err != nil {
		t.Error(err)
	}
}

func TestReview3VersionIsNotServedByWhatSaysNothing(t *testing.T) {
	for name, fault := range map[string]authpipetest.Fault{
		"an object of nobody's": {Endpoint: authpipetest.EndpointMe, Body: `{}`, Header: http.Header{"Facebook-Api-Version": nil}},
		"an outage":             {Endpoint: authpipetest.EndpointMe, Status: 500, Error: &authpipetest.GraphError{Code: 2, Message: "Service temporarily unavailable"}, Header: http.Header{"Facebook-Api-Version": nil}},
		"a limit":               {Endpoint: authpipetest.EndpointMe, Error: &authpipetest.GraphError{Code: 4}, Header: http.Header{"Facebook-Api-Version": nil}},
	} {
		w := newWorld(t, authpipetest.Options{})
		w.fb.Fail(fault)
		for _, f := range w.Verify(t.Context(), w.client) {
			if f.Check == "graph_version" && f.OK {
				t.Errorf("%s: %s", name, f.Detail)
			}
		}
	}
}

func TestReview3ExpiresInAsText(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for _, v := range []string{`"5183944"`, `null`, `0`, `-1`} {
		clear := w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Body: `{"access_token":"` + token.AccessToken.Reveal() + `","expires_in":` + v + `}`})
		if _, err := w.Refresh(t.Context(), w.client, token); err != nil {
			t.Errorf("refresh: expires_in %s: %v", v, err)
		}
		clear()
		clear = w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Body: `{"access_token":"` + token.AccessToken.Reveal() + `","expires_in":` + v + `}`})
		if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: "AQ", RedirectURI: redirectURI}); err != nil {
			t.Errorf("exchange: expires_in %s: %v", v, err)
		}
		clear()
	}
}

// Settle must keep the better token, too.
func TestReview3SettleKeepsTheBetterToken(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.clock.Advance(55 * 24 * 3600 * 1e9) // five days left
	known, err := w.Inspect(t.Context(), w.client, token)
	if err != nil {
		t.Fatal(err)
	}
	w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 2, Message: "x"}, Status: 500})
	_ = known
	got, err := w.Settle(t.Context(), w.client, oauth.Token{AccessToken: token.AccessToken, ExpiryUnknown: true})
	t.Logf("settle with a failing extension: %v %v", got.ExpiresAt, err)
}
