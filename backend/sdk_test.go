package backend_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// sdkCode is what FB.login hands the page.
func (e *engine) sdkCode(user string) string {
	e.t.Helper()
	code, err := e.fb.LoginBySDK(appID, url.Values{"scope": {"email"}}, authpipetest.Consent{User: user})
	if err != nil {
		e.t.Fatal(err)
	}
	return code
}

func TestSDKSessionConnects(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	answer := e.must(logical.UpdateOperation, "connect/"+uma, map[string]any{"grant": "sdk"})
	for _, absent := range []string{"authorization_url", "user_code", "verification_uri", "interval"} {
		if value, ok := answer[absent]; ok {
			t.Errorf("connect answers %s: %v", absent, value)
		}
	}
	if answer["completion"] != "confirm" || len(answer["state"].(string)) != 43 {
		t.Errorf("connect answers %v", answer)
	}
	s := session{id: answer["session_id"].(string), path: "sessions/org_acme/" + answer["session_id"].(string)}
	if got := e.read(s.path); got["grant"] != "sdk" || got["status"] != "pending" || got["redirect_uri"] != nil {
		t.Errorf("the session reads %v", got)
	}
	proof := map[string]any{"actor": "uma", "state": answer["state"], "code": e.sdkCode("uma")}
	first := e.must(logical.UpdateOperation, s.path+"/complete", proof)
	again := e.must(logical.UpdateOperation, s.path+"/complete", proof)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error("completed again: " + diff)
	}
	if token, _ := e.fb.Inspect(e.read("creds/" + uma)["access_token"].(string)); token.User != "uma" {
		t.Errorf("what is served is %+v", token)
	}
	for _, r := range e.fb.Requests() {
		if r.Endpoint == authpipetest.EndpointAccessToken && r.Form.Get("code") == proof["code"] && r.Form.Has("redirect_uri") {
			t.Errorf("the code was sent with redirect_uri %q", r.Form.Get("redirect_uri"))
		}
	}
}

func TestSDKSessionConnectsABusiness(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	s, state := e.beginState(installation, map[string]any{"actor": "admin", "grant": "sdk"})
	code, err := e.fb.LoginBySDK(appID, url.Values{"config_id": {configID}, "override_default_response_type": {"true"}}, authpipetest.Consent{User: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	got := e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": state, "code": code})
	if got["business_id"] == nil {
		t.Errorf("the connection reads %v", got)
	}
}

func TestSDKSessionNamesWhatItCannotHave(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
	for field, value := range map[string]string{"redirect_uri": relayURI, "return_url": returnURL, "completion": "callback"} {
		text := e.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "grant": "sdk", field: value})
		if !strings.Contains(text, `"`+field+`"`) || !strings.Contains(text, "grant=sdk") {
			t.Errorf("%s is answered %s", field, text)
		}
	}
	text := e.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+installation, map[string]any{"grant": "sdk"})
	if !strings.Contains(text, `"actor"`) {
		t.Errorf("an installation without an actor is answered %s", text)
	}
	e.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "grant": "SDK"})
	// Where callbacks redeem, it is confirmed too: no callback comes.
	if got := e.must(logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "grant": "sdk"}); got["completion"] != "confirm" {
		t.Errorf("connect answers %v", got)
	}
}

func TestSDKSessionTakesNoCallbackAndNoConnectCode(t *testing.T) {
	for _, completion := range []string{"confirm", "callback"} {
		e := newEngine(t, authpipetest.Options{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": completion})
		s, state := e.beginState(installation, map[string]any{"actor": "admin", "grant": "sdk"})
		code := e.sdkCode("ada")
		stranger := e.callback(&url.URL{RawQuery: "state=x&code=y"})
		if p := e.callback(&url.URL{RawQuery: url.Values{"state": {state}, "code": {code}}.Encode()}); p != stranger {
			t.Errorf("the browser sees %d\n%s", p.status, p.html)
		}
		e.unharmed(s, "pending")
		text := e.refused("invalid_request", 400, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA-BBBB-CCCC-DDDD"})
		if !strings.Contains(text, "grant=sdk") {
			t.Errorf("a connect code is answered %s", text)
		}
		e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "state": state, "code": code})
		e.failedFor(s, "actor_mismatch")
		e.exchanges(0)
	}
}

// TestCodeOfTheOtherWayToLogInIsRefusedWithAdvice swaps the codes of the dialog
// and of the SDK.
func TestCodeOfTheOtherWayToLogInIsRefusedWithAdvice(t *testing.T) {
	t.Run("one of the SDK, in an ordinary session", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s, state := e.beginState(installation, map[string]any{"actor": "admin", "redirect_uri": relayURI})
		text := e.refused("misconfigured", 424, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": state, "code": e.sdkCode("ada")})
		if !strings.Contains(text, "grant=sdk") || !strings.Contains(text, "FB.login") {
			t.Errorf("it is answered %s", text)
		}
		if got := e.read(s.path); got["status"] != "failed" || !strings.Contains(got["error_description"].(string), "grant=sdk") {
			t.Errorf("the session reads %v", got)
		}
	})
	t.Run("one of the dialog, in a session of the SDK's", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		code := e.consent(e.begin(installation, map[string]any{"actor": "admin"}), authpipetest.Consent{User: "ada"}).Query().Get("code")
		s, state := e.beginState(installation, map[string]any{"actor": "admin", "grant": "sdk"})
		text := e.refused("misconfigured", 424, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": state, "code": code})
		if !strings.Contains(text, "without grant") {
			t.Errorf("it is answered %s", text)
		}
		// However often that happens, the client is not taken for misconfigured.
		for range 10 {
			s, state := e.beginState(installation, map[string]any{"actor": "admin", "grant": "sdk"})
			code := e.consent(e.begin(installation, map[string]any{"actor": "admin"}), authpipetest.Consent{User: "ada"}).Query().Get("code")
			e.refused("misconfigured", 424, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": state, "code": code})
		}
		e.install()
	})
}

func TestSDKCodeMayBeTriedAgainWhereTheProviderDidNotAnswer(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	s, state := e.beginState(installation, map[string]any{"actor": "admin", "grant": "sdk"})
	proof := map[string]any{"actor": "admin", "state": state, "code": e.sdkCode("ada")}
	repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Status: 500, Error: &authpipetest.GraphError{Code: 2}})
	e.refused("unavailable", 502, logical.UpdateOperation, s.path+"/complete", proof)
	e.unharmed(s, "authorized")
	e.restart()
	repair()
	e.must(logical.UpdateOperation, s.path+"/complete", proof)
}
