package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// copied returns a copy of the storage as it is.
func (e *engine) copied() *storagetest.Storage {
	e.t.Helper()
	to := storagetest.New()
	for _, key := range e.keys("") {
		entry, err := e.storage.Storage.Get(e.t.Context(), key)
		if err != nil {
			e.t.Fatal(err)
		}
		if err := to.Put(e.t.Context(), entry); err != nil {
			e.t.Fatal(err)
		}
	}
	return to
}

// TestARestoredSnapshotCatchesUpByItself goes back, at day 40, to the storage
// of day 0: its tokens live until day 60, and all that was due since is done.
func TestARestoredSnapshotCatchesUpByItself(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
	e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "udo"})
	e.read("creds/" + page777)
	refs := []string{installation, uma, udo, globex}
	snapshot, first := e.copied(), e.expiry(uma)
	for range 4 * 40 {
		e.after(6 * time.Hour)
	}
	for _, ref := range refs {
		e.must(logical.UpdateOperation, "connections/"+ref+"/refresh", nil)
	}
	if !e.expiry(uma).After(first) {
		t.Fatal("nothing was refreshed in 40 days")
	}

	e.storage = snapshot
	e.restart()
	if !e.expiry(uma).Equal(first) {
		t.Fatal("the snapshot is not of day 0")
	}
	restored := e.clock.Now()
	e.sweep()
	for _, ref := range append(refs, page777) {
		if e.expiry(ref); e.read("connections/" + ref)["status"] != "active" {
			t.Errorf("%s is %v", ref, e.read("connections/" + ref)["status"])
		}
		if at := e.read("connections/" + ref)["checked_at"]; at != restored.Format(time.RFC3339) {
			t.Errorf("%s was checked at %v and not since", ref, at)
		}
	}
	e.after(2 * time.Minute)
	e.checkDue(append(refs, page777))
	e.checkInvariants("caught up")

	for range 4 * 35 {
		e.after(6 * time.Hour)
	}
	for _, ref := range refs {
		if left := e.expiry(ref).Sub(e.clock.Now()); left < 10*24*time.Hour {
			t.Errorf("35 days later the token of %s has %v left", ref, left)
		}
	}
}

// checkDue checks that each of refs is due once, in the future, and nothing
// else is left from the past.
func (e *engine) checkDue(refs []string) {
	e.t.Helper()
	entries := map[string]int{}
	for _, key := range e.keys("due/") {
		part := strings.SplitN(key, ",", 3)
		entries[strings.ReplaceAll(part[2], ",", "/")]++
		if minute := strings.Split(key, "/")[1]; minute <= minuteName(e.clock.Now()) {
			e.t.Errorf("stuck: %s", key)
		}
	}
	for _, ref := range refs {
		if entries[ref] != 1 {
			e.t.Errorf("%s is due %d times", ref, entries[ref])
		}
	}
}

// minuteName is how the due index writes the minute of t.
func minuteName(t time.Time) string { return fmt.Sprintf("%010d", t.Unix()/60) }

// TestAllAreCheckedSoonWhenTheIntervalIsShort is what operations.md says to do
// by who cannot wait a day: naming the interval that is set already would bring
// no check forward.
func TestAllAreCheckedSoonWhenTheIntervalIsShort(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.RemoveApp(appID, "uma")
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "10m"})
	for range 12 {
		e.after(time.Minute)
	}
	if status := e.read("connections/" + uma)["status"]; status != "revoked" {
		t.Errorf("who took the grant away is %v", status)
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "24h"})
	e.after(time.Minute)
	e.after(11 * time.Minute)
	checked := e.read("connections/" + installation)["checked_at"]
	for range 60 {
		e.after(time.Minute)
	}
	if at := e.read("connections/" + installation)["checked_at"]; at != checked {
		t.Errorf("set back, it is checked at %v and at %v", checked, at)
	}
}
