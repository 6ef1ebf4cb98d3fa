package authpipetest_test

import (
	"net/http"
	"net/url"
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
