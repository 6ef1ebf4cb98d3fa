package backend_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// keyVersion is which key of org_acme seals.
func (e *engine) keyVersion() int {
	e.t.Helper()
	return e.read(acme)["key_version"].(int)
}

// nextRotation is when a tenant's key is rotated by itself; zero: it is not.
func (e *engine) nextRotation(path string) (at time.Time) {
	e.t.Helper()
	if text, ok := e.read(path)["next_rotation_at"].(string); ok {
		at, _ = time.Parse(time.RFC3339, text)
	}
	return at
}

func (e *engine) rotateEvery(period string) {
	e.t.Helper()
	e.must(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": period})
	e.after(2 * time.Minute) // the worker plans the rotations
}

func TestKeysAreRotatedByAge(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.rotateEvery("720h")
	begun := e.clock.Now()
	for period := 1; period <= 3; period++ {
		at := e.nextRotation(acme)
		if age := at.Sub(begun); age <= 26*day || age > 30*day {
			t.Fatalf("rotation %d is planned for a key of %v", period, age)
		}
		e.passes(at.Add(-time.Minute))
		if e.keyVersion() != period {
			t.Fatalf("before its time the key has version %d", e.keyVersion())
		}
		e.clock.Advance(2 * time.Minute)
		begun = e.clock.Now()
		e.sweep()
		if e.keyVersion() != period+1 {
			t.Fatalf("after %d periods the key has version %d", period, e.keyVersion())
		}
		e.rotated("by age")
	}
	e.rotateEvery("")
	if at := e.nextRotation(acme); !at.IsZero() || strings.Contains(fmt.Sprint(e.keys("due/")), "key-age") {
		t.Errorf("it is off, and the next is planned at %v", at)
	}
	e.passes(e.clock.Now().Add(40 * day))
	if e.keyVersion() != 4 {
		t.Errorf("it is off, and the key has version %d", e.keyVersion())
	}
}

func TestRotationByHandPutsTheNextOff(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.rotateEvery("720h")
	e.clock.Advance(20 * day)
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	if at := e.nextRotation(acme); at.Sub(e.clock.Now()) <= 26*day {
		t.Errorf("the next is planned in %v", at.Sub(e.clock.Now()))
	}
}

// TestRotationByHandAtItsTimeIsEnough: its plan may be what a crash has left.
func TestRotationByHandAtItsTimeIsEnough(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.rotateEvery("720h")
	at := e.nextRotation(acme)
	var plan string
	for _, key := range e.keys("due/") {
		if strings.Contains(key, "key-age,") {
			plan = key
		}
	}
	record := e.raw("tenant/org_acme")
	e.passes(at.Add(-time.Minute))
	e.must(logical.UpdateOperation, acme+"/rotate", nil)
	rotated := e.raw("tenant/org_acme")
	// As if the process had died before it planned the next one.
	if i := strings.Index(string(record), `"next_rotation"`); i >= 0 {
		former := string(record)[i:]
		former = former[:strings.Index(former, "}")+1]
		now := string(rotated)[strings.Index(string(rotated), `"next_rotation"`):]
		now = now[:strings.Index(now, "}")+1]
		e.plant("tenant/org_acme", []byte(strings.Replace(string(rotated), now, former, 1)))
		e.plant(plan, []byte{1})
		e.restart()
	}
	e.clock.Advance(2 * time.Minute)
	e.sweep()
	if v := e.keyVersion(); v != 2 {
		t.Errorf("the key has version %d", v)
	}
	if next := e.nextRotation(acme); next.Sub(e.clock.Now()) < 26*day {
		t.Errorf("the next is planned in %v", next.Sub(e.clock.Now()))
	}
}

// TestSettingThePeriodAgainPutsNothingOff: between the planned time and the sweep, and
// after an outage.
func TestSettingThePeriodAgainPutsNothingOff(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.rotateEvery("720h")
	e.passes(e.nextRotation(acme).Add(-time.Minute))
	e.clock.Advance(3 * day)
	e.must(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": "720h"})
	e.sweep()
	e.after(2 * time.Minute)
	if v := e.keyVersion(); v != 2 {
		t.Errorf("the key has version %d, and the next rotation is planned in %v", v, e.nextRotation(acme).Sub(e.clock.Now()))
	}
}

// TestSameSettingsCostNoWrites of tenants that are planned so already.
func TestSameSettingsCostNoWrites(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for i := range 30 {
		e.connect(fmt.Sprintf("org_%02d/facebook/installation", i), "boss", authpipetest.Consent{User: "ada"})
	}
	e.rotateEvery("720h")
	e.after(time.Hour) // sessions are reaped
	e.storage.Reset()
	e.rotateEvery("720h")
	puts := 0
	for _, op := range e.storage.Operations() {
		if op.Verb == "put" {
			puts++
		}
	}
	if puts > 3 {
		t.Errorf("it costs %d writes", puts)
	}
}

// TestTenantBornWhileThePeriodIsSetIsPlanned.
func TestTenantBornWhileThePeriodIsSetIsPlanned(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	reached, release := e.hold("put", "tenant/org_new")
	s := e.begin(newcomer, map[string]any{"actor": "admin"})
	code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
	var all sync.WaitGroup
	all.Go(func() {
		e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	})
	<-reached
	e.must(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": "24h"})
	e.after(2 * time.Minute)
	release()
	all.Wait()
	if at := e.nextRotation("tenants/org_new"); at.IsZero() {
		t.Error("no rotation is planned")
	}
}

func TestOldKeysAreRotatedOneAfterTheOther(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	const n = 40
	for i := range n {
		e.connect(fmt.Sprintf("org_%02d/facebook/installation", i), "boss", authpipetest.Consent{User: "ada"})
	}
	e.clock.Advance(100 * day)
	e.rotateEvery("240h")
	set, days := e.clock.Now(), map[time.Duration]int{}
	var plans []time.Time
	for i := range n {
		at := e.nextRotation(fmt.Sprintf("tenants/org_%02d", i))
		if at.Before(set) || at.After(set.Add(10*day)) {
			t.Errorf("org_%02d is planned in %v", i, at.Sub(set))
		}
		days[at.Sub(set).Truncate(day)]++
		plans = append(plans, at)
	}
	for d, planned := range days {
		if planned > n/4 {
			t.Errorf("%d of %d are planned %v from now", planned, n, d)
		}
	}
	// Who sets the same period each day puts nothing off.
	e.clock.Advance(time.Minute)
	e.rotateEvery("240h")
	for i, before := range plans {
		if at := e.nextRotation(fmt.Sprintf("tenants/org_%02d", i)); at.After(before) {
			t.Errorf("org_%02d was planned at %v, and is now at %v", i, before, at)
		}
	}
	e.connect(newcomer, "boss", authpipetest.Consent{User: "ada"})
	if age := e.nextRotation("tenants/org_new").Sub(e.clock.Now()); age < 9*day || age > 10*day {
		t.Errorf("the key of a new tenant is rotated when it is %v old", age)
	}
}

func TestKeyRotationPeriodIsChecked(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for _, period := range []any{"23h", -1, "1s", "90000h", "soon"} {
		e.refused("invalid_request", 400, logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": period})
	}
	e.rotateEvery("24h")
	if got := e.read("settings")["key_rotation_period"]; got != int64(86400) {
		t.Errorf("it reads %v", got)
	}
	e.must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"})
	if got := e.read("settings")["key_rotation_period"]; got != int64(86400) {
		t.Errorf("after a write that does not name it, it reads %v", got)
	}
}

func TestPlannedRotationGoesWithItsTenant(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.rotateEvery("720h")
	e.must(logical.DeleteOperation, acme, nil)
	e.settled()
	e.deleted("with a rotation planned")
}

func TestLostPlanOfARotationIsMended(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.rotateEvery("720h")
	for _, key := range e.keys("due/") {
		if strings.Contains(key, "key-age") {
			e.remove(key)
		}
	}
	e.must(logical.UpdateOperation, acme+"/reindex", nil)
	e.passes(e.clock.Now().Add(31 * day))
	if e.keyVersion() != 2 {
		t.Errorf("the key has version %d", e.keyVersion())
	}
}

// TestRotationByAgeMayDieAtAnyStorageOperation kills the engine while it plans, and
// while it begins what was planned.
func TestRotationByAgeMayDieAtAnyStorageOperation(t *testing.T) {
	for step, acts := range map[string][2]func(e *engine){
		"plan": {func(*engine) {}, func(e *engine) {
			e.do(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": "240h"})
		}},
		"begin": {func(e *engine) {
			e.rotateEvery("240h")
			e.passes(e.nextRotation(acme).Add(-time.Minute))
			e.clock.Advance(2 * time.Minute)
		}, func(e *engine) { e.Sweep(context.Background()) }},
		"first credential": {func(e *engine) {
			e.rotateEvery("240h")
			e.must(logical.DeleteOperation, acme, nil)
			e.settled()
		}, func(e *engine) {
			e.do(logical.UpdateOperation, "creds/"+stripe, map[string]any{"api_key": apiKey})
		}},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			for c := range eachCrash() {
				e := both(t, authpipetest.Options{})
				acts[0](e)
				e.storage.DieAt(c.operation, c.afterEffect)
				acts[1](e)
				if c.misses(e) {
					continue
				}
				e.restart()
				e.rotateEvery("240h") // as whoever got no answer does
				e.deposit(stripe, "api_key", apiKey)
				e.after(10 * time.Minute)
				if e.keyVersion() == 1 {
					e.passes(e.nextRotation(acme).Add(2 * time.Minute))
				}
				if v := e.keyVersion(); v != 2 {
					t.Errorf("%s: within a period the key comes to version %d", c, v)
				}
				if plans := strings.Count(fmt.Sprint(e.keys("due/")), ",key-age,org_acme"); plans != 1 {
					t.Errorf("%s: %d rotations are planned", c, plans)
				}
			}
		})
	}
}
