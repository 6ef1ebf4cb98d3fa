package authpipetest_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// idToken returns the claims of an ID token, verified with the key from the discovery document.
func (w world) idToken(r reply) map[string]any {
	w.t.Helper()
	var answered struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(r.body), &answered); err != nil || answered.IDToken == "" {
		w.t.Fatalf("no ID token, but %s", r.body)
	}
	parts := strings.Split(answered.IDToken, ".")
	if len(parts) != 3 {
		w.t.Fatalf("%d parts", len(parts))
	}
	var metadata struct {
		JWKSURI string `json:"jwks_uri"`
	}
	var set struct {
		Keys []struct{ Kid, N, E string }
	}
	var head struct{ Kid, Alg string }
	for _, step := range []struct {
		text string
		into any
	}{
		{w.get("/.well-known/openid-configuration/", nil).body, &metadata},
		{string(must(base64.RawURLEncoding.DecodeString(parts[0]))), &head},
	} {
		if err := json.Unmarshal([]byte(step.text), step.into); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := json.Unmarshal([]byte(w.open(metadata.JWKSURI).body), &set); err != nil || len(set.Keys) != 1 {
		w.t.Fatalf("keys %+v, %v", set, err)
	}
	if head.Alg != "RS256" || head.Kid != set.Keys[0].Kid {
		w.t.Errorf("header %+v", head)
	}
	key := &rsa.PublicKey{
		N: new(big.Int).SetBytes(must(base64.RawURLEncoding.DecodeString(set.Keys[0].N))),
		E: int(new(big.Int).SetBytes(must(base64.RawURLEncoding.DecodeString(set.Keys[0].E))).Int64()),
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], must(base64.RawURLEncoding.DecodeString(parts[2]))); err != nil {
		w.t.Error(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[1])), &claims); err != nil {
		w.t.Fatal(err)
	}
	return claims
}

func TestIDTokenClaims(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	r := w.exchange("code", w.login("scope", "openid,email", "nonce", "n-1"))
	claims := w.idToken(r)
	sum := sha256.Sum256([]byte(r.accessToken()))
	want := map[string]any{
		"iss": "https://www.facebook.com", "aud": appID, "sub": w.ScopedID(appID, "ada"), "nonce": "n-1",
		"iat": 1794816000., "exp": 1794819600., "jti": claims["jti"], "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
		"email": "ada@example.com", "name": "Ada Admin", "given_name": "Ada", "family_name": "Admin",
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	// without the secret, as a public client
	verifier := strings.Repeat("v", 43)
	code := w.login("scope", "openid", "code_challenge", verifier)
	bare := w.idToken(w.exchange("code", code, "code_verifier", verifier, "client_secret", ""))
	if _, has := bare["nonce"]; has {
		t.Errorf("a nonce out of nowhere: %v", bare)
	}
}

func TestIDTokenNeedsOpenID(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	declined := authpipetest.Consent{User: "uma", Decline: []string{"openid"}}
	for name, r := range map[string]reply{
		"not asked for": w.exchange("code", w.login("scope", "email", "nonce", "n")),
		"declined":      w.exchange("code", w.loginAs(declined, "scope", "openid")),
	} {
		if strings.Contains(r.body, "id_token") {
			t.Errorf("%s: %s", name, r.body)
		}
	}
}

func TestDiscoveryDocument(t *testing.T) {
	w := newWorld(t, authpipetest.Options{Issuer: "https://issuer.example"})
	w.get("/.well-known/openid-configuration", nil).is(http.StatusOK, `{"issuer":"https://issuer.example",
		"authorization_endpoint":"`+w.base+`/dialog/oauth/","jwks_uri":"`+w.base+`/.well-known/oauth/openid/jwks/",
		"response_types_supported":["id_token","token id_token"],"subject_types_supported":["pairwise"],
		"id_token_signing_alg_values_supported":["RS256"],
		"claims_supported":["iss","aud","sub","iat","exp","jti","nonce","at_hash","name","given_name","family_name","email"]}`)
	if claims := w.idToken(w.exchange("code", w.login("scope", "openid"))); claims["iss"] != "https://issuer.example" {
		t.Errorf("claims %v", claims)
	}
}

// The response types are those of the discovery document.
func TestDialogAnswersIDToken(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	for responseType, withToken := range map[string]bool{"id_token": false, "token id_token": true} {
		back := w.authorize(authpipetest.Consent{User: "ada"}, "response_type", responseType, "scope", "openid", "nonce", "n-1")
		fragment := must(url.ParseQuery(back.Fragment))
		if back.RawQuery != "" || fragment.Get("state") != "s" || fragment.Has("access_token") != withToken {
			t.Errorf("%s: sent to %s", responseType, back)
		}
		claims := w.idToken(reply{t, http.StatusOK, nil, `{"id_token":"` + fragment.Get("id_token") + `"}`})
		if _, has := claims["at_hash"]; claims["nonce"] != "n-1" || claims["sub"] != w.ScopedID(appID, "ada") || has != withToken {
			t.Errorf("%s: claims %v", responseType, claims)
		}
	}
	back := w.authorize(authpipetest.Consent{User: "ada"}, "response_type", "id_token", "scope", "email", "nonce", "n-1")
	if strings.Contains(back.Fragment, "id_token") || back.Query().Has("code") {
		t.Errorf("without openid: sent to %s", back)
	}
}

func TestIDTokenIsForItsLogin(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.idToken(w.exchange("code", w.login("scope", "openid")))
	if r := w.exchange("code", w.login("scope", "email")); strings.Contains(r.body, "id_token") {
		t.Errorf("a later login without openid: %s", r.body)
	}
}
