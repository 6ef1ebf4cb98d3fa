package upkeep_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// copied returns a copy of the storage as it is.
func copied(e *enginetest.Engine) logical.Storage {
	e.T.Helper()
	to := &logical.InmemStorage{}
	for _, key := range e.Storage.Under("") {
		entry, err := e.Storage.Storage.Get(e.T.Context(), key)
		if err != nil {
			e.T.Fatal(err)
		}
		if err := to.Put(e.T.Context(), entry); err != nil {
			e.T.Fatal(err)
		}
	}
	return to
}

// TestRestoredSnapshotCatchesUp goes back, at day 40, to the storage
// of day 0: its tokens live until day 60, and all that was due since is done.
func TestRestoredSnapshotCatchesUp(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "udo"})
	e.Read("creds/" + enginetest.Page777)
	refs := []string{enginetest.Installation, enginetest.Uma, enginetest.Udo, enginetest.Globex}
	snapshot, first := copied(e), e.Expiry(enginetest.Uma)
	for range 4 * 40 {
		e.After(6 * time.Hour)
	}
	for _, ref := range refs {
		e.Must(logical.UpdateOperation, "connections/"+ref+"/refresh", nil)
	}
	if !e.Expiry(enginetest.Uma).After(first) {
		t.Fatal("nothing was refreshed in 40 days")
	}

	e.Storage.Storage = snapshot
	e.Restart()
	if !e.Expiry(enginetest.Uma).Equal(first) {
		t.Fatal("the snapshot is not of day 0")
	}
	restored := e.Clock.Now()
	e.MustSweep()
	for _, ref := range append(refs, enginetest.Page777) {
		if e.Expiry(ref); e.Read("connections/" + ref)["status"] != "active" {
			t.Errorf("%s is %v", ref, e.Read("connections/" + ref)["status"])
		}
		if at := e.Read("connections/" + ref)["checked_at"]; at != restored.Format(time.RFC3339) {
			t.Errorf("%s was checked at %v and not since", ref, at)
		}
	}
	e.After(2 * time.Minute)
	checkDue(e, append(refs, enginetest.Page777))
	e.CheckInvariants("caught up")

	for range 4 * 35 {
		e.After(6 * time.Hour)
	}
	for _, ref := range refs {
		if left := e.Expiry(ref).Sub(e.Clock.Now()); left < 10*24*time.Hour {
			t.Errorf("35 days later the token of %s has %v left", ref, left)
		}
	}
}

// checkDue checks that each of refs is due once, in the future, and nothing
// else is left from the past.
func checkDue(e *enginetest.Engine, refs []string) {
	e.T.Helper()
	entries := map[string]int{}
	for _, key := range e.Storage.Under("due/") {
		part := strings.SplitN(key, ",", 3)
		entries[strings.ReplaceAll(part[2], ",", "/")]++
		if minute := strings.Split(key, "/")[1]; minute <= minuteName(e.Clock.Now()) {
			e.T.Errorf("stuck: %s", key)
		}
	}
	for _, ref := range refs {
		if entries[ref] != 1 {
			e.T.Errorf("%s is due %d times", ref, entries[ref])
		}
	}
}

// minuteName is how the due index writes the minute of t.
func minuteName(t time.Time) string { return fmt.Sprintf("%010d", t.Unix()/60) }

// TestShortIntervalChecksAllSoon is what operations.md says to do
// by an operator that cannot wait a day: naming the interval that is set already would bring
// no check forward.
func TestShortIntervalChecksAllSoon(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "10m"})
	for range 12 {
		e.After(time.Minute)
	}
	if status := e.Read("connections/" + enginetest.Uma)["status"]; status != "revoked" {
		t.Errorf("the person that took the grant away is %v", status)
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "24h"})
	e.After(time.Minute)
	e.After(11 * time.Minute)
	checked := e.Read("connections/" + enginetest.Installation)["checked_at"]
	for range 60 {
		e.After(time.Minute)
	}
	if at := e.Read("connections/" + enginetest.Installation)["checked_at"]; at != checked {
		t.Errorf("set back, it is checked at %v and at %v", checked, at)
	}
}
