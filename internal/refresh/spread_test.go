package refresh_test

import (
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestRefreshesOfOneDayAreSpread connects people whose ids differ in their
// last two digits, as those of one import do.
func TestRefreshesOfOneDayAreSpread(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.Install()
	var due []time.Time
	for _, ref := range e.ConnectMany(100) {
		at, err := time.Parse(time.RFC3339, e.Read("connections/" + ref)["next_due_at"].(string))
		if err != nil {
			t.Fatal(err)
		}
		due = append(due, at)
	}
	slices.SortFunc(due, time.Time.Compare)
	// Between 50 and 80 % of 60 days are 18.
	if spread := due[len(due)-1].Sub(due[0]); spread < 12*24*time.Hour {
		t.Errorf("100 refreshes fall due within %v, from %v to %v", spread, due[0], due[len(due)-1])
	}
}
