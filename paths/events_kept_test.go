package paths_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A node that was active before does not overwrite later events, whether
// or not it got the invalidation.
func TestEventsOfAnotherNodeAreNotOverwritten(t *testing.T) {
	for name, invalidated := range map[string]bool{"its keys were invalidated": true, "the invalidation was lost": false} {
		t.Run(name, func(t *testing.T) { testEventsOfAnotherNode(t, invalidated) })
	}
}

func testEventsOfAnotherNode(t *testing.T, invalidated bool) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := &enginetest.System{}
	other := e.Node(s)
	other.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	other.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"}) // other is active
	s.Standby.Store(true)
	e.Clock.Advance(time.Second)
	other.Read("creds/" + enginetest.Uma)
	e.Restart() // e is another node, and active now
	forget := func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Udo, nil) }
	if invalidated {
		e.PassWrites(other, forget)
	} else {
		forget()
		e.Clock.Advance(time.Minute)
	}
	before, _ := e.Events(0)
	s.Standby.Store(false)
	e.Clock.Advance(time.Second)
	other.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	after, _ := other.Events(0)
	if len(after) != len(before)+1 || !slices.Equal(after[:len(before)], before) {
		t.Errorf("what happened was %q and is %q", before, after)
	}
	e.Restart()
}

// A warm read makes no storage call, whatever events are pending.
func TestWarmReadWritesNoEvents(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Read("creds/" + enginetest.Installation)
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "event/") {
			return storagetest.ErrStorage
		}
		return nil
	})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) // and its event waits
	e.Storage.Reset()
	e.Read("creds/" + enginetest.Installation)
	if ops := e.Storage.Operations(); len(ops) > 0 {
		t.Errorf("a read made the storage calls %v", ops)
	}
	e.MustSweep()
	if found, _ := e.Events(0); found[len(found)-1] != "connection.deleted "+enginetest.Uma {
		t.Errorf("what happened is %q", found)
	}
}

// One page of events that does not open costs its own events only.
func TestUnreadableEventsDoNotHideOthers(t *testing.T) {
	for _, broken := range []string{"event/000", "event/001"} {
		e := enginetest.New(t, authpipetest.Options{})
		e.Install()
		for i := range 250 {
			e.Tenant.Suspend(i%2 == 0)
		}
		e.Plant(broken, []byte("{"))
		found := 0
		after := any(0)
		for range 5 {
			answer, err := e.Do(logical.ReadOperation, "events", map[string]any{"after": after, "limit": 1000})
			if err != nil {
				t.Errorf("%s: %v", broken, err)
				break
			}
			found += len(answer.Data["events"].([]map[string]any))
			after = answer.Data["after"]
		}
		if found < 151 {
			t.Errorf("%s is broken, and only %d events can be read", broken, found)
		}
	}
}

// What is forgotten by force has been deleted.
func TestForcedDeleteRecordsEvents(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Plant("cred/"+enginetest.Uma, []byte{1, 2, 3})
	_, at := e.Events(0)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, map[string]any{"force": true})
	at = e.CheckEvents(at, "connection.unrevoked "+enginetest.Uma, "connection.deleted "+enginetest.Uma)
	e.Plant("cred/"+enginetest.Installation, []byte{1, 2, 3})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
	e.After(2 * time.Minute)
	e.CheckEvents(at, "connection.unrevoked "+enginetest.Installation, "connection.deleted "+enginetest.Installation)
}

// The events of a sweep that is killed are written, but for a few.
func TestCrashInLongSweepLosesFewEvents(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(400)
	for i := range refs {
		e.Facebook.ChangePassword(fmt.Sprintf("person-%03d", i))
	}
	_, at := e.Events(0)
	e.Clock.Advance(enginetest.Day)
	// The process dies when all checks are stored, as the batch ends.
	var dead atomic.Bool
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "event/") {
			dead.Store(true)
		}
		if dead.Load() {
			return storagetest.ErrStorage
		}
		return nil
	})
	e.SweepRecovering(t.Context())
	e.Restart()
	known := len(health(e, "needs_reauth", nil))
	found, _ := e.Events(at)
	if known-len(found) > 250 {
		t.Errorf("%d are known to be dead, and %d events tell of it", known, len(found))
	}
}
