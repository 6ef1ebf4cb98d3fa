package backend_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestAnInstallationAndAUserAreConnectedAndServed(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	connection := e.install()
	want := map[string]any{"actor": "admin", "entity_id": "entity-1", "display_name": "token-app"}
	if diff := cmp.Diff(want, connection["connected_by"]); diff != "" {
		t.Error("connected_by: " + diff)
	}
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})

	for ref, want := range map[string]struct {
		person string
		scopes []string
	}{
		installation: {"ada", []string{"pages_manage_posts", "pages_read_engagement", "pages_show_list", "public_profile"}},
		uma:          {"uma", []string{"email", "public_profile"}},
	} {
		c := e.read("creds/" + ref)
		token, known := e.fb.Inspect(c["access_token"].(string))
		if !known || !token.Valid || token.User != want.person {
			t.Errorf("%s is served a token that the provider knows as %+v", ref, token)
		}
		if diff := cmp.Diff(want.scopes, c["scopes"]); diff != "" {
			t.Errorf("%s: scopes: %s", ref, diff)
		}
		if c["provider_user_id"] != e.fb.ScopedID(appID, want.person) || c["status"] != "active" || c["token_type"] != "bearer" || c["credential_type"] != "oauth_token" {
			t.Errorf("%s is served as %v", ref, c)
		}
		if got := c["expires_at"]; got != token.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z") {
			t.Errorf("%s: expires_at is %v, the provider's books say %v", ref, got, token.ExpiresAt)
		}
	}
	if c := e.read("connections/" + uma); c["access_token"] != nil || c["appsecret_proof"] != nil || c["user_id"] != "uma" || c["tenant_id"] != "org_acme" {
		t.Errorf("the connection reads %v", c)
	}
}

func TestAShortLivedTokenIsExtendedAtConnect(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{
		"the code brings a short-lived token":    {CodeTokenLife: authpipetest.ShortLife},
		"the code's token says no expires_in":    {CodeOmitsExpiresIn: true},
		"a short one that says no expires_in":    {CodeOmitsExpiresIn: true, CodeTokenLife: authpipetest.ShortLife},
		"the extended one says no expires_in":    {CodeTokenLife: authpipetest.ShortLife, ExchangeOmitsExpiresIn: true},
		"the code brings a long-lived token":     {},
		"debug_token tells the app id as number": {AppIDAsNumber: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, o)
			e.install()
			token, _ := e.fb.Inspect(e.read("creds/" + installation)["access_token"].(string))
			if life := token.ExpiresAt.Sub(e.clock.Now()); life < 50*24*60*60*1e9 {
				t.Errorf("the token that is kept lives for %v", life)
			}
		})
	}
	t.Run("the extended one never expires", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife, ExchangeNeverExpires: true})
		e.install()
		c := e.read("creds/" + installation)
		for _, absent := range []string{"expires_at", "ttl", "rotation_period", "last_vault_rotation"} {
			if value, ok := c[absent]; ok {
				t.Errorf("%s is %v, want it absent", absent, value)
			}
		}
	})
}

func TestAPartialGrantShowsWhatIsMissing(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma", Decline: []string{"email"}})
	if diff := cmp.Diff([]string{"email"}, e.read("creds/" + uma)["missing_scopes"]); diff != "" {
		t.Error(diff)
	}
}

func TestADenialFailsTheSession(t *testing.T) {
	for name, c := range map[string]authpipetest.Consent{
		"the person says no":               {User: "ada", Cancel: true},
		"the platform refuses without why": {User: "ada", ErrorCode: 1349126, ErrorMessage: "App not active"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			s := e.begin(installation, map[string]any{"actor": "admin", "return_url": returnURL})
			p := e.callback(e.consent(s, c))
			if p.status != 400 || p.returned(t).Query().Get("error") != "access_denied" || p.returned(t).Query().Get("from") != "authpipe" {
				t.Errorf("the browser sees %d\n%s", p.status, p.html)
			}
			if got := e.read(s.path); got["status"] != "failed" || got["error"] != "access_denied" {
				t.Errorf("the session reads %v", got)
			}
			e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": "AAAA"})
		})
	}
}

func TestAReturnURLIsGivenTheConnectCode(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	s := e.begin(installation, map[string]any{"actor": "admin", "return_url": returnURL})
	p := e.callback(e.consent(s, authpipetest.Consent{User: "ada"}))
	q := p.returned(t).Query()
	if p.status != 200 || q.Get("session_id") != s.id || q.Get("from") != "authpipe" || len(q) != 3 {
		t.Fatalf("the browser is returned with %v", q)
	}
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": q.Get("connect_code")})
}

