package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestACheckLearnsWhatTheProviderKnows has debug_token tell other things of the
// token than it did when that was obtained.
func TestACheckLearnsWhatTheProviderKnows(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	before := e.read("creds/" + installation)
	expires, access := e.clock.Now().Add(10*day), e.clock.Now().Add(20*day)
	defer e.inspectedAs(fmt.Sprintf(`{"app_id":"123","type":"USER","is_valid":true,"user_id":"%s","expires_at":%d,"data_access_expires_at":%d,
		"scopes":["email","pages_show_list","public_profile"],"granular_scopes":[{"scope":"pages_show_list","target_ids":["778"]}]}`,
		before["provider_user_id"], expires.Unix(), access.Unix()))()
	e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
	c := e.read("creds/" + installation)
	for field, want := range map[string]any{
		"access_token":           before["access_token"],
		"expires_at":             expires.Format(time.RFC3339),
		"data_access_expires_at": access.Format(time.RFC3339),
		"scopes":                 []string{"email", "pages_show_list", "public_profile"},
		"granular_scopes":        []map[string]any{{"scope": "pages_show_list", "target_ids": []string{"778"}}},
		"missing_scopes":         []string{"pages_manage_posts", "pages_read_engagement"},
	} {
		if diff := cmp.Diff(want, c[field]); diff != "" {
			t.Errorf("%s: %s", field, diff)
		}
	}
	// It expires earlier than was planned for: so it is refreshed earlier.
	if due, err := time.Parse(time.RFC3339, e.read("connections/" + installation)["next_due_at"].(string)); err != nil || !due.Before(expires) {
		t.Errorf("next due at %v, %v", due, err)
	}
}

// TestAnAnswerForAnotherAccountIsNotTakenIn has the provider mix two people up.
func TestAnAnswerForAnotherAccountIsNotTakenIn(t *testing.T) {
	for _, question := range []string{"refresh", "check"} {
		t.Run("at a "+question, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			before := e.read("creds/" + uma)
			e.clock.Advance(10 * day)
			clear := e.inspectedAs(fmt.Sprintf(`{"app_id":"123","type":"USER","is_valid":true,"user_id":"4711","expires_at":%d,"scopes":["email"]}`, e.clock.Now().Add(60*day).Unix()))
			text := e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/"+question, nil)
			if !strings.Contains(text, "another account") {
				t.Errorf("the error does not say why: %s", text)
			}
			clear()
			after := e.read("creds/" + uma)
			for _, field := range []string{"access_token", "provider_user_id", "expires_at"} {
				if before[field] != after[field] {
					t.Errorf("%s was %v, is %v", field, before[field], after[field])
				}
			}
			e.clock.Advance(time.Hour)
			e.must(logical.UpdateOperation, "connections/"+uma+"/"+question, nil)
		})
	}
}

func TestACheckBringsBackWhatWasTakenForDead(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Body: `{"data":{"is_valid":false,"error":{"code":190,"subcode":459,"message":"checkpoint"}}}`})
	e.refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.refused("needs_reauth", 409, logical.ReadOperation, "creds/"+uma, nil)
	c := e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	if c["status"] != "active" || c["last_error"] != nil || c["next_due_at"] == nil {
		t.Errorf("after a check the connection reads %v", c)
	}
	e.read("creds/" + uma)
	e.checkInvariants("after a recovery")
}

// TestTheEndOfDataAccessIsWarnedOf refreshes a person's token for longer than
// the provider lets the app have their data.
func TestTheEndOfDataAccessIsWarnedOf(t *testing.T) {
	e := both(t, authpipetest.Options{})
	until, err := time.Parse(time.RFC3339, e.read("creds/" + uma)["data_access_expires_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		resp, err := e.do(logical.ReadOperation, "creds/"+uma, nil)
		if over := !e.clock.Now().Before(until); err != nil || over != (len(resp.Warnings) == 1) {
			t.Errorf("at %v: %v, %v", e.clock.Now(), resp.Warnings, err)
		}
		e.clock.Advance(30 * day)
		e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	}
}
