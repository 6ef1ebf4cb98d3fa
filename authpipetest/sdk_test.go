package authpipetest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestSDKCodeIsBoundToNoRedirectURI(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	login := func() string {
		t.Helper()
		return must(w.LoginBySDK(appID, url.Values{"scope": {"email"}}, authpipetest.Consent{}))
	}
	w.exchange("code", login(), "redirect_uri", "").accessToken()
	code := login()
	w.exchange("code", code).refusedSub(100, 36008, mismatch)
	w.exchange("code", code, "redirect_uri", "").accessToken()
	// A code of the dialog is for the redirect URI that the dialog was given.
	w.exchange("code", w.login(), "redirect_uri", "").refused(http.StatusBadRequest, 191, "Missing redirect_uri parameter.")
}

func TestSDKLoginThatIsCancelledHasNoCode(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	if code, err := w.LoginBySDK(appID, nil, authpipetest.Consent{Cancel: true}); err == nil {
		t.Errorf("the code is %q", code)
	}
}

func TestControlPageLogsInBySDK(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.token("email") // the page has a button for each person that uses the app
	page := w.control(controlRequest(http.MethodGet, nil)).Body.String()
	if !strings.Contains(page, `value="sdk-login"`) {
		t.Error("the page has no button for it")
	}
	answer := w.control(controlRequest(http.MethodPost, url.Values{"action": {"sdk-login"}, "app": {appID}}))
	if answer.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", answer.Code, answer.Body)
	}
	w.exchange("code", strings.TrimSpace(answer.Body.String()), "redirect_uri", "").accessToken()
	if answer := w.control(controlRequest(http.MethodPost, url.Values{"action": {"sdk-login"}, "app": {"4711"}})); answer.Code != http.StatusBadRequest {
		t.Errorf("for an app that does not exist it answers %d", answer.Code)
	}
}
