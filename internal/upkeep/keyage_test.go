package upkeep_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// keyVersion is which key of org_acme seals.
func keyVersion(e *enginetest.Engine) int {
	e.T.Helper()
	return e.Read(enginetest.Acme)["key_version"].(int)
}

// nextRotation is when a tenant's key is rotated by itself; zero: it is not.
func nextRotation(e *enginetest.Engine, path string) (at time.Time) {
	e.T.Helper()
	if text, ok := e.Read(path)["next_rotation_at"].(string); ok {
		at, _ = time.Parse(time.RFC3339, text)
	}
	return at
}

func rotateEvery(e *enginetest.Engine, period string) {
	e.T.Helper()
	e.Must(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": period})
	e.After(2 * time.Minute) // the worker plans the rotations
}

func TestKeysAreRotatedByAge(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	rotateEvery(e, "720h")
	begun := e.Clock.Now()
	for period := 1; period <= 3; period++ {
		at := nextRotation(e, enginetest.Acme)
		if age := at.Sub(begun); age <= 26*enginetest.Day || age > 30*enginetest.Day {
			t.Fatalf("rotation %d is planned for a key of %v", period, age)
		}
		e.SweepUntil(at.Add(-time.Minute))
		if keyVersion(e) != period {
			t.Fatalf("before its time the key has version %d", keyVersion(e))
		}
		e.Clock.Advance(2 * time.Minute)
		begun = e.Clock.Now()
		e.MustSweep()
		if keyVersion(e) != period+1 {
			t.Fatalf("after %d periods the key has version %d", period, keyVersion(e))
		}
		e.Tenant.FinishRotation("by age")
	}
	rotateEvery(e, "")
	if at := nextRotation(e, enginetest.Acme); !at.IsZero() || strings.Contains(fmt.Sprint(e.Storage.Under("due/")), "key-age") {
		t.Errorf("it is off, and the next is planned at %v", at)
	}
	e.SweepUntil(e.Clock.Now().Add(40 * enginetest.Day))
	if keyVersion(e) != 4 {
		t.Errorf("it is off, and the key has version %d", keyVersion(e))
	}
}

func TestManualRotationPostponesNext(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	rotateEvery(e, "720h")
	e.Clock.Advance(20 * enginetest.Day)
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	if at := nextRotation(e, enginetest.Acme); at.Sub(e.Clock.Now()) <= 26*enginetest.Day {
		t.Errorf("the next is planned in %v", at.Sub(e.Clock.Now()))
	}
}

// TestManualRotationAtDueTimeReplacesIt: its plan may be what a crash has left.
func TestManualRotationAtDueTimeReplacesIt(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	rotateEvery(e, "720h")
	at := nextRotation(e, enginetest.Acme)
	var plan string
	for _, key := range e.Storage.Under("due/") {
		if strings.Contains(key, "key-age,") {
			plan = key
		}
	}
	record := e.Storage.Raw("tenant/org_acme")
	e.SweepUntil(at.Add(-time.Minute))
	e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)
	rotated := e.Storage.Raw("tenant/org_acme")
	// As if the process had died before it planned the next one.
	if i := strings.Index(string(record), `"next_rotation"`); i >= 0 {
		former := string(record)[i:]
		former = former[:strings.Index(former, "}")+1]
		now := string(rotated)[strings.Index(string(rotated), `"next_rotation"`):]
		now = now[:strings.Index(now, "}")+1]
		e.Plant("tenant/org_acme", []byte(strings.Replace(string(rotated), now, former, 1)))
		e.Plant(plan, []byte{1})
		e.Restart()
	}
	e.Clock.Advance(2 * time.Minute)
	e.MustSweep()
	if v := keyVersion(e); v != 2 {
		t.Errorf("the key has version %d", v)
	}
	if next := nextRotation(e, enginetest.Acme); next.Sub(e.Clock.Now()) < 26*enginetest.Day {
		t.Errorf("the next is planned in %v", next.Sub(e.Clock.Now()))
	}
}

