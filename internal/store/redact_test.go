package store_test

import (
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// TestDeleteEntriesContinuesWhereItStopped looks at one directory at a time.
func TestDeleteEntriesContinuesWhereItStopped(t *testing.T) {
	s, storage, _ := newStore()
	for _, id := range []tenant.ID{"org_a", "org_ab", "org_b"} {
		for _, user := range []string{"uma", "udo", "ada"} {
			c := credential()
			c.Token.Account, c.NextCheck = string(id)+user, noon.AddDate(0, 0, len(user))
			ref := tenant.Ref{Tenant: id, Provider: "facebook", User: user}
			if _, err := s.Credentials.Update(t.Context(), ref, func(*store.Credential) (store.Credential, error) { return c, nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	hints := func(id string) (n int) {
		keys, err := storage.Keys(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if (strings.HasPrefix(key, "account/") || strings.HasPrefix(key, "due/")) && strings.Contains(key, id+",") {
				n++
			}
		}
		return n
	}
	if hints("org_a") != 6 {
		t.Fatalf("it begins with %d", hints("org_a"))
	}
	last, slices := "", 0
	for through := false; !through; slices++ {
		left := 1
		more := func() bool { left--; return left >= 0 }
		var err error
		if last, through, err = s.Removals.DeleteEntries(t.Context(), "org_a", last, more); err != nil || slices > 100 {
			t.Fatal(err, last)
		}
	}
	if hints("org_a") != 0 || hints("org_ab") != 6 || hints("org_b") != 6 || slices < 10 {
		t.Errorf("after %d slices %d are left, and %d and %d of others", slices, hints("org_a"), hints("org_ab"), hints("org_b"))
	}
	if last, through, err := s.Removals.DeleteEntries(t.Context(), "org_ab", "", func() bool { return false }); last != "" || through || err != nil {
		t.Errorf("without time it comes to %q, through: %v, %v", last, through, err)
	}
}
