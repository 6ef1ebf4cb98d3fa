package backend_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// The tests of this file are failures that people have reported in public for
// software that does this job.

// everywhere arms the fault at every call that the engine makes of the Graph
// API.
func everywhere(e *enginetest.Engine, fault authpipetest.Fault) {
	for _, endpoint := range []string{
		authpipetest.EndpointBatch, authpipetest.EndpointDebugToken, authpipetest.EndpointExchangeToken, authpipetest.EndpointAccessToken,
		authpipetest.EndpointAppToken, authpipetest.EndpointMe, authpipetest.EndpointAccounts, authpipetest.EndpointRevoke,
	} {
		fault.Endpoint = endpoint
		e.Facebook.Fail(fault)
	}
}

// TestAppOutOfServiceMarksNoCredential: Facebook has deactivated the app
// (trufflehog#1921, WP-Instagram-API#6), or does not take calls from the address
// of a node after a failover (passport-facebook#36, koala#607).
func TestAppOutOfServiceMarksNoCredential(t *testing.T) {
	for name, refused := range map[string]*authpipetest.GraphError{
		"deactivated":  {Code: 200, Message: "API access deactivated. To reactivate, go to the app dashboard."},
		"not active":   {Code: 200, Message: "Access to this data is temporarily disabled for non-active apps or apps that have not recently accessed this data due to changes we are making to the Facebook Platform."},
		"another node": {Code: 5, Message: "Unauthorized source IP address"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "udo"})
			_, before := e.Events(0)
			everywhere(e, authpipetest.Fault{Status: 400, Error: refused})
			e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
			for range 3 {
				e.After(enginetest.Day)
			}
			e.CheckHealthy([]string{enginetest.Installation, enginetest.Uma, enginetest.Globex})
			happened, _ := e.Events(before)
			if !slices.Equal(happened, []string{"provider.misconfigured facebook"}) {
				t.Errorf("what happened is %q", happened)
			}
			e.Read("creds/" + enginetest.Globex)
		})
	}
}

// TestTokenThatIsNotExtendedIsServed: fb_exchange_token refuses one person's
// token with code 1 for weeks, and all else works (facebook-node-sdk#82,
// php-graph-sdk#478).
func TestTokenThatIsNotExtendedIsServed(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.RefuseExtension(enginetest.AppID, "uma", &authpipetest.GraphError{Code: 1, Type: "OAuthException", Message: "An unknown error occurred"})
	for range 62 {
		e.After(enginetest.Day)
	}
	e.CheckStatus("failed", enginetest.Uma)
	e.CheckStatus("active", enginetest.Installation)
	if last, _ := e.Read("connections/" + enginetest.Uma)["last_error"].(map[string]any); last["code"] != 1 {
		t.Errorf("last_error is %v", last)
	}
	happened, _ := e.Events(0)
	var own []string
	for _, event := range happened {
		if kind, ref, _ := strings.Cut(event, " "); ref == enginetest.Uma {
			own = append(own, strings.TrimPrefix(kind, "connection."))
		}
	}
	if got := strings.Join(slices.Compact(own), " "); got != "created refresh_failed expiring failed" {
		t.Errorf("what happened is %s", got)
	}
}

// TestErrorThatComesAndGoesIsTriedAgainWithinMinutes: one refresh answers 400
// with code 2500, and the next works (ember-cli-facebook-js-sdk#32).
func TestErrorThatComesAndGoesIsTriedAgainWithinMinutes(t *testing.T) {
	for name, fault := range map[string]authpipetest.Fault{
		"code 2500":                  {Status: 400, Error: &authpipetest.GraphError{Code: 2500, Message: "An active access token must be used to query information about the current user."}},
		"code 101, a system error":   {Status: 400, Error: &authpipetest.GraphError{Code: 101, Message: "Cannot get application info due to a system error"}},
		"code 1 with status 500":     {Status: 500, Error: &authpipetest.GraphError{Code: 1, Message: "An unknown error occurred"}},
		"code 1, which is no text's": {Status: 400, Error: &authpipetest.GraphError{Code: 1, Message: "An unknown error has occurred."}},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Install()
			before := e.Read("creds/" + enginetest.Installation)
			fault.Endpoint, fault.Times = authpipetest.EndpointExchangeToken, 1
			defer e.Facebook.Fail(fault)()
			e.After(time.Duration(before["ttl"].(int64)) * time.Second)
			if got := e.Read("connections/" + enginetest.Installation)["consecutive_failures"]; got != 1 {
				t.Fatalf("after %v failures", got)
			}
			for range 5 {
				e.After(time.Minute)
			}
			if e.CheckedToken(enginetest.Installation) == before["access_token"] {
				t.Error("five minutes later it is not refreshed")
			}
			e.CheckStatus("active", enginetest.Installation)
		})
	}
}

