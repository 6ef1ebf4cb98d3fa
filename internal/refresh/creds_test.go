package refresh_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestReadsOfATokenAreEqual(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	first := e.Read("creds/" + enginetest.Uma)
	e.Clock.Advance(time.Hour)
	second := e.Read("creds/" + enginetest.Uma)
	if first["ttl"].(int64)-second["ttl"].(int64) != 3600 {
		t.Errorf("ttl goes from %v to %v in an hour", first["ttl"], second["ttl"])
	}
	delete(first, "ttl")
	delete(second, "ttl")
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}

func TestTTLEndsAfterPlannedRefresh(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	before := e.Read("creds/" + enginetest.Uma)
	e.Clock.Advance(time.Duration(before["ttl"].(int64)) * time.Second)
	e.MustSweep()
	after := e.Read("creds/" + enginetest.Uma)
	if after["access_token"] == before["access_token"] {
		t.Error("the token is still the old one")
	}
	if after["last_vault_rotation"] == before["last_vault_rotation"] {
		t.Error("last_vault_rotation is still the old one")
	}
	token, _ := e.Facebook.Inspect(after["access_token"].(string))
	if !token.Valid || token.ExpiresAt.Sub(e.Clock.Now()) < 59*24*time.Hour {
		t.Errorf("the refreshed token is %+v", token)
	}
}

func TestMinTTLRefreshesToken(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	n := e.Facebook.Count(authpipetest.EndpointExchangeToken)
	e.Read("creds/" + enginetest.Uma)
	e.Clock.Advance(25 * 24 * time.Hour)
	before := e.Must(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "30d"})
	if got := e.Facebook.Count(authpipetest.EndpointExchangeToken); got != n {
		t.Errorf("a token with life enough was refreshed %d times", got-n)
	}
	after := e.Must(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "50d"})
	if before["access_token"] == after["access_token"] {
		t.Error("the token was not refreshed")
	}
	// What the provider did not give just now is not asked for again, and that
	// is said.
	for range 3 {
		resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "90d"})
		if err != nil || len(resp.Warnings) != 1 {
			t.Fatalf("answered %v, %v", resp, err)
		}
	}
	if got := e.Facebook.Count(authpipetest.EndpointExchangeToken); got != n+1 {
		t.Errorf("refreshed %d times, want 1", got-n)
	}
	e.Refused("invalid_request", 400, logical.ReadOperation, "creds/"+enginetest.Uma, map[string]any{"min_ttl": "-1s"})
}

func TestRefreshThatDoesNotExtendKeepsToken(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{ReexchangeNeverExtends: true})
	before := e.Read("creds/" + enginetest.Uma)
	for range 2 { // twice a day
		if got := e.Warnings("connections/"+enginetest.Uma+"/refresh", nil); len(got) != 1 || !strings.Contains(got[0], "was not extended") || !strings.Contains(got[0], before["expires_at"].(string)) {
			t.Errorf("it is answered with the warnings %q", got)
		}
	}
	if after := e.Read("creds/" + enginetest.Uma); after["access_token"] != before["access_token"] || after["expires_at"] != before["expires_at"] {
		t.Error("the token was replaced by one that lives no longer")
	}
	history := e.Read("connections/" + enginetest.Uma)["history"].([]map[string]any)
	if last := history[len(history)-1]; last["event"] != "not_extended" {
		t.Errorf("the last outcome is %v", last)
	}
}

