package facebook_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

func TestRedirectMismatchIsRecognized(t *testing.T) {
	const message = "Error validating verification code. Please make sure your redirect_uri is identical to the one you used in the OAuth dialog request"
	for name, answer := range map[string]*authpipetest.GraphError{
		"by its subcode":               {Code: 100, Subcode: 36008, Message: "Error validating verification code."},
		"by its text, without subcode": {Code: 100, Message: message},
		"where none was sent":          {Code: 191, Message: "Missing redirect_uri parameter."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Error: answer})
			_, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: oauth.NewSecret("AQ"), RedirectURI: redirectURI})
			if !errors.Is(err, provider.ErrRedirectMismatch) || provider.ClassOf(err) != provider.Misconfigured {
				t.Errorf("%v, of class %s", err, provider.ClassOf(err))
			}
		})
	}
}

func TestSDKCodeIsExchangedWithoutRedirectURI(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	login := func() oauth.Secret {
		t.Helper()
		code, err := w.fb.LoginBySDK(w.client.ID, url.Values{"scope": {"email"}}, authpipetest.Consent{})
		if err != nil {
			t.Fatal(err)
		}
		return oauth.NewSecret(code)
	}
	if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: login()}); err != nil {
		t.Error(err)
	}
	if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: login(), RedirectURI: redirectURI}); !errors.Is(err, provider.ErrRedirectMismatch) {
		t.Errorf("with a redirect URI: %v", err)
	}
	for _, r := range w.fb.Requests()[:2] {
		if r.Endpoint == authpipetest.EndpointAccessToken && r.Form.Has("redirect_uri") {
			t.Errorf("redirect_uri is sent as %q", r.Form.Get("redirect_uri"))
		}
	}
}
