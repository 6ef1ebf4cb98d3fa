package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// TestRefsContinueAfterAnyRef walks a tenant whose names sort otherwise than their
// parts do, and begins again after each ref, and between them.
func TestRefsContinueAfterAnyRef(t *testing.T) {
	s, storage, _ := newStore()
	ordered := []string{
		"org/facebook/installation", "org/facebook/pages/777",
		"org/facebook/users/uma", "org/facebook/users/uma-x", "org/facebook/users/uma-x/pages/1",
		"org/facebook/users/uma.x", "org/facebook/users/uma/pages/1", "org/facebook/users/uma/pages/2", "org/facebook/users/uma0",
		"org/google-x/installation", "org/google/installation",
	}
	for _, name := range append([]string{"org-2/facebook/installation", "or/facebook/users/z"}, ordered...) {
		ref, err := tenant.ParseRef(name)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, ref, credential())
	}
	storage.Put(t.Context(), &logical.StorageEntry{Key: "cred/org/no ref of ours", Value: []byte{1}})
	walk := func(after string) (names []string) {
		for ref, err := range s.Credentials.Refs(t.Context(), "org", after) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, ref.String())
		}
		return names
	}
	for i, after := range append([]string{""}, ordered...) {
		if diff := cmp.Diff(ordered[i:], walk(after), cmpNil); diff != "" {
			t.Errorf("after %q: %s", after, diff)
		}
	}
	// One that has gone is no worse a place to go on at.
	if diff := cmp.Diff(ordered[8:], walk("org/facebook/users/uma/pages/3")); diff != "" {
		t.Error(diff)
	}
	for ref, err := range s.Credentials.Refs(t.Context(), "org", "") {
		if err != nil || ref.String() != ordered[0] {
			t.Errorf("first comes %v, %v", ref, err)
		}
		break
	}
}

var cmpNil = cmp.Transformer("empty", func(s []string) int { return len(s) })

// TestScanAtRest reads a tenant's record as this release writes it.
func TestScanAtRest(t *testing.T) {
	const golden = `{"version":1,"created_at":"2026-11-23T12:00:00Z","walks":{"reindex":{"id":"i","started_at":"2026-11-23T12:00:00Z","finished_at":"2026-11-23T13:00:00Z","after":"org_acme/facebook/users/uma","done":3,"unreadable":1,"due":"due/1"}}}`
	s, storage, _ := newStore()
	storage.Put(t.Context(), &logical.StorageEntry{Key: "tenant/org_acme", Value: []byte(golden)})
	got, err := s.Tenants.Read(t.Context(), "org_acme")
	want := store.Tenant{Version: 1, CreatedAt: noon, Scans: map[string]store.Scan{"reindex": {
		ID: "i", StartedAt: noon, FinishedAt: noon.Add(time.Hour), After: uma.String(), Done: 3, Unreadable: 1, Due: "due/1",
	}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if b, err := json.Marshal(got); err != nil || string(b) != golden {
		t.Errorf("it is written %s, %v", b, err)
	}
}