// TestSettingSamePeriodPostponesNothing: between the planned time and the sweep, and
// after an outage.
func TestSettingSamePeriodPostponesNothing(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	rotateEvery(e, "720h")
	e.SweepUntil(nextRotation(e, enginetest.Acme).Add(-time.Minute))
	e.Clock.Advance(3 * enginetest.Day)
	e.Must(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": "720h"})
	e.MustSweep()
	e.After(2 * time.Minute)
	if v := keyVersion(e); v != 2 {
		t.Errorf("the key has version %d, and the next rotation is planned in %v", v, nextRotation(e, enginetest.Acme).Sub(e.Clock.Now()))
	}
}

// TestSameSettingsWriteNothing: the tenants are planned so already.
func TestSameSettingsWriteNothing(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for i := range 30 {
		e.Connect(fmt.Sprintf("org_%02d/facebook/installation", i), "boss", authpipetest.Consent{User: "ada"})
	}
	rotateEvery(e, "720h")
	e.After(time.Hour) // sessions are reaped
	e.Storage.Reset()
	rotateEvery(e, "720h")
	puts := 0
	for _, op := range e.Storage.Operations() {
		if op.Verb == "put" {
			puts++
		}
	}
	if puts > 3 {
		t.Errorf("it costs %d writes", puts)
	}
}

// TestNewTenantIsPlannedForRotation.
func TestNewTenantIsPlannedForRotation(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	reached, release := e.Storage.Hold("put", "tenant/org_new")
	s := e.Begin(enginetest.Newcomer, map[string]any{"actor": "admin"})
	code := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"})).ConnectCode(t)
	var all sync.WaitGroup
	all.Go(func() {
		e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
	})
	<-reached
	e.Must(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": "24h"})
	e.After(2 * time.Minute)
	release()
	all.Wait()
	if at := nextRotation(e, "tenants/org_new"); at.IsZero() {
		t.Error("no rotation is planned")
	}
}

func TestOldKeysAreRotatedOneAtATime(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	const n = 40
	for i := range n {
		e.Connect(fmt.Sprintf("org_%02d/facebook/installation", i), "boss", authpipetest.Consent{User: "ada"})
	}
	e.Clock.Advance(100 * enginetest.Day)
	rotateEvery(e, "240h")
	set, days := e.Clock.Now(), map[time.Duration]int{}
	var plans []time.Time
	for i := range n {
		at := nextRotation(e, fmt.Sprintf("tenants/org_%02d", i))
		if at.Before(set) || at.After(set.Add(10*enginetest.Day)) {
			t.Errorf("org_%02d is planned in %v", i, at.Sub(set))
		}
		days[at.Sub(set).Truncate(enginetest.Day)]++
		plans = append(plans, at)
	}
	for d, planned := range days {
		if planned > n/4 {
			t.Errorf("%d of %d are planned %v from now", planned, n, d)
		}
	}
	// Setting the same period each day postpones nothing.
	e.Clock.Advance(time.Minute)
	rotateEvery(e, "240h")
	for i, before := range plans {
		if at := nextRotation(e, fmt.Sprintf("tenants/org_%02d", i)); at.After(before) {
			t.Errorf("org_%02d was planned at %v, and is now at %v", i, before, at)
		}
	}
	e.Connect(enginetest.Newcomer, "boss", authpipetest.Consent{User: "ada"})
	if age := nextRotation(e, "tenants/org_new").Sub(e.Clock.Now()); age < 9*enginetest.Day || age > 10*enginetest.Day {
		t.Errorf("the key of a new tenant is rotated when it is %v old", age)
	}
}

func TestKeyRotationPeriodIsChecked(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, period := range []any{"23h", -1, "1s", "90000h", "soon"} {
		e.Refused("invalid_request", 400, logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": period})
	}
	rotateEvery(e, "24h")
	if got := e.Read("settings")["key_rotation_period"]; got != int64(86400) {
		t.Errorf("it reads %v", got)
	}
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"})
	if got := e.Read("settings")["key_rotation_period"]; got != int64(86400) {
		t.Errorf("after a write that does not name it, it reads %v", got)
	}
}

func TestPlannedRotationIsDeletedWithTenant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	rotateEvery(e, "720h")
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	e.FinishRemoval()
	e.Tenant.CheckDeleted("with a rotation planned")
}

func TestLostRotationPlanIsRestored(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	rotateEvery(e, "720h")
	for _, key := range e.Storage.Under("due/") {
		if strings.Contains(key, "key-age") {
			e.Storage.Remove(key)
		}
	}
	e.Must(logical.UpdateOperation, enginetest.Acme+"/reindex", nil)
	e.SweepUntil(e.Clock.Now().Add(31 * enginetest.Day))
	if keyVersion(e) != 2 {
		t.Errorf("the key has version %d", keyVersion(e))
	}
}

// TestRotationByAgeSurvivesCrash kills the engine while it plans, and
// while it begins what was planned.
func TestRotationByAgeSurvivesCrash(t *testing.T) {
	for name, step := range map[string]struct {
		before func(*enginetest.Engine)
		act    func(*enginetest.Engine) error
	}{
		"plan": {func(*enginetest.Engine) {}, func(e *enginetest.Engine) error {
			return e.Try(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": "240h"})
		}},
		"begin": {func(e *enginetest.Engine) {
			rotateEvery(e, "240h")
			e.SweepUntil(nextRotation(e, enginetest.Acme).Add(-time.Minute))
			e.Clock.Advance(2 * time.Minute)
		}, (*enginetest.Engine).TrySweep},
		"first credential": {func(e *enginetest.Engine) {
			rotateEvery(e, "240h")
			e.Must(logical.DeleteOperation, enginetest.Acme, nil)
			e.FinishRemoval()
		}, func(e *enginetest.Engine) error {
			return e.Try(logical.UpdateOperation, "creds/"+enginetest.StaticStripe, map[string]any{"credential": enginetest.APIKey, "credential_type": "api_key"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			setup := func() *enginetest.Engine {
				e := enginetest.Connected(t, authpipetest.Options{})
				step.before(e)
				return e
			}
			enginetest.EachCrash(setup, step.act, func(e *enginetest.Engine, f enginetest.Failure) {
				rotateEvery(e, "240h") // as a caller does that got no answer
				e.WriteStatic(enginetest.StaticStripe, "api_key", enginetest.APIKey)
				e.After(10 * time.Minute)
				if keyVersion(e) == 1 {
					e.SweepUntil(nextRotation(e, enginetest.Acme).Add(2 * time.Minute))
				}
				if v := keyVersion(e); v != 2 {
					t.Errorf("%s: within a period the key comes to version %d", f, v)
				}
				if plans := strings.Count(fmt.Sprint(e.Storage.Under("due/")), ",key-age,org_acme"); plans != 1 {
					t.Errorf("%s: %d rotations are planned", f, plans)
				}
			})
		})
	}
}
