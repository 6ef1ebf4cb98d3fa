package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var acme = tenant.Ref{Tenant: "org_acme", Provider: "facebook"}

// TestEndOfRemovalFailsWithStorage has the write fail that ends a removal: the removal
// still stands, and End says so.
func TestEndOfRemovalFailsWithStorage(t *testing.T) {
	s, storage, _ := newStore()
	put(t, s, acme, credential())
	err := s.Removals.Update(t.Context(), acme, func(*store.Removal) (store.Removal, time.Time, error) {
		return store.Removal{ID: "removal"}, noon, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" && op.Key == "tenant/org_acme" {
			return storagetest.ErrStorage
		}
		return nil
	})
	end := func() (bool, error) {
		return s.Removals.End(t.Context(), acme, "removal", func(store.Credential) error { return nil })
	}
	if ended, err := end(); ended || !errors.Is(err, storagetest.ErrStorage) {
		t.Errorf("while storage fails: ended %t, %v", ended, err)
	}
	storage.Fail(nil)
	if _, err := s.Tenants.Removal(t.Context(), acme); err != nil {
		t.Errorf("the removal does not stand: %v", err)
	}
	if ended, err := end(); !ended || err != nil {
		t.Errorf("once storage works: ended %t, %v", ended, err)
	}
}

// TestUpdateWithoutTimeIsDueAtOnce leaves the time of the next attempt out.
func TestUpdateWithoutTimeIsDueAtOnce(t *testing.T) {
	s, _, clock := newStore()
	put(t, s, acme, credential())
	err := s.Removals.Update(t.Context(), acme, func(*store.Removal) (store.Removal, time.Time, error) {
		return store.Removal{ID: "removal"}, time.Time{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	if found := minutes(t, s); len(found) != 1 || found[0] != acme.Flat() {
		t.Errorf("a minute later %v are due", found)
	}
}

// TestUnusedEntriesOfMissingDueEntry has another sweep delete the due entry first.
func TestUnusedEntriesOfMissingDueEntry(t *testing.T) {
	s, storage, _ := newStore()
	put(t, s, acme, credential())
	storage.Reset()
	if err := s.Credentials.DeleteUnusedEntries(t.Context(), due.Entry{Minute: 1, Kind: store.DueIndexEntry, ID: acme.Flat()}); err != nil {
		t.Error(err)
	}
	if writes := storage.Writes(); len(writes) > 0 {
		t.Errorf("it wrote %v", writes)
	}
}

// TestFailedSettingsWriteLeavesThemReadable has storage fail as a whole: requests that
// need the settings are still answered from the cache.
func TestFailedSettingsWriteLeavesThemReadable(t *testing.T) {
	s, storage, _ := newStore()
	change := func(settings store.Settings) (store.Settings, error) {
		settings.TenantMetadataKey = "tenant"
		return settings, nil
	}
	if err := s.Mount.UpdateSettings(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	storage.Fail(func(int, storagetest.Operation) error { return storagetest.ErrStorage })
	if err := s.Mount.UpdateSettings(t.Context(), change); !errors.Is(err, storagetest.ErrStorage) {
		t.Errorf("writing the settings: %v", err)
	}
	if settings, err := s.Mount.Settings(t.Context()); err != nil || settings.TenantMetadataKey != "tenant" {
		t.Errorf("reading the settings: %+v, %v", settings, err)
	}
}

// TestEntryAtNoMinuteIsNotFound has a record name a due entry that lies at no minute:
// a reindex then plans the work anew.
func TestEntryAtNoMinuteIsNotFound(t *testing.T) {
	s, storage, _ := newStore()
	const key = "due/soon/x"
	if err := storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Due.WillBeFound(t.Context(), key); found || err != nil {
		t.Errorf("it will be found: %t, %v", found, err)
	}
}
