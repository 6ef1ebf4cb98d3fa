package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// TestTenantAtRest reads a tenant that is suspended and amid a rotation, and
// one that is being deleted, from the bytes of the release that first wrote
// them. What was written before, TestRecordsAtRest reads.
func TestTenantAtRest(t *testing.T) {
	const golden = "testdata/tenant.json"
	ctx := t.Context()
	other := uma
	other.Tenant = "org_globex"
	if *update {
		s, storage, _ := newStore()
		put(t, s, uma, credential())
		put(t, s, other, credential())
		begin := func(old *store.Scan) (store.Scan, time.Time, error) {
			return store.Scan{ID: "walk", StartedAt: noon}, noon, nil
		}
		if err := s.Tenants.Suspend(ctx, "org_acme", true); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Rotations.Begin(ctx, "org_acme", begin); err != nil {
			t.Fatal(err)
		}
		if err := s.Removals.UpdateDeletion(ctx, "org_globex", func(*store.Removal) (store.Removal, time.Time, error) {
			return store.Removal{ID: "deletion", StartedAt: noon, Revoke: true, Attempts: 1, After: "a", Removed: 2, Unrevoked: []string{"u"}, UnrevokedCount: 1}, noon, nil
		}); err != nil {
			t.Fatal(err)
		}
		writeGolden(t, storage, golden)
	}
	storage := readGolden(t, golden)
	s := store.New(store.Options{Storage: storage, Now: authpipetest.NewClock(noon).Now})

	got, err := s.Tenants.Read(ctx, "org_acme")
	walk := got.Scans[store.DueRotation]
	want := store.Scan{ID: "walk", StartedAt: noon, Due: walk.Due, Rotation: &store.Rotation{Version: 2, Replaces: walk.Rotation.Replaces}}
	if diff := cmp.Diff(want, walk); err != nil || diff != "" || got.KeyVersion() != 2 || !got.SuspendedAt.Equal(noon) || walk.Rotation.Replaces == 0 {
		t.Errorf("suspended and amid a rotation: %+v, %v %s", got, err, diff)
	}
	deletion, err := s.Tenants.Deletion(ctx, "org_globex")
	if diff := cmp.Diff(store.Removal{
		ID: "deletion", StartedAt: noon, Revoke: true, Attempts: 1, After: "a", Removed: 2, Unrevoked: []string{"u"}, UnrevokedCount: 1, Due: deletion.Due,
	}, deletion); err != nil || diff != "" {
		t.Errorf("being deleted: %v %s", err, diff)
	}
	// The record is sealed with the former key, of two.
	changed, err := s.Rotations.Reseal(ctx, uma)
	if c, openErr := s.Credentials.Read(ctx, uma); err != nil || openErr != nil || !changed || c.Token.AccessToken.Reveal() != "EAABtoken" {
		t.Errorf("resealed %v: %v, %v", changed, err, openErr)
	}
	if changed, err := s.Rotations.Reseal(ctx, uma); changed || err != nil {
		t.Errorf("resealed again: %v, %v", changed, err)
	}
	if err := s.Rotations.PurgeReplaced(ctx, "org_acme", "another walk"); err != store.ErrNotFound {
		t.Errorf("another rotation's keys are destroyed: %v", err)
	}
	if err := s.Rotations.PurgeReplaced(ctx, "org_acme", "walk"); err != nil {
		t.Fatal(err)
	}
	s = store.New(store.Options{Storage: storage, Now: authpipetest.NewClock(noon).Now}) // knows nothing
	if _, err := s.Credentials.Read(ctx, uma); err != nil {
		t.Errorf("with the new key alone: %v", err)
	}
}