// TestCodeExchangeThatFailsForAMomentKeepsTheSession: the exchange answers 400
// with code 101 once (python-facebook#271). The second complete connects.
func TestCodeExchangeThatFailsForAMomentKeepsTheSession(t *testing.T) {
	for name, fault := range map[string]authpipetest.Fault{
		"code 101, a system error": {Status: 400, Error: &authpipetest.GraphError{Code: 101, Message: "Cannot get application info due to a system error"}},
		"code 1 with status 500":   {Status: 500, Error: &authpipetest.GraphError{Code: 1, Message: "An unknown error occurred"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Install()
			s := e.Begin(enginetest.Uma, nil)
			proof := map[string]any{"actor": "uma", "connect_code": e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)}
			fault.Endpoint, fault.Times = authpipetest.EndpointAccessToken, 1
			defer e.Facebook.Fail(fault)()
			e.Refused("unavailable", 502, logical.UpdateOperation, s.Path+"/complete", proof)
			if got := e.Read(s.Path)["status"]; got != "authorized" {
				t.Errorf("the session is %v", got)
			}
			e.Must(logical.UpdateOperation, s.Path+"/complete", proof)
			e.Read("creds/" + enginetest.Uma)
		})
	}
}

// TestEmptyInspectionMarksNoCredential: debug_token answers without its
// object (restfb#1276).
func TestEmptyInspectionMarksNoCredential(t *testing.T) {
	for _, body := range []string{`{"data":[]}`, `{"data":null}`, `{"data":{}}`, `{}`, `[]`, `null`, `"x"`, `<html>`} {
		e := enginetest.Connected(t, authpipetest.Options{})
		clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: body})
		e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		e.CheckStatus("active", enginetest.Uma)
		clear()
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	}
}

// TestTokenWithoutExpiryAndScopesWithoutTargets: the token endpoint names no
// end, and the granular scopes no pages, which means all (opauth#16,
// restfb#1191).
func TestTokenWithoutExpiryAndScopesWithoutTargets(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{CodeOmitsExpiresIn: true, ExchangeOmitsExpiresIn: true})
	e.Install()
	c := e.Read("creds/" + enginetest.Installation)
	if c["expires_at"] == nil || len(fmt.Sprint(c["granular_scopes"])) > len("[]") && c["granular_scopes"] != nil {
		t.Errorf("it expires at %v, its granular scopes are %v", c["expires_at"], c["granular_scopes"])
	}
	e.Read("creds/" + enginetest.Page777)
	e.Read("creds/org_acme/facebook/pages/778")
}

// TestUnknownKeyTypeIsIgnored: the JWKS holds an RSA key and one of a type
// that came later (go-jose#276, go-oidc#498).
func TestUnknownKeyTypeIsIgnored(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{UnknownKeys: true})
	e.Install()
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "openid,email"})
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	e.Read("creds/" + enginetest.Uma)
}

// TestConfigurationDecidesWhichScopesAreExpected: with a configuration of
// Facebook Login for Business, the engine's defaults say nothing of what a token
// should have, whether it is imported or connected (restfb#1529,
// socialite#716). What the operator sets beside it does.
func TestConfigurationDecidesWhichScopesAreExpected(t *testing.T) {
	for name, row := range map[string]struct {
		scopes string
		want   []string
	}{
		"nothing set": {"", []string{}},
		"scopes set":  {"ads_read,pages_show_list", []string{"ads_read"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"installation_scopes": row.scopes})
			e.Install()
			if got := e.Read("connections/" + enginetest.Installation)["missing_scopes"]; fmt.Sprint(got) != fmt.Sprint(row.want) {
				t.Errorf("connected, it misses %v", got)
			}
			token := e.CheckedToken(enginetest.Installation)
			e.Must(logical.UpdateOperation, "creds/"+enginetest.Globex, map[string]any{"access_token": token})
			if got := e.Read("connections/" + enginetest.Globex)["missing_scopes"]; fmt.Sprint(got) != fmt.Sprint(row.want) {
				t.Errorf("imported, it misses %v", got)
			}
			if u := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"}).URL; strings.Contains(u, "scope=") {
				t.Errorf("scopes are sent beside the configuration: %s", u)
			}
		})
	}
}
