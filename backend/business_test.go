package backend_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const (
	businessID = "5566"
	configID   = "31"
)

// business returns an engine whose installations go by a configuration of
// Facebook Login for Business.
func business(t *testing.T, o authpipetest.Options, b authpipetest.Business, c authpipetest.Configuration) *engine {
	t.Helper()
	e := newEngine(t, o)
	e.fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{mountURL + "/callback/facebook", "https://app.example.com/oauth"}})
	b.ID, b.Name, b.Admins, b.Pages = businessID, "Bakery Ltd", []string{"ada"}, []string{"777"}
	c.ID, c.App, c.Permissions = configID, appID, []string{"business_management", "pages_show_list", "pages_read_engagement", "pages_manage_posts"}
	e.fb.AddBusiness(b)
	e.fb.AddConfiguration(c)
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"installation_config_id": configID})
	return e
}

func TestABusinessInstallsTheApp(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	s := e.begin(installation, map[string]any{"actor": "admin"})
	u, err := url.Parse(s.url)
	if err != nil || u.Query().Get("config_id") != configID || u.Query().Has("scope") {
		t.Errorf("the authorization URL is %s", s.url)
	}
	e.install()
	c := e.read("creds/" + installation)
	token, _ := e.fb.Inspect(c["access_token"].(string))
	if token.Kind != authpipetest.KindSystemUser || c["business_id"] != businessID || c["expires_at"] != nil || len(c["missing_scopes"].([]string)) != 0 {
		t.Errorf("served is %v, which is %+v", c, token)
	}
	if next := e.read("connections/" + installation)["next_due_at"]; next == nil {
		t.Error("a token that never expires is never checked")
	}
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
	if got := e.read("creds/" + installation); got["access_token"] != c["access_token"] || got["business_id"] != businessID {
		t.Errorf("after a refresh served is %v", got)
	}
	e.read("creds/" + page777) // of the business
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(2 * time.Minute)
	if known, _ := e.fb.Inspect(c["access_token"].(string)); known.Valid || e.fb.Count(authpipetest.EndpointRevokeToken) != 1 {
		t.Errorf("the token lives on: %+v", known)
	}
}

func TestABusinessMayWantTokensThatExpire(t *testing.T) {
	for name, e := range map[string]*engine{
		"the configuration says so": business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true}),
		"the business does":         business(t, authpipetest.Options{}, authpipetest.Business{RequireExpiringTokens: true}, authpipetest.Configuration{}),
	} {
		e.install()
		before := e.read("creds/" + installation)
		if before["expires_at"] == nil {
			t.Fatalf("%s: the token does not expire", name)
		}
		e.clock.Advance(time.Duration(before["ttl"].(int64)) * time.Second)
		e.sweep()
		after := e.read("creds/" + installation)
		token, _ := e.fb.Inspect(after["access_token"].(string))
		if !token.Valid || token.ExpiresAt.Sub(e.clock.Now()) < 59*24*time.Hour || after["business_id"] != businessID {
			t.Errorf("%s: refreshed is %v, which expires at %v", name, after, token.ExpiresAt)
		}
	}
}

func TestABusinessTakesTheAppAway(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	before := e.read("creds/" + installation)["provider_user_id"]
	e.fb.RemoveIntegration(appID, businessID)
	e.refused("revoked", 409, logical.UpdateOperation, "connections/"+installation+"/check", nil)
	// Installed again it is another system user, and the same business.
	e.install()
	if after := e.read("creds/" + installation)["provider_user_id"]; after == before {
		t.Errorf("the system user is %v again", after)
	}
}

func TestAnotherTokenOfABusinessLeavesNoneBehind(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	first := e.read("creds/" + installation)["access_token"].(string)
	e.connect(globex, "boss", authpipetest.Consent{User: "ada"})
	second := e.read("creds/" + globex)["access_token"].(string)
	e.install()
	third := e.read("creds/" + installation)["access_token"].(string)
	alive := func(want ...bool) {
		t.Helper()
		for i, token := range []string{first, second, third} {
			if known, _ := e.fb.Inspect(token); known.Valid != want[i] {
				t.Errorf("token %d is alive: %v", i+1, known.Valid)
			}
		}
	}
	alive(true, true, true) // replaced, until its readers have come back
	e.after(2 * time.Minute)
	alive(false, true, true)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	alive(false, true, false)
	e.must(logical.DeleteOperation, "creds/"+globex, nil)
	alive(false, false, false)
}

