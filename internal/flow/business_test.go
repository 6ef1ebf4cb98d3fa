package flow_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestBusinessInstallsApp(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	u, err := url.Parse(s.URL)
	if err != nil || u.Query().Get("config_id") != enginetest.ConfigID || u.Query().Has("scope") {
		t.Errorf("the authorization URL is %s", s.URL)
	}
	e.Install()
	c := e.Read("creds/" + enginetest.Installation)
	token, _ := e.Facebook.Inspect(c["access_token"].(string))
	if token.Kind != authpipetest.KindSystemUser || c["business_id"] != enginetest.BusinessID || c["expires_at"] != nil || len(c["missing_scopes"].([]string)) != 0 {
		t.Errorf("served is %v, which is %+v", c, token)
	}
	if next := e.Read("connections/" + enginetest.Installation)["next_due_at"]; next == nil {
		t.Error("a token that never expires is never checked")
	}
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
	if got := e.Read("creds/" + enginetest.Installation); got["access_token"] != c["access_token"] || got["business_id"] != enginetest.BusinessID {
		t.Errorf("after a refresh served is %v", got)
	}
	e.Read("creds/" + enginetest.Page777) // of the business
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.After(2 * time.Minute)
	if known, _ := e.Facebook.Inspect(c["access_token"].(string)); known.Valid || e.Facebook.Count(authpipetest.EndpointRevokeToken) != 1 {
		t.Errorf("the token lives on: %+v", known)
	}
}

func TestBusinessTokenMayExpire(t *testing.T) {
	for name, e := range map[string]*enginetest.Engine{
		"the configuration says so": enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true}),
		"the business does":         enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{RequireExpiringTokens: true}, authpipetest.Configuration{}),
	} {
		e.Install()
		before := e.Read("creds/" + enginetest.Installation)
		if before["expires_at"] == nil {
			t.Fatalf("%s: the token does not expire", name)
		}
		e.Clock.Advance(time.Duration(before["ttl"].(int64)) * time.Second)
		e.MustSweep()
		after := e.Read("creds/" + enginetest.Installation)
		token, _ := e.Facebook.Inspect(after["access_token"].(string))
		if !token.Valid || token.ExpiresAt.Sub(e.Clock.Now()) < 59*24*time.Hour || after["business_id"] != enginetest.BusinessID {
			t.Errorf("%s: refreshed is %v, which expires at %v", name, after, token.ExpiresAt)
		}
	}
}

func TestBusinessRemovesApp(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	before := e.Read("creds/" + enginetest.Installation)["provider_user_id"]
	e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	// Installed again it is another system user, and the same business.
	e.Install()
	if after := e.Read("creds/" + enginetest.Installation)["provider_user_id"]; after == before {
		t.Errorf("the system user is %v again", after)
	}
}

func TestReconnectRevokesFormerBusinessToken(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	first := e.Read("creds/" + enginetest.Installation)["access_token"].(string)
	e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "ada"})
	second := e.Read("creds/" + enginetest.Globex)["access_token"].(string)
	e.Install()
	third := e.Read("creds/" + enginetest.Installation)["access_token"].(string)
	alive := func(want ...bool) {
		t.Helper()
		for i, token := range []string{first, second, third} {
			if known, _ := e.Facebook.Inspect(token); known.Valid != want[i] {
				t.Errorf("token %d is alive: %v", i+1, known.Valid)
			}
		}
	}
	alive(true, true, true) // replaced, until its readers have come back
	e.After(2 * time.Minute)
	alive(false, true, true)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	alive(false, true, false)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Globex, nil)
	alive(false, false, false)
}

// TestCallsOfOneRequestShareADeadline reconnects a business: the code's
// exchange, two questions and the former token's revocation are one request.
func TestCallsOfOneRequestShareADeadline(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	n := e.Facebook.Count("")
	e.Ends.Clear()
	e.Install()
	if got := e.Facebook.Count("") - n; got < 4 {
		t.Errorf("only %d calls were made", got)
	}
	ends := 0
	e.Ends.Range(func(any, any) bool { ends++; return true })
	if ends != 1 {
		t.Errorf("the calls end at %d different times", ends)
	}
}

