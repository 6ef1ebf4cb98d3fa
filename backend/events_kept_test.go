package backend_test

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
)

// A node that was active before does not write over what was told since, whether
// or not it has heard of it.
func TestEventsOfAnotherNodeAreNotWrittenOver(t *testing.T) {
	for name, heard := range map[string]bool{"the node was told": true, "the word of it was lost": false} {
		t.Run(name, func(t *testing.T) { testEventsOfAnotherNode(t, heard) })
	}
}

func testEventsOfAnotherNode(t *testing.T, heard bool) {
	e := both(t, authpipetest.Options{})
	s := &system{}
	other := e.node(s)
	other.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	other.connect(udo, "udo", authpipetest.Consent{User: "udo"}) // other is active
	s.standby.Store(true)
	e.clock.Advance(time.Second)
	other.read("creds/" + uma)
	e.restart() // e is another node, and active now
	forget := func() { e.must(logical.DeleteOperation, "creds/"+udo, nil) }
	if heard {
		e.told2(other, forget)
	} else {
		forget()
		e.clock.Advance(time.Minute)
	}
	before, _ := e.events(0)
	s.standby.Store(false)
	e.clock.Advance(time.Second)
	other.connect(udo, "udo", authpipetest.Consent{User: "udo"})
	after, _ := other.events(0)
	if len(after) != len(before)+1 || !slices.Equal(after[:len(before)], before) {
		t.Errorf("what happened was %q and is %q", before, after)
	}
	e.restart()
}

func (e *engine) told2(other *engine, write func()) {
	e.storage.Reset()
	write()
	for _, op := range e.storage.Writes() {
		other.InvalidateKey(e.t.Context(), op.Key)
	}
}

// A warm read makes no storage call, whatever there is to tell of others.
func TestAWarmReadWritesNoEvents(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.read("creds/" + installation)
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "event/") {
			return storagetest.ErrStorage
		}
		return nil
	})
	e.must(logical.DeleteOperation, "creds/"+uma, nil) // and its event waits
	e.storage.Reset()
	e.read("creds/" + installation)
	if ops := e.storage.Operations(); len(ops) > 0 {
		t.Errorf("a read made the storage calls %v", ops)
	}
	e.sweep()
	if found, _ := e.events(0); found[len(found)-1] != "connection.deleted "+uma {
		t.Errorf("what happened is %q", found)
	}
}

// One page of events that does not open costs its own events only.
func TestAPageOfEventsThatDoesNotOpen(t *testing.T) {
	for _, broken := range []string{"event/000", "event/001"} {
		e := newEngine(t, authpipetest.Options{})
		e.install()
		for i := range 250 {
			e.suspend(i%2 == 0)
		}
		e.plant(broken, []byte("{"))
		found := 0
		after := any(0)
		for range 5 {
			answer, err := e.do(logical.ReadOperation, "events", map[string]any{"after": after, "limit": 1000})
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
func TestAForcedDeleteIsTold(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.plant("cred/"+uma, []byte{1, 2, 3})
	_, at := e.events(0)
	e.must(logical.DeleteOperation, "creds/"+uma, map[string]any{"force": true})
	at = e.happened(at, "connection.unrevoked "+uma, "connection.deleted "+uma)
	e.plant("cred/"+installation, []byte{1, 2, 3})
	e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
	e.after(2 * time.Minute)
	e.happened(at, "connection.unrevoked "+installation, "connection.deleted "+installation)
}

// What a sweep that is killed had to tell is told, but for a little.
func TestACrashInALongSweepLosesFewEvents(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(400)
	for i := range refs {
		e.fb.ChangePassword(fmt.Sprintf("person-%03d", i))
	}
	_, at := e.events(0)
	e.clock.Advance(day)
	// The process dies when all checks are stored, as the lot ends.
	var dead atomic.Bool
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "event/") {
			dead.Store(true)
		}
		if dead.Load() {
			return storagetest.ErrStorage
		}
		return nil
	})
	e.sweeps(t.Context())
	e.restart()
	known := len(e.health("needs_reauth", nil))
	found, _ := e.events(at)
	if known-len(found) > 250 {
		t.Errorf("%d are known to be dead, and %d events tell of it", known, len(found))
	}
}
