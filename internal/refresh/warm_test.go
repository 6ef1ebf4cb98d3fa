package refresh_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestWarmReadMakesNoStorageCall(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const ada = "org_acme/facebook/users/ada"
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list"})
	e.Connect(ada, "ada", authpipetest.Consent{User: "ada"})
	refs := []string{enginetest.Installation, enginetest.Uma, enginetest.Page777, ada + "/pages/778"}
	for _, ref := range refs {
		e.Read("creds/" + ref)
	}
	for _, state := range []string{"written", "read"} {
		for _, ref := range refs {
			for _, data := range []map[string]any{nil, {"min_ttl": "24h"}} {
				if diff := cmp.Diff(e.Read("creds/"+ref), e.ReadWarm(ref, data)); diff != "" {
					t.Errorf("%s, what was %s: %s", ref, state, diff)
				}
			}
			e.ReadWarm(ref, map[string]any{"proof": "now"})
		}
		e.Restart()
	}
}

// TestReadAfterWriteIsCurrent does to uma's credential, while it is warm, what
// may be done to it, and reads again.
func TestReadAfterWriteIsCurrent(t *testing.T) {
	for name, row := range map[string]struct {
		write func(*enginetest.Engine)
		same  []string // of "access_token" and "appsecret_proof"
	}{
		"refreshed": {write: func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		}},
		"connected again": {write: func(e *enginetest.Engine) { e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}) }},
		"connected by a new": {write: func(e *enginetest.Engine) {
			e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "udo"}, "allow_account_change", "true")
		}},
		"imported": {write: func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": e.ObtainToken("uma")})
		}},
		"proved with another secret": {write: func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret, "client_secret_overlap": 0})
		}, same: []string{"access_token"}},
		"proved with the secret that the provider accepted": {write: func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
			e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
		}, same: []string{"access_token"}},
		"checked": {write: func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		}, same: []string{"access_token", "appsecret_proof"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			before := e.Read("creds/" + enginetest.Uma)
			e.Clock.Advance(20 * 24 * time.Hour)
			row.write(e)
			after := e.ReadWarm(enginetest.Uma, nil)
			for _, field := range []string{"access_token", "appsecret_proof"} {
				same := false
				for _, name := range row.same {
					same = same || name == field
				}
				if (before[field] == after[field]) != same {
					t.Errorf("%s goes from %v to %v", field, before[field], after[field])
				}
			}
			if diff := cmp.Diff(e.Node(enginetest.SystemView()).Read("creds/"+enginetest.Uma), after); diff != "" {
				t.Errorf("another node reads otherwise: %s", diff)
			}
		})
	}
	for name, write := range map[string]func(*enginetest.Engine){
		"deleted": func(e *enginetest.Engine) { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) },
		"deleted by another node": func(e *enginetest.Engine) {
			e.WrittenByOther(func(other *enginetest.Engine) { other.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) })
		},
		"with its installation": func(e *enginetest.Engine) { e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil) },
		"with it, by another node": func(e *enginetest.Engine) {
			e.WrittenByOther(func(other *enginetest.Engine) {
				other.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
			})
		},
		"and with it, in the sweep": func(e *enginetest.Engine) {
			e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
			e.After(2 * time.Minute)
		},
	} {
		t.Run("gone: "+name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Read("creds/" + enginetest.Uma)
			write(e)
			e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Uma, nil)
		})
	}
}

func TestWriteOfAnotherNodeIsServedOnInvalidation(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Read("creds/" + enginetest.Page777)
	e.Clock.Advance(20 * 24 * time.Hour)
	for name, write := range map[string]func(*enginetest.Engine){
		"the token": func(other *enginetest.Engine) {
			other.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		},
		"the secret": func(other *enginetest.Engine) {
			other.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
		},
		"the pages": func(other *enginetest.Engine) {
			other.Must(logical.UpdateOperation, "connections/"+enginetest.Page777+"/refresh", nil)
		},
	} {
		e.WrittenByOther(write)
		other := e.Node(enginetest.SystemView())
		for _, ref := range []string{enginetest.Uma, enginetest.Page777} {
			if diff := cmp.Diff(other.Read("creds/"+ref), e.Read("creds/"+ref)); diff != "" {
				t.Errorf("%s was written, and %s reads: %s", name, ref, diff)
			}
		}
	}
}

func TestStandbyCacheLastsAMinute(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(20 * 24 * time.Hour)
	other := e.Node(enginetest.Standby())
	before := other.Read("creds/" + enginetest.Uma)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	if diff := cmp.Diff(before, other.ReadWarm(enginetest.Uma, nil)); diff != "" {
		t.Errorf("it remembers otherwise: %s", diff)
	}
	e.Clock.Advance(time.Minute)
	if after := other.Read("creds/" + enginetest.Uma); after["access_token"] == before["access_token"] {
		t.Error("a minute later it serves the old token")
	}
}

func TestStandbyDropsCacheWhenActive(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(20 * 24 * time.Hour)
	s := &enginetest.System{}
	s.Standby.Store(true)
	other := e.Node(s)
	before := other.Read("creds/" + enginetest.Uma)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	s.Standby.Store(false)
	e.Clock.Advance(time.Second)
	if after := other.Read("creds/" + enginetest.Uma); after["access_token"] == before["access_token"] {
		t.Error("the old token is served")
	}
	e.Clock.Advance(20 * 24 * time.Hour)
	if got := other.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)["generation"]; got != uint64(3) {
		t.Errorf("generation is %v", got)
	}
	e.Restart() // the one that was active before is gone
}
