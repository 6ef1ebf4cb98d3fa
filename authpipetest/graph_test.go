package authpipetest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// proof is an appsecret_proof.
func proof(secret, message string) string {
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(message))
	return hex.EncodeToString(sum.Sum(nil))
}

func TestProofIsChecked(t *testing.T) {
	const missing, wrong = "API calls from the server require an appsecret_proof argument", "Invalid appsecret_proof provided in the API argument"
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	stamped := func(age time.Duration) url.Values {
		at := strconv.FormatInt(w.clock.Now().Add(-age).Unix(), 10)
		return params("appsecret_proof", proof(appSecret, token+"|"+at), "appsecret_time", at)
	}
	for _, test := range []struct {
		name     string
		required bool
		params   url.Values
		want     string // empty: it is accepted
	}{
		{"none is needed", false, params(), ""},
		{"a plain one is welcome", false, params("appsecret_proof", proof(appSecret, token)), ""},
		{"a wrong one is refused even so", false, params("appsecret_proof", proof("OTHER", token)), wrong},
		{"none where one is required", true, params(), missing},
		{"a plain one", true, params("appsecret_proof", proof(appSecret, token)), ""},
		{"one of another secret", true, params("appsecret_proof", proof("OTHER", token)), wrong},
		{"one in capitals", true, params("appsecret_proof", "AB"+proof(appSecret, token)[2:]), wrong},
		{"one with the time", true, stamped(0), ""},
		{"one that is five minutes old", true, stamped(5 * time.Minute), ""},
		{"one that is older", true, stamped(5*time.Minute + time.Second), wrong},
		{"one with a time that is none", true, params("appsecret_proof", proof(appSecret, token+"|now"), "appsecret_time", "now"), wrong},
		{"a plain one with a time beside it", true, params("appsecret_proof", proof(appSecret, token), "appsecret_time", strconv.FormatInt(w.clock.Now().Unix(), 10)), wrong},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.in(t)
			w.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: test.required})
			test.params.Set("access_token", token)
			r := w.get("/v26.0/me", test.params)
			if test.want == "" {
				r.is(http.StatusOK, w.ada())
				return
			}
			r.is(http.StatusBadRequest, fmt.Sprintf(
				`{"error":{"message":%q,"type":"GraphMethodException","code":100,"fbtrace_id":"Ay8"}}`, test.want))
			if got := r.header.Get("WWW-Authenticate"); got != "" {
				t.Errorf("WWW-Authenticate: %s", got)
			}
		})
	}
}

// The encodings are the query, a form, JSON, and for the token a header.
func TestTokenAndProofInEveryEncoding(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{OldApps: true}) // so that one path accepts each encoding
	token := w.connect(authpipetest.Consent{})
	w.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true})
	valid := proof(appSecret, token)
	for _, test := range []struct {
		name, method string
		query        url.Values
		header       string
		kind, body   string
	}{
		{"a query", "POST", params("access_token", token, "appsecret_proof", valid), "", "", ""},
		{"a form", "POST", nil, "", "application/x-www-form-urlencoded", params("access_token", token, "appsecret_proof", valid).Encode()},
		{"JSON", "POST", nil, "", "application/json", `{"access_token":"` + token + `","appsecret_proof":"` + valid + `"}`},
		{"a header and a query", "GET", params("appsecret_proof", valid), "Bearer " + token, "", ""},
		{"a header and a form", "POST", nil, "Bearer " + token, "application/x-www-form-urlencoded", "appsecret_proof=" + valid},
		{"another kind of header", "GET", params("appsecret_proof", valid), "OAuth " + token, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/v26.0/me", "/v26.0/5566/system_user_access_tokens"} {
				q := url.Values{}
				for name, values := range test.query {
					q[name] = values
				}
				if path == "/v26.0/me" {
					q.Set("method", "get")
				} else {
					q.Set("method", "post")
				}
				r := must(http.NewRequest(test.method, w.base+path+"?"+q.Encode(), strings.NewReader(test.body)))
				r.Header = http.Header{"Content-Type": {test.kind}, "Authorization": {test.header}}
				if got := w.in(t).round(r); got.status != http.StatusOK {
					t.Errorf("%s: status %d: %s", path, got.status, got.body)
				}
			}
		})
	}
}

func TestProofFollowsAppSecret(t *testing.T) {
	w := newWorld(t, authpipetest.Options{ProofErrorOAuth: true})
	token := w.token("email")
	old := params("access_token", token, "appsecret_proof", proof(appSecret, token))
	w.get("/me", old).is(http.StatusOK, w.ada())
	w.SetAppSecret(appID, "NEW")
	w.get("/me", old).refused(http.StatusBadRequest, 1, "Invalid appsecret_proof provided in the API argument")
	w.get("/me", params("access_token", token, "appsecret_proof", proof("NEW", token))).is(http.StatusOK, w.ada())
}

func TestAppTokenNeedsNoProof(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	w.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true})
	if r := w.debug(token); r.status != http.StatusOK {
		t.Errorf("debug_token: status %d: %s", r.status, r.body)
	}
	w.revoke("/"+w.ScopedID(appID, "ada")+"/permissions", appToken).is(http.StatusOK, `{"success":true}`)
}

func TestTokenErrorStatusIsAnOption(t *testing.T) {
	w := newWorld(t, authpipetest.Options{TokenErrorStatus: http.StatusUnauthorized})
	r := w.get("/v26.0/me", params("access_token", "IGAAx"))
	r.refused(http.StatusUnauthorized, 190, "Invalid OAuth access token - Cannot parse access token")
	if got := r.header.Get("WWW-Authenticate"); got != `OAuth "Facebook Platform" "invalid_token" "Invalid OAuth access token - Cannot parse access token"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
}