// TestTheCallsOfOneRequestShareTheirTime reconnects a business: the code's
// exchange, two questions and the former token's revocation are one request.
func TestTheCallsOfOneRequestShareTheirTime(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	n := e.fb.Count("")
	e.ends.Clear()
	e.install()
	if got := e.fb.Count("") - n; got < 4 {
		t.Errorf("only %d calls were made", got)
	}
	ends := 0
	e.ends.Range(func(any, any) bool { ends++; return true })
	if ends != 1 {
		t.Errorf("the calls end at %d different times", ends)
	}
}

const globex = "org_globex/facebook/installation"

func TestTwoTenantsOfOneBusinessAreTold(t *testing.T) {
	// twice completes a session, and once more, and returns the warnings of both.
	twice := func(e *engine, ref string) (warnings []string) {
		t.Helper()
		s := e.begin(ref, map[string]any{"actor": "admin"})
		back := e.consent(s, authpipetest.Consent{User: "ada"})
		e.callback(back)
		for range 2 {
			resp, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": back.Query().Get("state"), "code": back.Query().Get("code")})
			if err != nil {
				t.Fatal(err)
			}
			warnings = append(warnings, resp.Warnings...)
		}
		return warnings
	}
	for _, completion := range []string{"confirm", "callback"} {
		e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": completion})
		if got := twice(e, installation); len(got) != 0 {
			t.Errorf("%s: the first is warned: %v", completion, got)
		}
		if got := twice(e, installation); len(got) != 0 {
			t.Errorf("%s: connecting again is warned of: %v", completion, got)
		}
		if got := twice(e, globex); len(got) != 2 || strings.Contains(got[0]+got[1], "acme") {
			t.Errorf("%s: the second is warned: %v", completion, got)
		}
	}
}

func TestWhoseInstallationIsRevokedWarnsNobody(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	e.fb.RemoveIntegration(appID, businessID)
	e.refused("revoked", 409, logical.UpdateOperation, "connections/"+installation+"/check", nil)
	s := e.begin(globex, map[string]any{"actor": "admin"})
	code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
	resp, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	if err != nil || len(resp.Warnings) != 0 {
		t.Errorf("warned of an installation that is no more: %v, %v", resp, err)
	}
}

func TestARefreshedTokenOfABusinessLeavesNoneBehind(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.install()
	former := e.read("creds/" + installation)["access_token"].(string)
	e.clock.Advance(10 * day)
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(2 * time.Minute)
	if known, _ := e.fb.Inspect(former); known.Valid {
		t.Errorf("disconnected, and a token from before the refresh works until %v", known.ExpiresAt)
	}
}

// TestATokenThatTwoTenantsHoldIsNotRevokedByOne has a tenant import the very
// token that another got, and that one replace it.
func TestATokenThatTwoTenantsHoldIsNotRevokedByOne(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	shared := e.read("creds/" + installation)["access_token"].(string)
	e.must(logical.UpdateOperation, "creds/"+globex, map[string]any{"access_token": shared})
	e.install()
	if e.read("creds/" + installation)["access_token"] == shared {
		t.Fatal("connected again with the token that was there")
	}
	if !e.alive(globex) {
		t.Error("another tenant's token was revoked")
	}
	e.must(logical.DeleteOperation, "creds/"+globex, nil)
	e.after(2 * time.Minute)
	if known, _ := e.fb.Inspect(shared); known.Valid || !e.alive(installation) {
		t.Error("the last holder of a token does not revoke it, or not it alone")
	}
}

// TestABusinessTokenMayBeCalledAPersons has debug_token call it USER: it lives
// and dies as a business's all the same.
func TestABusinessTokenMayBeCalledAPersons(t *testing.T) {
	e := business(t, authpipetest.Options{IntegrationTokenType: authpipetest.KindUser}, authpipetest.Business{RequireExpiringTokens: true}, authpipetest.Configuration{})
	e.install()
	s := e.begin(globex, map[string]any{"actor": "admin"})
	code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
	resp, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	if err != nil || len(resp.Warnings) != 1 {
		t.Errorf("another tenant is not warned: %v, %v", resp, err)
	}
	former := e.read("creds/" + installation)
	if former["business_id"] != businessID {
		t.Errorf("served is %v", former)
	}
	e.clock.Advance(10 * day)
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil) // which the business refuses for longer than 60 days
	fresh := e.read("creds/" + installation)
	if fresh["access_token"] == former["access_token"] || fresh["business_id"] != businessID || fresh["expires_at"] == former["expires_at"] {
		t.Errorf("refreshed is %v", fresh)
	}
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(2 * time.Minute)
	for _, token := range []any{former["access_token"], fresh["access_token"]} {
		if known, _ := e.fb.Inspect(token.(string)); known.Valid {
			t.Errorf("deleted, it lives on: %+v", known)
		}
	}
	if !e.alive(globex) {
		t.Error("another tenant's token has died with it")
	}
}
