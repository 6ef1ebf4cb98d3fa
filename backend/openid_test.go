package backend_test

import (
	"net/url"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// openid returns an engine that asks users for an ID token.
func openid(t *testing.T, o authpipetest.Options) *engine {
	t.Helper()
	e := newEngine(t, o)
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "openid,public_profile", "require_installation": false})
	return e
}

func TestAnIDTokenIsAskedForAndVerified(t *testing.T) {
	e := openid(t, authpipetest.Options{})
	s := e.begin(uma, nil)
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); len(q.Get("nonce")) != 43 || q.Get("code_challenge_method") != "S256" {
		t.Errorf("the authorization URL is %s", s.url)
	}
	code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(t)
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	e.read("creds/" + uma)
}

func TestAnIDTokenThatIsNotForUsIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		options authpipetest.Options
		spoil   func(*engine, *session)
	}{
		"of another session": {authpipetest.Options{}, func(_ *engine, s *session) {
			u, _ := url.Parse(s.url)
			q := u.Query()
			q.Set("nonce", "another")
			u.RawQuery = q.Encode()
			s.url = u.String()
		}},
		"of another issuer": {authpipetest.Options{Issuer: "https://evil.example"}, func(*engine, *session) {}},
		"signed by a key that the provider does not publish": {authpipetest.Options{}, func(e *engine, _ *session) {
			e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointJWKS, Body: `{"keys":[]}`})
		}},
		"that does not come": {authpipetest.Options{}, func(e *engine, _ *session) {
			e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Body: `{"access_token":"EAA","token_type":"bearer"}`})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := openid(t, row.options)
			s := e.begin(uma, nil)
			row.spoil(e, &s)
			code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(t)
			e.refused("invalid_request", 400, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
			if got := e.read(s.path)["status"]; got != "failed" {
				t.Errorf("the session is %v", got)
			}
		})
	}
}

func TestKeysThatCannotBeFetchedSpendNoCode(t *testing.T) {
	e := openid(t, authpipetest.Options{})
	s := e.begin(uma, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(t)
	repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointJWKS, Reset: true})
	e.refused("unavailable", 502, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	repair()
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
}
