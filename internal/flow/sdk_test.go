package flow_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// sdkCode is what FB.login hands the page.
func sdkCode(e *enginetest.Engine, user string) string {
	e.T.Helper()
	code, err := e.Facebook.LoginBySDK(enginetest.AppID, url.Values{"scope": {"email"}}, authpipetest.Consent{User: user})
	if err != nil {
		e.T.Fatal(err)
	}
	return code
}

func TestSDKSessionConnects(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	answer := e.Must(logical.UpdateOperation, "connect/"+enginetest.Uma, map[string]any{"grant": "sdk"})
	for _, absent := range []string{"authorization_url", "user_code", "verification_uri", "interval"} {
		if value, ok := answer[absent]; ok {
			t.Errorf("connect answers %s: %v", absent, value)
		}
	}
	if answer["completion"] != "confirm" || len(answer["state"].(string)) != 43 {
		t.Errorf("connect answers %v", answer)
	}
	s := enginetest.Session{ID: answer["session_id"].(string), Path: "sessions/org_acme/" + answer["session_id"].(string)}
	if got := e.Read(s.Path); got["grant"] != "sdk" || got["status"] != "pending" || got["redirect_uri"] != nil {
		t.Errorf("the session reads %v", got)
	}
	proof := map[string]any{"actor": "uma", "state": answer["state"], "code": sdkCode(e, "uma")}
	first := e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
	again := e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error("completed again: " + diff)
	}
	if token, _ := e.Facebook.Inspect(e.Read("creds/" + enginetest.Uma)["access_token"].(string)); token.User != "uma" {
		t.Errorf("what is served is %+v", token)
	}
	for _, r := range e.Facebook.Requests() {
		if r.Endpoint == authpipetest.EndpointAccessToken && r.Form.Get("code") == proof["code"] && r.Form.Has("redirect_uri") {
			t.Errorf("the code was sent with redirect_uri %q", r.Form.Get("redirect_uri"))
		}
	}
}

func TestSDKSessionConnectsABusiness(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	s, state := e.BeginState(enginetest.Installation, map[string]any{"actor": "admin", "grant": "sdk"})
	code, err := e.Facebook.LoginBySDK(enginetest.AppID, url.Values{"config_id": {enginetest.ConfigID}, "override_default_response_type": {"true"}}, authpipetest.Consent{User: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	got := e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": state, "code": code})
	if got["business_id"] == nil {
		t.Errorf("the connection reads %v", got)
	}
}

func TestSDKSessionRefusesBrowserFields(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
	for field, value := range map[string]string{"redirect_uri": enginetest.RelayURI, "return_url": enginetest.ReturnURL, "completion": "callback"} {
		text := e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "sdk", field: value})
		if !strings.Contains(text, `"`+field+`"`) || !strings.Contains(text, "grant=sdk") {
			t.Errorf("%s is answered %s", field, text)
		}
	}
	text := e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"grant": "sdk"})
	if !strings.Contains(text, `"actor"`) {
		t.Errorf("an installation without an actor is answered %s", text)
	}
	e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "SDK"})
	// Where callbacks redeem, it is confirmed too: no callback comes.
	if got := e.Must(logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "sdk"}); got["completion"] != "confirm" {
		t.Errorf("connect answers %v", got)
	}
}

func TestSDKSessionTakesNoCallbackAndNoConnectCode(t *testing.T) {
	for _, completion := range []string{"confirm", "callback"} {
		e := enginetest.New(t, authpipetest.Options{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": completion})
		s, state := e.BeginState(enginetest.Installation, map[string]any{"actor": "admin", "grant": "sdk"})
		code := sdkCode(e, "ada")
		stranger := e.Callback(&url.URL{RawQuery: "state=x&code=y"})
		if p := e.Callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {code}}.Encode()}); p != stranger {
			t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
		}
		e.CheckSession(s, "pending")
		text := e.Refused("invalid_request", 400, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
		if !strings.Contains(text, "grant=sdk") {
			t.Errorf("a connect code is answered %s", text)
		}
		e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "state": state, "code": code})
		failedFor(e, s, "actor_mismatch")
		exchanges(e, 0)
	}
}

// TestCodeOfAnotherGrantIsRefusedWithAdvice swaps the codes of the dialog
// and of the SDK.
func TestCodeOfAnotherGrantIsRefusedWithAdvice(t *testing.T) {
	t.Run("one of the SDK, in an ordinary session", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s, state := e.BeginState(enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": enginetest.RelayURI})
		text := e.Refused("misconfigured", 424, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": state, "code": sdkCode(e, "ada")})
		if !strings.Contains(text, "grant=sdk") || !strings.Contains(text, "FB.login") {
			t.Errorf("it is answered %s", text)
		}
		if got := e.Read(s.Path); got["status"] != "failed" || !strings.Contains(got["error_description"].(string), "grant=sdk") {
			t.Errorf("the session reads %v", got)
		}
	})
	t.Run("one of the dialog, in a session of the SDK's", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		code := e.Consent(e.Begin(enginetest.Installation, map[string]any{"actor": "admin"}), authpipetest.Consent{User: "ada"}).Query().Get("code")
		s, state := e.BeginState(enginetest.Installation, map[string]any{"actor": "admin", "grant": "sdk"})
		text := e.Refused("misconfigured", 424, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": state, "code": code})
		if !strings.Contains(text, "without grant") {
			t.Errorf("it is answered %s", text)
		}
		// However often that happens, the client is not taken for misconfigured.
		for range 10 {
			s, state := e.BeginState(enginetest.Installation, map[string]any{"actor": "admin", "grant": "sdk"})
			code := e.Consent(e.Begin(enginetest.Installation, map[string]any{"actor": "admin"}), authpipetest.Consent{User: "ada"}).Query().Get("code")
			e.Refused("misconfigured", 424, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": state, "code": code})
		}
		e.Install()
	})
}

func TestSDKCodeMayBeRetriedAfterOutage(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	s, state := e.BeginState(enginetest.Installation, map[string]any{"actor": "admin", "grant": "sdk"})
	proof := map[string]any{"actor": "admin", "state": state, "code": sdkCode(e, "ada")}
	repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Status: 500, Error: &authpipetest.GraphError{Code: 2}})
	e.Refused("unavailable", 502, logical.UpdateOperation, s.Path+"/complete", proof)
	e.CheckSession(s, "authorized")
	e.Restart()
	repair()
	e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
}
