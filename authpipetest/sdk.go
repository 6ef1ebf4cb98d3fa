package authpipetest

import (
	"fmt"
	"maps"
	"net/url"
)

// sdkRedirectURI is where the JavaScript SDK has the dialog send the browser: a page of Facebook's own, which hands the answer
// to the page that called FB.login. No app has to register it. The real one has parameters that say which page that is.
const sdkRedirectURI = "https://staticxx.facebook.com/x/connect/xd_arbiter/"

// LoginBySDK plays FB.login with response_type=code ("Facebook Login for Business", Embedded Signup): it opens the dialog,
// lets the person do what c says, and returns the code that the SDK hands to the page. Options are those of FB.login: scope,
// config_id and so on. Such a code is exchanged without a redirect_uri; with one it is refused (amachang/facebook-node-sdk#6).
// An error is returned if there is no code, because the person said no for instance.
func (f *Facebook) LoginBySDK(appID string, options url.Values, c Consent) (code string, err error) {
	q := maps.Clone(options)
	if q == nil {
		q = url.Values{}
	}
	q.Set("client_id", appID)
	q.Set("redirect_uri", sdkRedirectURI)
	q.Set("response_type", "code")
	back, err := f.Authorize("/dialog/oauth?"+q.Encode(), c)
	if err != nil {
		return "", err
	}
	if code = back.Query().Get("code"); code == "" {
		return "", fmt.Errorf("logging in by the SDK: no code, but %s", back.Query().Get("error"))
	}
	return code, nil
}
