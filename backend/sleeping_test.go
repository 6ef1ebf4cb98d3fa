package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// sleepers stores n credentials at which nothing is due for a hundred days.
func (e *engine) sleepers(n int) {
	e.t.Helper()
	s := store.New(store.Options{Storage: e.storage, Now: e.clock.Now})
	pattern, err := s.Credentials.Read(e.t.Context(), tenant.Ref{Tenant: "org_acme", Provider: "facebook"})
	if err != nil {
		e.t.Fatal(err)
	}
	pattern.Due, pattern.NextRefresh, pattern.NextNotice = "", time.Time{}, time.Time{}
	for i := range n {
		c := pattern
		c.NextCheck = e.clock.Now().Add(100*day + time.Duration(i)*time.Second)
		ref := tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: fmt.Sprint("sleeper-", i)}
		if _, err := s.Credentials.Update(e.t.Context(), ref, func(*store.Credential) (store.Credential, error) { return c, nil }); err != nil {
			e.t.Fatal(err)
		}
	}
}

// TestWhatSleepsCostsNothing counts the storage calls of a sweep, from tick to
// idle, on a mount that has had due work, over a day after a day: they are the
// same with many that sleep as with few.
func TestWhatSleepsCostsNothing(t *testing.T) {
	const few, many = 10, 1000
	most := map[int]int{}
	for _, n := range []int{few, many} {
		e := newEngine(t, authpipetest.Options{})
		e.install()
		e.sleepers(n)
		e.restart() // who put them there told nobody
		for range 24 {
			e.after(time.Hour)
		}
		e.after(2 * day) // the installation's check, and its next comes in more than half a day
		for range 12 * 60 {
			e.clock.Advance(time.Minute)
			e.storage.Reset()
			e.sweep()
			most[n] = max(most[n], len(e.storage.Operations()))
		}
	}
	if most[few] != most[many] || most[many] > 3 {
		t.Errorf("the dearest sweep makes %d storage calls with %d that sleep, and %d with %d", most[few], few, most[many], many)
	}
}
