package flow_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestInstallationAndUserAreConnectedAndServed(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	connection := e.Install()
	want := map[string]any{"actor": "admin", "entity_id": "entity-1", "display_name": "token-app"}
	if diff := cmp.Diff(want, connection["connected_by"]); diff != "" {
		t.Error("connected_by: " + diff)
	}
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})

	for ref, want := range map[string]struct {
		person string
		scopes []string
	}{
		enginetest.Installation: {"ada", []string{"pages_manage_posts", "pages_read_engagement", "pages_show_list", "public_profile"}},
		enginetest.Uma:          {"uma", []string{"email", "public_profile"}},
	} {
		c := e.Read("creds/" + ref)
		token, known := e.Facebook.Inspect(c["access_token"].(string))
		if !known || !token.Valid || token.User != want.person {
			t.Errorf("%s is served a token that the provider knows as %+v", ref, token)
		}
		if diff := cmp.Diff(want.scopes, c["scopes"]); diff != "" {
			t.Errorf("%s: scopes: %s", ref, diff)
		}
		if c["provider_user_id"] != e.Facebook.ScopedID(enginetest.AppID, want.person) || c["status"] != "active" || c["token_type"] != "bearer" || c["credential_type"] != "oauth_token" {
			t.Errorf("%s is served as %v", ref, c)
		}
		if got := c["expires_at"]; got != token.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z") {
			t.Errorf("%s: expires_at is %v, the provider's books say %v", ref, got, token.ExpiresAt)
		}
	}
	if c := e.Read("connections/" + enginetest.Uma); c["access_token"] != nil || c["appsecret_proof"] != nil || c["user_id"] != "uma" || c["tenant_id"] != "org_acme" {
		t.Errorf("the connection reads %v", c)
	}
}

func TestConnectExtendsShortLivedToken(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{
		"the code brings a short-lived token":    {CodeTokenLife: authpipetest.ShortLife},
		"the code's token says no expires_in":    {CodeOmitsExpiresIn: true},
		"a short one that says no expires_in":    {CodeOmitsExpiresIn: true, CodeTokenLife: authpipetest.ShortLife},
		"the extended one says no expires_in":    {CodeTokenLife: authpipetest.ShortLife, ExchangeOmitsExpiresIn: true},
		"the code brings a long-lived token":     {},
		"debug_token tells the app id as number": {AppIDAsNumber: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, o)
			e.Install()
			token, _ := e.Facebook.Inspect(e.Read("creds/" + enginetest.Installation)["access_token"].(string))
			if life := token.ExpiresAt.Sub(e.Clock.Now()); life < 50*24*60*60*1e9 {
				t.Errorf("the token that is kept lives for %v", life)
			}
		})
	}
	t.Run("the extended one never expires", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife, ExchangeNeverExpires: true})
		e.Install()
		c := e.Read("creds/" + enginetest.Installation)
		for _, absent := range []string{"expires_at", "ttl", "rotation_period", "last_vault_rotation"} {
			if value, ok := c[absent]; ok {
				t.Errorf("%s is %v, want it absent", absent, value)
			}
		}
	})
}

func TestPartialGrantShowsMissingScopes(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma", Decline: []string{"email"}})
	if diff := cmp.Diff([]string{"email"}, e.Read("creds/" + enginetest.Uma)["missing_scopes"]); diff != "" {
		t.Error(diff)
	}
}

func TestDenialFailsSession(t *testing.T) {
	for name, c := range map[string]authpipetest.Consent{
		"the person says no":               {User: "ada", Cancel: true},
		"the platform refuses without why": {User: "ada", ErrorCode: 1349126, ErrorMessage: "App not active"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
			p := e.Callback(e.Consent(s, c))
			if p.Status != 400 || p.Returned(t).Query().Get("error") != "access_denied" || p.Returned(t).Query().Get("from") != "authpipe" {
				t.Errorf("the browser sees %d\n%s", p.Status, p.HTML)
			}
			if got := e.Read(s.Path); got["status"] != "failed" || got["error"] != "access_denied" {
				t.Errorf("the session reads %v", got)
			}
			e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA"})
		})
	}
}

func TestReturnURLGetsConnectCode(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
	p := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"}))
	q := p.Returned(t).Query()
	if p.Status != 200 || q.Get("session_id") != s.ID || q.Get("from") != "authpipe" || len(q) != 3 {
		t.Fatalf("the browser is returned with %v", q)
	}
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": q.Get("connect_code")})
}

