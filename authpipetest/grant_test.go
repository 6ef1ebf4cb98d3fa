package authpipetest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const notAuthorized = "Error validating access token: The user has not authorized application 123."

func TestPermissionsAreListed(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.tokenAs(authpipetest.Consent{User: "ada", Decline: []string{"email"}}, "email,user_likes")
	w.SetPermission(appID, "ada", "user_likes", authpipetest.Expired)
	uid := w.ScopedID(appID, "ada")
	const all = `{"permission":"email","status":"declined"},{"permission":"public_profile","status":"granted"},{"permission":"user_likes","status":"expired"}`
	for _, test := range []struct{ name, node, token, filter, value, want string }{
		{"for the person", "me", token, "", "", all},
		{"for the person by id", uid, token, "", "", all},
		{"for the app", uid, appToken, "", "", all},
		{"by permission", "me", token, "permission", "email", `{"permission":"email","status":"declined"}`},
		{"by status", "me", token, "status", "granted", `{"permission":"public_profile","status":"granted"}`},
		{"by a permission that was never asked for", "me", token, "permission", "x", ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.in(t).get("/v26.0/"+test.node+"/permissions", params("access_token", test.token, test.filter, test.value)).
				is(http.StatusOK, `{"data":[`+test.want+`]}`)
		})
	}
}

func (w world) revoke(path, token string) reply {
	w.t.Helper()
	return w.send(http.MethodDelete, path, params("access_token", token), "", "")
}

func TestRevokeInvalidatesAllTokens(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer string
		yes    bool
		byApp  bool
	}{
		{"by the app", `{"success":true}`, false, true},
		{"by the person", `{"success":true}`, false, false},
		{"with the answer of the reference", `true`, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{RevokeAnswersTrue: test.yes})
			first, second := w.token(pageScope), w.token(pageScope)
			page := w.pageToken(first)
			node, caller := "me", first
			if test.byApp {
				node, caller = w.ScopedID(appID, "ada"), appToken
			}
			w.revoke("/v26.0/"+node+"/permissions", caller).is(http.StatusOK, test.answer)
			for _, token := range []string{first, second, page} {
				w.get("/v26.0/me", params("access_token", token)).refusedSub(190, 458, notAuthorized)
			}
			anew := w.token("email")
			w.get("/v26.0/me", params("access_token", anew)).is(http.StatusOK, w.ada())
			w.get("/v26.0/me", params("access_token", first)).refusedSub(190, 458, notAuthorized)
		})
	}
}

func TestRevokeOfPermissionKeepsTokens(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	w.revoke("/v26.0/"+w.ScopedID(appID, "ada")+"/permissions/email", token).is(http.StatusOK, `{"success":true}`)
	w.revoke("/v26.0/me/permissions/public_profile", token).is(http.StatusOK, `{"success":true}`)
	w.get("/v26.0/me", params("access_token", token)).is(http.StatusOK, w.ada())
	w.get("/v26.0/me/permissions", params("access_token", token)).is(http.StatusOK,
		`{"data":[{"permission":"email","status":"declined"},{"permission":"public_profile","status":"granted"}]}`)
	if seen, _ := w.Inspect(token); len(seen.Scopes) != 1 {
		t.Errorf("the token has %v", seen.Scopes)
	}
}

func TestRevokedPermissionVanishesByOption(t *testing.T) {
	w := newWorld(t, authpipetest.Options{RevokedPermissionVanishes: true})
	token := w.token("email")
	w.revoke("/v26.0/me/permissions/email", token)
	w.get("/v26.0/me/permissions", params("access_token", token)).is(http.StatusOK,
		`{"data":[{"permission":"public_profile","status":"granted"}]}`)
}

func TestRevokeForOthersIsRefused(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	w.tokenAs(authpipetest.Consent{User: "uma"}, "email")
	if r := w.revoke("/v26.0/"+w.ScopedID(appID, "uma")+"/permissions", token); r.status != http.StatusBadRequest {
		t.Errorf("Ada revoked what is Uma's: %s", r.body)
	}
	if r := w.revoke("/v26.0/"+w.ScopedID(appID, "ada")+"/permissions", "456|OTHER"); r.status != http.StatusBadRequest {
		t.Errorf("an app revoked what is another's: %s", r.body)
	}
	w.get("/v26.0/me", params("access_token", token)).is(http.StatusOK, w.ada())
}

func TestOldAppRevokesByPOST(t *testing.T) {
	w := newWorld(t, authpipetest.Options{OldApps: true})
	token := w.token("email")
	w.send(http.MethodPost, "/v26.0/me/permissions", params("access_token", token, "method", "delete"), "", "").
		is(http.StatusOK, `{"success":true}`)
	if w.Count(authpipetest.EndpointRevoke) != 1 {
		t.Error("it was not counted as a revocation")
	}
}

func TestRemoveAppInvalidatesTokens(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	w.RemoveApp(appID, "ada")
	w.get("/v26.0/me", params("access_token", token)).refusedSub(190, 458, notAuthorized)
	w.debug(token).is(http.StatusOK, `{"data":{"app_id":"123","type":"USER","is_valid":false,"expires_at":1800000000,"scopes":[],
		"error":{"code":190,"subcode":458,"message":"`+notAuthorized+`"}}}`)
}

func TestAnotherChoiceOfPagesEndsAndNarrowsFormerTokens(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	first := w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, pageScope)
	page := w.byID("777", first).accessToken()
	second := w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"888"}}, pageScope)
	if r := w.get("/me", params("access_token", page)); r.status != http.StatusBadRequest || !strings.Contains(r.body, `"code":190`) {
		t.Errorf("the token of the page that was dropped: %s", r.body)
	}
	for name, token := range map[string]string{"former": first, "new": second} {
		if r := w.debug(token); !strings.Contains(r.body, `{"scope":"pages_show_list","target_ids":["888"]}`) {
			t.Errorf("debug_token of the %s token: %s", name, r.body)
		}
		if got := w.byID("777", token).shape() + ", " + w.byID("888", token).shape(); got != pageAbsent+", "+pageOwn {
			t.Errorf("the pages for the %s token: %s", name, got)
		}
	}
	// A grant is for one app.
	other := w.loginAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, "scope", pageScope, "client_id", "456")
	w.exchange("code", other, "client_id", "456", "client_secret", "OTHER").accessToken()
	if got := w.byID("888", first).shape(); got != pageOwn {
		t.Errorf("after a login to another app: %s", got)
	}
}
