package tenant_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

func TestRotationAtSpreadsTenants(t *testing.T) {
	now := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	const period = 100 * 24 * time.Hour
	for n := range 200 {
		id := tenant.ID(fmt.Sprint("org_", n))
		if at := tenant.RotationAt(id, now, time.Time{}, period, now); at.Before(now.Add(period*9/10)) || at.After(now.Add(period)) {
			t.Errorf("a new key of %s is rotated at %v", id, at)
		}
		old := now.Add(-3 * period)
		at := tenant.RotationAt(id, old, time.Time{}, period, now)
		if at.Before(now) || at.After(now.Add(period)) {
			t.Errorf("an old key of %s is rotated at %v", id, at)
		}
		later := now.Add(time.Hour)
		if again := tenant.RotationAt(id, old, at, period, later); again.After(at) && at.After(later) {
			t.Errorf("a rotation planned at %v is deferred to %v", at, again)
		}
	}
}