func TestAnApplicationRelaysWhatTheProviderSent(t *testing.T) {
	relay := func(e *engine, c authpipetest.Consent) (session, map[string]any) {
		s := e.begin(installation, map[string]any{"actor": "admin", "redirect_uri": "https://app.example.com/oauth"})
		answer := map[string]any{"actor": "admin"}
		for name, values := range e.consent(s, c).Query() {
			answer[name] = values[0]
		}
		return s, answer
	}
	t.Run("a code", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s, answer := relay(e, authpipetest.Consent{User: "ada"})
		first := e.must(logical.UpdateOperation, s.path+"/complete", answer)
		again := e.must(logical.UpdateOperation, s.path+"/complete", answer)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Error("completed again: " + diff)
		}
		answer["code"] = "AQanother"
		e.refused("session_used", 409, logical.UpdateOperation, s.path+"/complete", answer)
	})
	t.Run("a denial", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s, answer := relay(e, authpipetest.Consent{User: "ada", Cancel: true})
		e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", answer)
		e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", answer)
		if got := e.read(s.path); got["status"] != "failed" || got["error"] != "access_denied" {
			t.Errorf("the session reads %v", got)
		}
	})
	t.Run("the state of another session", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		s, _ := relay(e, authpipetest.Consent{User: "ada"})
		_, answer := relay(e, authpipetest.Consent{User: "ada"})
		e.refused("invalid_request", 400, logical.UpdateOperation, s.path+"/complete", answer)
	})
}

func TestACallbackRedeemsByItselfWhereTheOperatorSaysSo(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
	s := e.begin(installation, nil)
	back := e.consent(s, authpipetest.Consent{User: "ada"})
	first := e.callback(back)
	if first.status != 200 || e.read(s.path)["status"] != "completed" {
		t.Fatalf("the browser sees %d, the session reads %v", first.status, e.read(s.path))
	}
	if again := e.callback(back); again != first {
		t.Errorf("the same callback again shows %d\n%s", again.status, again.html)
	}
	e.read("creds/" + installation)

	s = e.begin(installation, map[string]any{"completion": "confirm", "actor": "admin"})
	e.callback(e.consent(s, authpipetest.Consent{User: "ada"}))
	if got := e.read(s.path)["status"]; got != "authorized" {
		t.Errorf("a session that tightened its completion is %v after the callback", got)
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "confirm"})
	e.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+installation, map[string]any{"completion": "callback", "actor": "admin"})
}

func TestAUserNeedsAnInstallation(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.refused("installation_required", 409, logical.UpdateOperation, "connect/"+uma, nil)

	e.install()
	s := e.begin(uma, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(t)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.refused("installation_required", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})

	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"require_installation": false})
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
}

func TestAnotherAccountDoesNotTakeARefOver(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	before := e.read("creds/" + uma)

	s := e.begin(uma, nil)
	code := e.callback(e.consent(s, authpipetest.Consent{User: "udo"})).code(t)
	e.refused("account_mismatch", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	if diff := cmp.Diff(before, e.read("creds/"+uma)); diff != "" {
		t.Error("the connected credential changed: " + diff)
	}

	e.connect(uma, "uma", authpipetest.Consent{User: "udo"}, "allow_account_change", "true")
	after := e.read("connections/" + uma)
	if after["provider_user_id"] != e.fb.ScopedID(appID, "udo") || len(after["history"].([]map[string]any)) != 2 {
		t.Errorf("after the change the connection reads %v", after)
	}
}

// TestScopesAreUpgradedByConnectingAgain has a person who is connected asked
// for one scope more. Until the new token is stored the old one is served, and
// for good if they refuse.
func TestScopesAreUpgradedByConnectingAgain(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	old := e.read("creds/" + uma)
	served := func(stage string) {
		t.Helper()
		if got := e.read("creds/" + uma); got["access_token"] != old["access_token"] || len(got["missing_scopes"].([]string)) != 0 {
			t.Errorf("%s, what is served is %v", stage, got)
		}
	}
	more := map[string]any{"actor": "uma", "scopes": "public_profile,email,user_posts"}
	denied := e.begin(uma, more)
	e.callback(e.consent(denied, authpipetest.Consent{User: "uma", Cancel: true}))
	served("after a denial")

	s := e.begin(uma, more)
	served("while the person is asked")
	code := e.callback(e.consent(s, authpipetest.Consent{User: "uma"})).code(t)
	served("while the code is parked")
	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Status: 500})
	e.refused("unavailable", 502, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	served("while the provider fails to tell about the new token")
	clear()
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "uma", "connect_code": code})
	got := e.read("creds/" + uma)
	if got["access_token"] == old["access_token"] || !slices.Contains(got["scopes"].([]string), "user_posts") {
		t.Errorf("after the upgrade, what is served is %v", got)
	}
	if c := e.read("connections/" + uma); len(c["history"].([]map[string]any)) < 2 {
		t.Errorf("the history is lost: %v", c["history"])
	}
}
