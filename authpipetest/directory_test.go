package authpipetest_test

import (
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestScopedIDDiffersByApp(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	ada, again, elsewhere := w.ScopedID(appID, "ada"), w.ScopedID(appID, "ada"), w.ScopedID("456", "ada")
	if ada != again || ada == elsewhere || ada == w.ScopedID(appID, "uma") {
		t.Errorf("ids %s, %s, %s", ada, again, elsewhere)
	}
	if len(ada) != 17 {
		t.Errorf("id %s does not have 17 digits", ada)
	}
}
