package backend_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// warm returns what a read answers that may ask neither storage nor the
// provider.
func (e *engine) warm(ref string, data map[string]any) map[string]any {
	e.t.Helper()
	e.storage.Reset()
	n := e.fb.Count("")
	answer := e.must(logical.ReadOperation, "creds/"+ref, data)
	if ops := e.storage.Operations(); len(ops) > 0 || e.fb.Count("") != n {
		e.t.Errorf("a warm read of %s makes %v and %d calls", ref, ops, e.fb.Count("")-n)
	}
	return answer
}

func TestAWarmReadMakesNoStorageCall(t *testing.T) {
	e := both(t, authpipetest.Options{})
	const ada = "org_acme/facebook/users/ada"
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list"})
	e.connect(ada, "ada", authpipetest.Consent{User: "ada"})
	refs := []string{installation, uma, page777, ada + "/pages/778"}
	for _, ref := range refs {
		e.read("creds/" + ref)
	}
	for _, state := range []string{"written", "read"} {
		for _, ref := range refs {
			for _, data := range []map[string]any{nil, {"min_ttl": "24h"}} {
				if diff := cmp.Diff(e.read("creds/"+ref), e.warm(ref, data)); diff != "" {
					t.Errorf("%s, what was %s: %s", ref, state, diff)
				}
			}
			e.warm(ref, map[string]any{"proof": "now"})
		}
		e.restart()
	}
}

// TestAReadAfterAWriteIsRight does to uma's credential, while it is warm, what
// may be done to it, and reads again.
func TestAReadAfterAWriteIsRight(t *testing.T) {
	for name, row := range map[string]struct {
		write func(*engine)
		same  []string // of "access_token" and "appsecret_proof"
	}{
		"refreshed":       {write: func(e *engine) { e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) }},
		"connected again": {write: func(e *engine) { e.connect(uma, "uma", authpipetest.Consent{User: "uma"}) }},
		"connected by a new": {write: func(e *engine) {
			e.connect(uma, "uma", authpipetest.Consent{User: "udo"}, "allow_account_change", "true")
		}},
		"imported": {write: func(e *engine) {
			e.must(logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": e.obtained("uma")})
		}},
		"proved with another secret": {write: func(e *engine) {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret, "client_secret_overlap": 0})
		}, same: []string{"access_token"}},
		"proved with the secret that the provider accepted": {write: func(e *engine) {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
			e.fb.SetAppSecret(appID, newSecret)
			e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
		}, same: []string{"access_token"}},
		"checked": {write: func(e *engine) { e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil) }, same: []string{"access_token", "appsecret_proof"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			before := e.read("creds/" + uma)
			e.clock.Advance(20 * 24 * time.Hour)
			row.write(e)
			after := e.warm(uma, nil)
			for _, field := range []string{"access_token", "appsecret_proof"} {
				same := false
				for _, name := range row.same {
					same = same || name == field
				}
				if (before[field] == after[field]) != same {
					t.Errorf("%s goes from %v to %v", field, before[field], after[field])
				}
			}
			if diff := cmp.Diff(e.node(logicalSystem()).read("creds/"+uma), after); diff != "" {
				t.Errorf("another node reads otherwise: %s", diff)
			}
		})
	}
	for name, write := range map[string]func(*engine){
		"deleted": func(e *engine) { e.must(logical.DeleteOperation, "creds/"+uma, nil) },
		"deleted by another node": func(e *engine) {
			e.told(func(other *engine) { other.must(logical.DeleteOperation, "creds/"+uma, nil) })
		},
		"with its installation": func(e *engine) { e.must(logical.DeleteOperation, "creds/"+installation, nil) },
		"with it, by another node": func(e *engine) {
			e.told(func(other *engine) { other.must(logical.DeleteOperation, "creds/"+installation, nil) })
		},
		"and with it, in the sweep": func(e *engine) { e.must(logical.DeleteOperation, "creds/"+installation, nil); e.after(2 * time.Minute) },
	} {
		t.Run("gone: "+name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.read("creds/" + uma)
			write(e)
			e.refused("not_found", 404, logical.ReadOperation, "creds/"+uma, nil)
		})
	}
}

// told has another node write, and tells this one of every key as Vault does.
func (e *engine) told(write func(other *engine)) {
	e.t.Helper()
	other := e.node(logicalSystem())
	write(other)
	for _, op := range e.storage.Writes() {
		e.InvalidateKey(e.t.Context(), op.Key)
	}
}

func TestWhatAnotherNodeWroteIsServedAsSoonAsVaultTells(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.read("creds/" + page777)
	e.clock.Advance(20 * 24 * time.Hour)
	for name, write := range map[string]func(*engine){
		"the token": func(other *engine) { other.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) },
		"the secret": func(other *engine) {
			other.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
		},
		"the pages": func(other *engine) { other.must(logical.UpdateOperation, "connections/"+page777+"/refresh", nil) },
	} {
		e.told(write)
		other := e.node(logicalSystem())
		for _, ref := range []string{uma, page777} {
			if diff := cmp.Diff(other.read("creds/"+ref), e.read("creds/"+ref)); diff != "" {
				t.Errorf("%s was written, and %s reads: %s", name, ref, diff)
			}
		}
	}
}

func TestAStandbyThatNobodyTellsServesNothingOlderThanAMinute(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(20 * 24 * time.Hour)
	other := e.node(standby{})
	before := other.read("creds/" + uma)
	e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	if diff := cmp.Diff(before, other.warm(uma, nil)); diff != "" {
		t.Errorf("it remembers otherwise: %s", diff)
	}
	e.clock.Advance(time.Minute)
	if after := other.read("creds/" + uma); after["access_token"] == before["access_token"] {
		t.Error("a minute later it serves the old token")
	}
}

func TestAStandbyThatBecomesActiveForgets(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(20 * 24 * time.Hour)
	s := &system{}
	s.standby.Store(true)
	other := e.node(s)
	before := other.read("creds/" + uma)
	e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	s.standby.Store(false)
	e.clock.Advance(time.Second)
	if after := other.read("creds/" + uma); after["access_token"] == before["access_token"] {
		t.Error("the old token is served")
	}
	e.clock.Advance(20 * 24 * time.Hour)
	if got := other.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)["generation"]; got != uint64(3) {
		t.Errorf("generation is %v", got)
	}
	e.restart() // the one that was active before is gone
}
