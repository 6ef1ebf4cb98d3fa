package authpipetest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestDebugTokenDescribesValidTokens(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	selected := w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777", "nobody's"}}, "email,pages_show_list")
	uid := w.ScopedID(appID, "ada")
	w.debug(selected).is(http.StatusOK, fmt.Sprintf(`{"data":{"app_id":"123","type":"USER","application":"Demo",
		"data_access_expires_at":1802592000,"expires_at":1800000000,"is_valid":true,"issued_at":1794816000,
		"scopes":["email","pages_show_list","public_profile"],
		"granular_scopes":[{"scope":"pages_show_list","target_ids":["777"]}],"user_id":%q}}`, uid))
	w.debug(w.pageToken(selected)).is(http.StatusOK, fmt.Sprintf(`{"data":{"app_id":"123","type":"PAGE","application":"Demo",
		"data_access_expires_at":1802592000,"expires_at":0,"is_valid":true,"issued_at":1794816000,"profile_id":"777",
		"scopes":["email","pages_show_list","public_profile"],
		"granular_scopes":[{"scope":"pages_show_list","target_ids":["777"]}],"user_id":%q}}`, uid))
	w.debug(w.tokenAs(authpipetest.Consent{User: "uma"}, "pages_show_list")).is(http.StatusOK, fmt.Sprintf(`{"data":{
		"app_id":"123","type":"USER","application":"Demo","data_access_expires_at":1802592000,"expires_at":1800000000,
		"is_valid":true,"issued_at":1794816000,"scopes":["pages_show_list","public_profile"],
		"granular_scopes":[{"scope":"pages_show_list"}],"user_id":%q}}`, w.ScopedID(appID, "uma")))
	w.debug(appToken).is(http.StatusOK, `{"data":{"app_id":"123","type":"APP","application":"Demo","is_valid":true,"scopes":[]}}`)
}

func TestDebugTokenOptions(t *testing.T) {
	w := newWorld(t, authpipetest.Options{AppIDAsNumber: true, TargetIDsAsNumbers: true, PageTokenOmitsIssuedAt: true})
	user := w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, "pages_show_list")
	w.debug(w.pageToken(user)).is(http.StatusOK, fmt.Sprintf(`{"data":{"app_id":123,"type":"PAGE","application":"Demo",
		"data_access_expires_at":1802592000,"expires_at":0,"is_valid":true,"profile_id":"777",
		"scopes":["pages_show_list","public_profile"],
		"granular_scopes":[{"scope":"pages_show_list","target_ids":[777]}],"user_id":%q}}`, w.ScopedID(appID, "ada")))
}

func TestDebugTokenDescribesInvalidToken(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	w.clock.Advance(authpipetest.LongLife)
	w.debug(token).is(http.StatusOK, `{"data":{"app_id":"123","type":"USER","is_valid":false,"expires_at":1800000000,"scopes":[],
		"error":{"code":190,"subcode":463,"message":"Error validating access token: Session has expired on Friday, 15-Jan-27 00:00:00 PST. The current time is Friday, 15-Jan-27 00:00:00 PST."}}}`)
	w.debug("IGAAx").is(http.StatusOK, `{"data":{"is_valid":false,"scopes":[],
		"error":{"code":190,"message":"Invalid OAuth access token - Cannot parse access token"}}}`)
}

func TestDebugTokenRefusals(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.AddApp(authpipetest.App{ID: "456", Secret: "OTHER", RedirectURIs: []string{callback}, Developers: []string{"uma"}})
	token := w.token("email")
	foreign := w.exchange("client_id", "456", "client_secret", "OTHER",
		"code", w.loginAs(authpipetest.Consent{User: "uma"}, "client_id", "456")).accessToken()
	const wrongApp = "(#100) The App_id in the input_token did not match the Viewing App"
	for _, test := range []struct {
		name, input, caller string
		code                int
		message             string
	}{
		{"for another app", token, "456|OTHER", 100, wrongApp},
		{"for another app's developer", token, foreign, 100, wrongApp},
		{"for the token's own holder", token, token, 100, "(#100) You must provide an app access token, or a user access token that is an owner or developer of the app"},
		{"for a wrong app token", token, "123|WRONG", 190, "Invalid OAuth access token signature."},
		{"for an unknown app", token, "9|" + appSecret, 190, "Invalid OAuth access token signature."},
		{"without a caller", token, "", 104, "An access token is required to request this resource."},
		{"without a token to debug", "", appToken, 100, "(#100) The parameter input_token is required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.in(t).get("/v26.0/debug_token", params("input_token", test.input, "access_token", test.caller)).
				refused(http.StatusBadRequest, test.code, test.message)
		})
	}
	w.get("/v26.0/debug_token", params("input_token", foreign, "access_token", foreign)).is(http.StatusOK, fmt.Sprintf(`{"data":{
		"app_id":"456","type":"USER","application":"Demo","data_access_expires_at":1802592000,"expires_at":1800000000,
		"is_valid":true,"issued_at":1794816000,"scopes":["public_profile"],"user_id":%q}}`, w.ScopedID("456", "uma")))
}

func TestDebugTokenTakesAppTokenInHeader(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	r := must(http.NewRequest(http.MethodGet, w.base+"/v26.0/debug_token?input_token="+w.token(""), nil))
	r.Header.Set("Authorization", "Bearer "+appToken)
	if answered := w.round(r); answered.status != http.StatusOK {
		t.Errorf("status %d: %s", answered.status, answered.body)
	}
}
