package authpipetest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestPKCE(t *testing.T) {
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	s256 := base64.RawURLEncoding.EncodeToString(sum[:])
	const dropped, invalid, secretless = "code_verifier param is provided without a code_challenge in authorization request.",
		"Invalid code verifier. Code verifier should be a cryptographically random string using the characters A-Z, a-z, 0-9, and the punctuation characters -._~ (hyphen, period, underscore, and tilde), between 43 and 128 characters long.",
		"Error validating client secret."
	withOpenID := []string{"scope", "openid,email", "code_challenge", s256, "code_challenge_method", "S256"}
	withoutOpenID := []string{"scope", "email", "code_challenge", s256, "code_challenge_method", "S256"}
	for _, test := range []struct {
		name     string
		mode     authpipetest.PKCEMode
		login    []string
		exchange []string
		refused  string // empty: the exchange succeeds
	}{
		{"without openid the challenge is dropped", 0, withoutOpenID, nil, ""},
		{"without openid a verifier is refused", 0, withoutOpenID, []string{"code_verifier", verifier}, dropped},
		{"without openid a verifier replaces no secret", 0, withoutOpenID, []string{"code_verifier", verifier, "client_secret", ""}, secretless},
		{"with openid the verifier is checked", 0, withOpenID, []string{"code_verifier", verifier}, ""},
		{"with openid the verifier replaces the secret", 0, withOpenID, []string{"code_verifier", verifier, "client_secret", ""}, ""},
		{"with openid the secret replaces the verifier", 0, withOpenID, nil, ""},
		{"with openid neither is too little", 0, withOpenID, []string{"client_secret", ""}, secretless},
		{"with openid another verifier is refused", 0, withOpenID, []string{"code_verifier", verifier + "x"}, invalid},
		{"a verifier that is too short is refused", 0, withOpenID, []string{"code_verifier", "v"}, invalid},
		{
			"a method that nobody knows is plain", 0,
			[]string{"scope", "openid", "code_challenge", verifier, "code_challenge_method", "sha256"},
			[]string{"code_verifier", verifier}, "",
		},
		{
			"a plain challenge is the verifier", 0, []string{"scope", "openid", "code_challenge", verifier},
			[]string{"code_verifier", verifier}, "",
		},
		{"in 2022 any challenge is bound", authpipetest.PKCEAlways, withoutOpenID, []string{"code_verifier", verifier}, ""},
		{"in 2022 the verifier may not be missing", authpipetest.PKCEAlways, withoutOpenID, nil, invalid},
		{"in 2022 a login without a challenge is as ever", authpipetest.PKCEAlways, nil, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{PKCE: test.mode})
			r := w.exchange(append([]string{"code", w.login(test.login...)}, test.exchange...)...)
			if test.refused == "" {
				r.accessToken()
			} else {
				r.refused(http.StatusBadRequest, 1, test.refused)
			}
		})
	}
}

func TestWrongVerifierLeavesTheCodeGood(t *testing.T) {
	verifier := strings.Repeat("v", 43)
	w := newWorld(t, authpipetest.Options{VerifierErrorCode: 100})
	code := w.login("scope", "openid", "code_challenge", verifier)
	if r := w.exchange("code", code, "code_verifier", "wrong"); !strings.Contains(r.body, `"code":100`) {
		t.Errorf("the switch does not choose the error code: %s", r.body)
	}
	w.exchange("code", code, "code_verifier", verifier).accessToken()
}
