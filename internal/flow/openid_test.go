package flow_test

import (
	"net/url"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// openid returns an engine that asks users for an ID token.
func openid(t *testing.T, o authpipetest.Options) *enginetest.Engine {
	t.Helper()
	e := enginetest.New(t, o)
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "openid,public_profile", "require_installation": false})
	return e
}

func TestIDTokenIsVerified(t *testing.T) {
	e := openid(t, authpipetest.Options{})
	s := e.Begin(enginetest.Uma, nil)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); len(q.Get("nonce")) != 43 || q.Get("code_challenge_method") != "S256" {
		t.Errorf("the authorization URL is %s", s.URL)
	}
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	e.Read("creds/" + enginetest.Uma)
}

func TestIDTokenOfAnotherClientIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		options authpipetest.Options
		spoil   func(*enginetest.Engine, *enginetest.Session)
	}{
		"of another session": {authpipetest.Options{}, func(_ *enginetest.Engine, s *enginetest.Session) {
			u, _ := url.Parse(s.URL)
			q := u.Query()
			q.Set("nonce", "another")
			u.RawQuery = q.Encode()
			s.URL = u.String()
		}},
		"of another issuer": {authpipetest.Options{Issuer: "https://evil.example"}, func(*enginetest.Engine, *enginetest.Session) {}},
		"signed by a key that the provider does not publish": {authpipetest.Options{}, func(e *enginetest.Engine, _ *enginetest.Session) {
			e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointJWKS, Body: `{"keys":[]}`})
		}},
		"that does not come": {authpipetest.Options{}, func(e *enginetest.Engine, _ *enginetest.Session) {
			e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Body: `{"access_token":"EAA","token_type":"bearer"}`})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := openid(t, row.options)
			s := e.Begin(enginetest.Uma, nil)
			row.spoil(e, &s)
			code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)
			e.Refused("invalid_request", 400, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
			if got := e.Read(s.Path)["status"]; got != "failed" {
				t.Errorf("the session is %v", got)
			}
		})
	}
}

func TestUnfetchableKeysSpendNoCode(t *testing.T) {
	e := openid(t, authpipetest.Options{})
	s := e.Begin(enginetest.Uma, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)
	repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointJWKS, Reset: true})
	e.Refused("unavailable", 502, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	repair()
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
}
