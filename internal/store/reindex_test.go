package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// TestIndexedYieldsStatusEntriesInOrder plants hints of what is gone
// before, between and after the records.
func TestIndexedYieldsStatusEntriesInOrder(t *testing.T) {
	s, storage, _ := newStore()
	user := func(name string) tenant.Ref { return tenant.Ref{Tenant: "org", Provider: "facebook", User: name} }
	for _, name := range []string{"b", "d"} {
		c := credential()
		c.Status = store.Revoked
		put(t, s, user(name), c)
	}
	for _, key := range []string{"failed/org,facebook,users,a", "revoked/org,facebook,users,c", "failed/org,facebook,users,c", "failed/org,facebook,users,e", "failed/org-2,facebook,users,c", "failed/no ref"} {
		storage.Put(t.Context(), &logical.StorageEntry{Key: "status/" + key, Value: []byte{1}})
	}
	for after, want := range map[string]string{"": "a b c d e", user("b").String(): "c d e", user("c").String(): "d e", user("e").String(): ""} {
		var names []string
		for ref, err := range s.Credentials.Indexed(t.Context(), "org", after) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, ref.User)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("after %q come %q, want %q", after, got, want)
		}
	}
}

func TestRefsEndWhereStorageFails(t *testing.T) {
	s, storage, _ := newStore()
	put(t, s, uma, credential())
	storage.DieAt(5, false) // after the status index and the tenant's providers
	var errs []error
	for _, err := range s.Credentials.Indexed(t.Context(), "org_acme", "") {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] == nil {
		t.Errorf("it yields %v", errs)
	}
}

func TestReindexChangesOnlyTheDueEntry(t *testing.T) {
	s, storage, clock := newStore()
	with := credential()
	with.Formers = []store.Former{{AccessToken: oauth.NewSecret("EAABformer"), RevokeAt: clock.Now().Add(300 * 24 * time.Hour).UTC()}}
	before := put(t, s, uma, with)
	for _, prefix := range []string{"account/", "due/"} {
		keys, _ := storage.Keys(t.Context(), prefix)
		for _, key := range keys {
			storage.Delete(t.Context(), key)
		}
	}
	clock.Advance(time.Hour)
	if err := s.Credentials.Reindex(t.Context(), uma); err != nil {
		t.Fatal(err)
	}
	after, err := s.Credentials.Read(t.Context(), uma)
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := storage.Get(t.Context(), after.Due); entry == nil || err != nil {
		t.Errorf("the record names %s, which is not there: %v", after.Due, err)
	}
	// It is planned for the same minute as before, so the record is the same.
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the record was and is: %s", diff)
	}

	storage.Delete(t.Context(), after.Due)
	clock.Advance(30 * 24 * time.Hour)
	minutes(t, s) // pass its minute
	if err := s.Credentials.Reindex(t.Context(), uma); err != nil {
		t.Fatal(err)
	}
	late, err := s.Credentials.Read(t.Context(), uma)
	if err != nil || late.Due == after.Due {
		t.Errorf("after its minute it names %s, %v", late.Due, err)
	}
	after.Due = late.Due
	if diff := cmp.Diff(after, late); diff != "" {
		t.Errorf("the record was and is: %s", diff)
	}
	clock.Advance(2 * time.Minute)
	if found := minutes(t, s); !slices.ContainsFunc(found, func(s string) bool { return strings.HasSuffix(s, uma.Flat()) }) {
		t.Errorf("no sweep finds it: %v", found)
	}
}

func TestReindexDoesNotRestoreDeletedCredential(t *testing.T) {
	s, storage, clock := newStore()
	put(t, s, uma, credential())
	keys, _ := storage.Keys(t.Context(), "")
	for _, key := range keys {
		storage.Delete(t.Context(), key)
	}
	again := store.New(store.Options{Storage: storage, Now: clock.Now})
	if err := again.Credentials.Reindex(t.Context(), uma); err != nil {
		t.Error(err)
	}
	if keys, _ := storage.Keys(t.Context(), ""); len(keys) > 0 {
		t.Errorf("there are %v", keys)
	}
	if _, err := again.Tenants.UpdateScan(t.Context(), "org_acme", store.DueReindex, func(*store.Scan) (store.Scan, time.Time, error) {
		return store.Scan{}, noon, nil
	}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a walk of a tenant that is gone: %v", err)
	}
}

// minutes lists the ids of what is due as a sweep finds it that does nothing.
func minutes(t *testing.T, s *store.Store) (found []string) {
	t.Helper()
	minutes, first, last, err := s.Due.Minutes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for minute := first; minute <= last; minute++ {
		minutes = append(minutes, minute)
	}
	for _, minute := range minutes {
		entries, err := s.Due.Pass(t.Context(), minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range entries {
			found = append(found, d.ID)
		}
	}
	return found
}
