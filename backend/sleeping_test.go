package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// sleepers stores n credentials at which nothing is due for a hundred days.
func sleepers(e *enginetest.Engine, n int) {
	e.T.Helper()
	s := store.New(store.Options{Storage: e.Storage, Now: e.Clock.Now})
	pattern, err := s.Credentials.Read(e.T.Context(), tenant.Ref{Tenant: "org_acme", Provider: "facebook"})
	if err != nil {
		e.T.Fatal(err)
	}
	pattern.Due, pattern.NextRefresh, pattern.NextNotice = "", time.Time{}, time.Time{}
	for i := range n {
		c := pattern
		c.NextCheck = e.Clock.Now().Add(100*enginetest.Day + time.Duration(i)*time.Second)
		ref := tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: fmt.Sprint("sleeper-", i)}
		if _, err := s.Credentials.Update(e.T.Context(), ref, func(*store.Credential) (store.Credential, error) { return c, nil }); err != nil {
			e.T.Fatal(err)
		}
	}
}

// TestIdleCredentialsCostNothing counts the storage calls of a sweep, from tick to
// idle, on a mount that has had due work, over a day after a day: they are the
// same with many that sleep as with few.
func TestIdleCredentialsCostNothing(t *testing.T) {
	const few, many = 10, 1000
	most := map[int]int{}
	for _, n := range []int{few, many} {
		e := enginetest.New(t, authpipetest.Options{})
		e.Install()
		sleepers(e, n)
		e.Restart() // they were stored without an invalidation
		for range 24 {
			e.After(time.Hour)
		}
		e.After(2 * enginetest.Day) // the installation's check, and its next comes in more than half a day
		for range 12 * 60 {
			e.Clock.Advance(time.Minute)
			e.Storage.Reset()
			e.MustSweep()
			most[n] = max(most[n], len(e.Storage.Operations()))
		}
	}
	if most[few] != most[many] || most[many] > 3 {
		t.Errorf("the dearest sweep makes %d storage calls with %d that sleep, and %d with %d", most[few], few, most[many], many)
	}
}
