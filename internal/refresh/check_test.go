package refresh_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestCheckStoresInspection has debug_token say other things about the
// token than it did when that was obtained.
func TestCheckStoresInspection(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	before := e.Read("creds/" + enginetest.Installation)
	expires, access := e.Clock.Now().Add(10*enginetest.Day), e.Clock.Now().Add(20*enginetest.Day)
	defer e.Facebook.InspectAs(fmt.Sprintf(`{"app_id":"123","type":"USER","is_valid":true,"user_id":"%s","expires_at":%d,"data_access_expires_at":%d,
		"scopes":["email","pages_show_list","public_profile"],"granular_scopes":[{"scope":"pages_show_list","target_ids":["778"]}]}`,
		before["provider_user_id"], expires.Unix(), access.Unix()))()
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	c := e.Read("creds/" + enginetest.Installation)
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
	if due, err := time.Parse(time.RFC3339, e.Read("connections/" + enginetest.Installation)["next_due_at"].(string)); err != nil || !due.Before(expires) {
		t.Errorf("next due at %v, %v", due, err)
	}
}

// TestAnswerForAnotherAccountIsRefused has the provider mix two people up.
func TestAnswerForAnotherAccountIsRefused(t *testing.T) {
	for _, question := range []string{"refresh", "check"} {
		t.Run("at a "+question, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			before := e.Read("creds/" + enginetest.Uma)
			e.Clock.Advance(10 * enginetest.Day)
			clear := e.Facebook.InspectAs(fmt.Sprintf(`{"app_id":"123","type":"USER","is_valid":true,"user_id":"4711","expires_at":%d,"scopes":["email"]}`, e.Clock.Now().Add(60*enginetest.Day).Unix()))
			text := e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/"+question, nil)
			if !strings.Contains(text, "another account") {
				t.Errorf("the error does not say why: %s", text)
			}
			clear()
			after := e.Read("creds/" + enginetest.Uma)
			for _, field := range []string{"access_token", "provider_user_id", "expires_at"} {
				if before[field] != after[field] {
					t.Errorf("%s was %v, is %v", field, before[field], after[field])
				}
			}
			e.Clock.Advance(time.Hour)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/"+question, nil)
		})
	}
}

func TestCheckRestoresCredential(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Body: `{"data":{"is_valid":false,"error":{"code":190,"subcode":459,"message":"checkpoint"}}}`})
	e.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Refused("needs_reauth", 409, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	c := e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	if c["status"] != "active" || c["last_error"] != nil || c["next_due_at"] == nil {
		t.Errorf("after a check the connection reads %v", c)
	}
	e.Read("creds/" + enginetest.Uma)
	e.CheckInvariants("after a recovery")
}

// TestEndOfDataAccessWarns refreshes a person's token for longer than
// the provider lets the app have their data.
func TestEndOfDataAccessWarns(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	until, err := time.Parse(time.RFC3339, e.Read("creds/" + enginetest.Uma)["data_access_expires_at"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil)
		if over := !e.Clock.Now().Before(until); err != nil || over != (len(resp.Warnings) == 1) {
			t.Errorf("at %v: %v, %v", e.Clock.Now(), resp.Warnings, err)
		}
		e.Clock.Advance(30 * enginetest.Day)
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	}
}