func TestConnectWarnsOfAnotherTenantOfTheBusiness(t *testing.T) {
	// twice completes a session, and once more, and returns the warnings of both.
	twice := func(e *enginetest.Engine, ref string) (warnings []string) {
		t.Helper()
		s := e.Begin(ref, map[string]any{"actor": "admin"})
		back := e.Consent(s, authpipetest.Consent{User: "ada"})
		e.Callback(back)
		for range 2 {
			resp, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "state": back.Query().Get("state"), "code": back.Query().Get("code")})
			if err != nil {
				t.Fatal(err)
			}
			warnings = append(warnings, resp.Warnings...)
		}
		return warnings
	}
	for _, completion := range []string{"confirm", "callback"} {
		e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": completion})
		if got := twice(e, enginetest.Installation); len(got) != 0 {
			t.Errorf("%s: the first is warned: %v", completion, got)
		}
		if got := twice(e, enginetest.Installation); len(got) != 0 {
			t.Errorf("%s: connecting again is warned of: %v", completion, got)
		}
		if got := twice(e, enginetest.Globex); len(got) != 2 || strings.Contains(got[0]+got[1], "acme") {
			t.Errorf("%s: the second is warned: %v", completion, got)
		}
	}
}

func TestConnectDoesNotWarnOfRevokedInstallation(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
	e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	s := e.Begin(enginetest.Globex, map[string]any{"actor": "admin"})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	resp, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	if err != nil || len(resp.Warnings) != 0 {
		t.Errorf("warned of an installation that is no more: %v, %v", resp, err)
	}
}

func TestRefreshRevokesFormerBusinessToken(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.Install()
	former := e.Read("creds/" + enginetest.Installation)["access_token"].(string)
	e.Clock.Advance(10 * enginetest.Day)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.After(2 * time.Minute)
	if known, _ := e.Facebook.Inspect(former); known.Valid {
		t.Errorf("disconnected, and a token from before the refresh works until %v", known.ExpiresAt)
	}
}

// TestTokenOfTwoTenantsIsNotRevokedByOne has a tenant import the very
// token that another got, and that one replace it.
func TestTokenOfTwoTenantsIsNotRevokedByOne(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	shared := e.Read("creds/" + enginetest.Installation)["access_token"].(string)
	e.Must(logical.UpdateOperation, "creds/"+enginetest.Globex, map[string]any{"access_token": shared})
	e.Install()
	if e.Read("creds/" + enginetest.Installation)["access_token"] == shared {
		t.Fatal("connected again with the token that was there")
	}
	if !e.Alive(enginetest.Globex) {
		t.Error("another tenant's token was revoked")
	}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Globex, nil)
	e.After(2 * time.Minute)
	if known, _ := e.Facebook.Inspect(shared); known.Valid || !e.Alive(enginetest.Installation) {
		t.Error("the last holder of a token does not revoke it, or not it alone")
	}
}

// TestBusinessTokenOfUserTypeConnects has debug_token call it USER: it lives
// and dies as a business's all the same.
func TestBusinessTokenOfUserTypeConnects(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{IntegrationTokenType: authpipetest.KindUser}, authpipetest.Business{RequireExpiringTokens: true}, authpipetest.Configuration{})
	e.Install()
	s := e.Begin(enginetest.Globex, map[string]any{"actor": "admin"})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	resp, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	if err != nil || len(resp.Warnings) != 1 {
		t.Errorf("another tenant is not warned: %v, %v", resp, err)
	}
	former := e.Read("creds/" + enginetest.Installation)
	if former["business_id"] != enginetest.BusinessID {
		t.Errorf("served is %v", former)
	}
	e.Clock.Advance(10 * enginetest.Day)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil) // which the business refuses for longer than 60 days
	fresh := e.Read("creds/" + enginetest.Installation)
	if fresh["access_token"] == former["access_token"] || fresh["business_id"] != enginetest.BusinessID || fresh["expires_at"] == former["expires_at"] {
		t.Errorf("refreshed is %v", fresh)
	}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.After(2 * time.Minute)
	for _, token := range []any{former["access_token"], fresh["access_token"]} {
		if known, _ := e.Facebook.Inspect(token.(string)); known.Valid {
			t.Errorf("deleted, it lives on: %+v", known)
		}
	}
	if !e.Alive(enginetest.Globex) {
		t.Error("another tenant's token has died with it")
	}
}