func TestApplicationRelaysCallback(t *testing.T) {
	relay := func(e *enginetest.Engine, c authpipetest.Consent) (enginetest.Session, map[string]any) {
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": "https://app.example.com/oauth"})
		answer := map[string]any{"actor": "admin"}
		for name, values := range e.Consent(s, c).Query() {
			answer[name] = values[0]
		}
		return s, answer
	}
	t.Run("a code", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s, answer := relay(e, authpipetest.Consent{User: "ada"})
		first := e.Must(logical.UpdateOperation, s.Path+"/complete", answer)
		again := e.Must(logical.UpdateOperation, s.Path+"/complete", answer)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Error("completed again: " + diff)
		}
		answer["code"] = "AQanother"
		e.Refused("session_used", 409, logical.UpdateOperation, s.Path+"/complete", answer)
	})
	t.Run("a denial", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s, answer := relay(e, authpipetest.Consent{User: "ada", Cancel: true})
		e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", answer)
		e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", answer)
		if got := e.Read(s.Path); got["status"] != "failed" || got["error"] != "access_denied" {
			t.Errorf("the session reads %v", got)
		}
	})
	t.Run("the state of another session", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		s, _ := relay(e, authpipetest.Consent{User: "ada"})
		_, answer := relay(e, authpipetest.Consent{User: "ada"})
		e.Refused("invalid_request", 400, logical.UpdateOperation, s.Path+"/complete", answer)
	})
}

func TestCallbackCompletesByItselfIfConfigured(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
	s := e.Begin(enginetest.Installation, nil)
	back := e.Consent(s, authpipetest.Consent{User: "ada"})
	first := e.Callback(back)
	if first.Status != 200 || e.Read(s.Path)["status"] != "completed" {
		t.Fatalf("the browser sees %d, the session reads %v", first.Status, e.Read(s.Path))
	}
	if again := e.Callback(back); again != first {
		t.Errorf("the same callback again shows %d\n%s", again.Status, again.HTML)
	}
	e.Read("creds/" + enginetest.Installation)

	s = e.Begin(enginetest.Installation, map[string]any{"completion": "confirm", "actor": "admin"})
	e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"}))
	if got := e.Read(s.Path)["status"]; got != "authorized" {
		t.Errorf("a session that tightened its completion is %v after the callback", got)
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "confirm"})
	e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"completion": "callback", "actor": "admin"})
}

func TestUserNeedsInstallation(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Refused("installation_required", 409, logical.UpdateOperation, "connect/"+enginetest.Uma, nil)

	e.Install()
	s := e.Begin(enginetest.Uma, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Refused("installation_required", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})

	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"require_installation": false})
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
}

func TestAnotherAccountDoesNotTakeOverRef(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	before := e.Read("creds/" + enginetest.Uma)

	s := e.Begin(enginetest.Uma, nil)
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "udo"})).ConnectCode(t)
	e.Refused("account_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	if diff := cmp.Diff(before, e.Read("creds/"+enginetest.Uma)); diff != "" {
		t.Error("the connected credential changed: " + diff)
	}

	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "udo"}, "allow_account_change", "true")
	after := e.Read("connections/" + enginetest.Uma)
	if after["provider_user_id"] != e.Facebook.ScopedID(enginetest.AppID, "udo") || len(after["history"].([]map[string]any)) != 2 {
		t.Errorf("after the change the connection reads %v", after)
	}
}

// TestReconnectUpgradesScopes asks a connected person
// for one scope more. Until the new token is stored the old one is served, and
// for good if they refuse.
func TestReconnectUpgradesScopes(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	old := e.Read("creds/" + enginetest.Uma)
	served := func(stage string) {
		t.Helper()
		if got := e.Read("creds/" + enginetest.Uma); got["access_token"] != old["access_token"] || len(got["missing_scopes"].([]string)) != 0 {
			t.Errorf("%s, what is served is %v", stage, got)
		}
	}
	more := map[string]any{"actor": "uma", "scopes": "public_profile,email,user_posts"}
	denied := e.Begin(enginetest.Uma, more)
	e.Callback(e.Consent(denied, authpipetest.Consent{User: "uma", Cancel: true}))
	served("after a denial")

	s := e.Begin(enginetest.Uma, more)
	served("while the person is asked")
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "uma"})).ConnectCode(t)
	served("while the code is parked")
	clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Status: 500})
	e.Refused("unavailable", 502, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	served("while the provider fails to tell about the new token")
	clear()
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	got := e.Read("creds/" + enginetest.Uma)
	if got["access_token"] == old["access_token"] || !slices.Contains(got["scopes"].([]string), "user_posts") {
		t.Errorf("after the upgrade, what is served is %v", got)
	}
	if c := e.Read("connections/" + enginetest.Uma); len(c["history"].([]map[string]any)) < 2 {
		t.Errorf("the history is lost: %v", c["history"])
	}
}