func TestRefreshThatExtendsDoesNotWarn(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	before := e.Read("creds/" + enginetest.Uma)
	e.Clock.Advance(2 * enginetest.Day)
	if got := e.Warnings("connections/"+enginetest.Uma+"/refresh", nil); len(got) != 0 || e.Read("creds/" + enginetest.Uma)["expires_at"] == before["expires_at"] {
		t.Errorf("it is warned of: %q", got)
	}
	e.Must(logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	if got := e.Warnings("connections/"+enginetest.Page777+"/refresh", nil); len(got) != 0 {
		t.Errorf("a page's is warned of: %q", got)
	}
	if got := e.Warnings("connections/"+enginetest.Uma+"/check", nil); len(got) != 0 {
		t.Errorf("a check is warned of: %q", got)
	}
}

func TestRefreshOfTokenWithoutExpiryWarns(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	if got := e.Warnings("connections/"+enginetest.Installation+"/refresh", nil); len(got) != 1 || !strings.Contains(got[0], "does not expire") {
		t.Errorf("it is answered with the warnings %q", got)
	}
}

// TestTTLIsAtLeastThirtySeconds reads around the moment of a planned refresh that
// nobody makes. Vault's clients take a ttl of 0 for "at once", or for "never".
func TestTTLIsAtLeastThirtySeconds(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	ttl := time.Duration(e.Read("creds/" + enginetest.Uma)["ttl"].(int64)) * time.Second
	// It goes a little past the plan.
	planned := e.Clock.Now().Add(ttl - 125*time.Second)
	for _, past := range []time.Duration{-time.Second, 0, time.Second, 94 * time.Second, 96 * time.Second, 125 * time.Second, 126 * time.Second, time.Hour, enginetest.Day} {
		e.Clock.Set(planned.Add(past))
		for _, path := range []string{"creds/", "connections/"} {
			if got := e.Read(path + enginetest.Uma)["ttl"].(int64); got != max(int64((125*time.Second-past)/time.Second), 30) {
				t.Errorf("%v past the planned refresh %s has a ttl of %d", past, path, got)
			}
		}
	}
}

func TestDeadTokenIsRefusedUntilReconnect(t *testing.T) {
	for code, kill := range map[string]func(*enginetest.Engine, string){
		"revoked":      func(e *enginetest.Engine, _ string) { e.Facebook.RemoveApp(enginetest.AppID, "uma") },
		"needs_reauth": func(e *enginetest.Engine, token string) { e.Facebook.KillToken(token, 190, 460, "") },
	} {
		t.Run(code, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			kill(e, e.Read("creds/" + enginetest.Uma)["access_token"].(string))
			e.Refused(code, 409, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			text := e.Refused(code, 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
			if !strings.Contains(text, "connect/"+enginetest.Uma) {
				t.Errorf("the error names no way out: %s", text)
			}
			c := e.Read("connections/" + enginetest.Uma)
			if c["status"] != code || c["last_error"].(map[string]any)["code"] != 190 {
				t.Errorf("the connection reads %v", c)
			}
			if keys, _ := e.Storage.Keys(context.Background(), "status/"); len(keys) != 1 || keys[0] != "status/"+code+"/org_acme,facebook,users,uma" {
				t.Errorf("the status index holds %v", keys)
			}
			e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
			if got := e.Read("creds/" + enginetest.Uma)["status"]; got != "active" {
				t.Errorf("after connecting again the status is %v", got)
			}
			if keys, _ := e.Storage.Keys(context.Background(), "status/"); len(keys) != 0 {
				t.Errorf("the status index still holds %v", keys)
			}
		})
	}
}

func TestReadServesLiveTokenDuringOutage(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	before := e.Read("creds/" + enginetest.Uma)
	repair := e.Facebook.Fail(authpipetest.Fault{Status: 503, Body: "<html>down</html>"})
	e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	if err != nil || resp.Data["access_token"] != before["access_token"] || len(resp.Warnings) != 1 {
		t.Errorf("answered %v, %v", resp, err)
	}
	repair()
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err != nil || len(resp.Warnings) != 1 {
		t.Errorf("after a check: %v, %v", resp, err)
	}
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil); err != nil || len(resp.Warnings) != 0 {
		t.Errorf("after the repair: %v, %v", resp, err)
	}
}

func TestStandbyMakesNoCall(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.RestartOn(enginetest.Standby())
	n := e.Facebook.Count("")
	e.Read("creds/" + enginetest.Uma)
	for _, r := range []struct {
		op   logical.Operation
		path string
		data map[string]any
	}{
		{logical.ReadOperation, "creds/" + enginetest.Uma, map[string]any{"min_ttl": "90d"}},
		{logical.DeleteOperation, "creds/" + enginetest.Uma, nil},
		{logical.UpdateOperation, "connections/" + enginetest.Uma + "/refresh", nil},
		{logical.UpdateOperation, "connections/" + enginetest.Uma + "/check", nil},
		{logical.UpdateOperation, "connect/" + enginetest.Uma, nil},
		{logical.ReadOperation, "callback/facebook", nil},
		{logical.ReadOperation, "sessions/org_acme/x", nil},
		{logical.UpdateOperation, "sessions/org_acme/x/complete", nil},
		{logical.UpdateOperation, "config/facebook", nil},
	} {
		if _, err := e.Do(r.op, r.path, r.data); err != logical.ErrReadOnly {
			t.Errorf("%s %s: %v, want ErrReadOnly itself", r.op, r.path, err)
		}
	}
	if got := e.Facebook.Count(""); got != n {
		t.Errorf("the provider was called %d times", got-n)
	}
}
