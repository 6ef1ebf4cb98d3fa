package store_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
)

// FuzzRecordsAtRest puts other bytes in the place of each record in turn. A
// sealed record opens only if it is the one that was sealed there; nothing
// else makes the store panic, and no error shows the bytes.
func FuzzRecordsAtRest(f *testing.F) {
	s, storage, _ := newStore()
	c, err := s.Credentials.Update(f.Context(), uma, func(*store.Credential) (store.Credential, error) { return credential(), nil })
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Sessions.Create(f.Context(), session(), noon.Add(time.Hour)); err != nil {
		f.Fatal(err)
	}
	if err := s.Mount.UpdateConfig(f.Context(), "facebook", func(store.Config) (store.Config, error) { return config(), nil }); err != nil {
		f.Fatal(err)
	}
	unsealed(f, s)
	keys, err := storage.Keys(f.Context(), "")
	if err != nil {
		f.Fatal(err)
	}
	stored := map[string][]byte{}
	for i, key := range keys {
		entry, err := storage.Storage.Get(f.Context(), key)
		if err != nil {
			f.Fatal(err)
		}
		stored[key] = entry.Value
		f.Add(uint8(i), entry.Value)
	}
	for i := range keys {
		for _, junk := range [][]byte{nil, {0}, {1}, {1, 0}, {1, 255}, {1, 8, 'o', 'r', 'g'}, []byte("{}"), []byte("-1"), []byte("99999999999999999999"), bytes.Repeat([]byte{1}, 300)} {
			f.Add(uint8(i), junk)
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, b []byte) {
		key := keys[int(at)%len(keys)]
		s, storage, _ := newStore() // one that remembers nothing
		for k, v := range stored {
			if k == key {
				v = b
			}
			if err := storage.Storage.Put(t.Context(), &logical.StorageEntry{Key: k, Value: v}); err != nil {
				t.Fatal(err)
			}
		}
		genuine := bytes.Equal(b, stored[key])
		check := func(own string, err error) {
			t.Helper()
			if key == own && !genuine && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("other bytes at %s: %v", key, err)
			}
			if genuine && err != nil {
				t.Errorf("the record of %s: %v", own, err)
			}
			if err != nil && len(b) > 8 && strings.Contains(err.Error(), string(b)) {
				t.Errorf("the error shows what is at %s: %v", key, err)
			}
		}
		opened, err := s.Credentials.Read(t.Context(), uma)
		if check("cred/"+uma.String(), err); err == nil && opened.Token.AccessToken != c.Token.AccessToken {
			t.Errorf("another credential opens: %+v", opened)
		}
		_, err = s.Sessions.Read(t.Context(), "id")
		check("session/id", err)
		_, err = s.Mount.Config(t.Context(), "facebook")
		check("config/facebook", err)
		// What is not sealed may say anything, and must be survived.
		if known, err := s.Tenants.Read(t.Context(), uma.Tenant); err == nil {
			known.KeyVersion()
		}
		_, _, _, _ = s.Due.Minutes(t.Context())
		_, _ = s.Credentials.Holders(t.Context(), "facebook", "900")
		_, _ = s.Mount.Outage(t.Context(), "facebook")
		_, _ = s.Mount.Settings(t.Context())
		_, _ = s.Tenants.Scan(t.Context(), uma.Tenant, store.DueRotation)
		_, _ = s.Rotations.Reseal(t.Context(), uma)
		_ = s.Rotations.ReplaceKey(t.Context(), uma.Tenant)
		_ = s.Rotations.PurgeReplaced(t.Context(), uma.Tenant, "walk")
		_, err = s.Mount.DataDeletion(t.Context(), "deletion")
		check("deletion/deletion", err)
		for _, after := range []int64{0, 1, 1 << 40} {
			if events, err := s.Events.After(t.Context(), after, 10); err == nil && len(events) > 10 {
				t.Errorf("of ten events at the most there are %d", len(events))
			}
		}
		s.Events.Add(event.Event{Type: event.TenantResumed, Ref: "org_acme"})
		_ = s.Events.Flush(t.Context())
	})
}

// unsealed writes a record of each of the other kinds.
func unsealed(f *testing.F, s *store.Store) {
	f.Helper()
	s.Events.Add(event.Event{At: noon, Type: event.TenantResumed, Ref: "org_acme"})
	_, err := s.Rotations.Begin(f.Context(), uma.Tenant, func(*store.Scan) (store.Scan, time.Time, error) { return store.Scan{ID: "walk"}, noon, nil })
	for _, err := range []error{
		err,
		s.Events.Flush(f.Context()),
		s.Mount.PutOutage(f.Context(), "facebook", &store.Outage{Cause: store.Failure{Class: "transient", Message: "down", At: noon}, Since: noon}),
		s.Mount.UpdateSettings(f.Context(), func(store.Settings) (store.Settings, error) { return store.Settings{TenantMetadataKey: "tenant"}, nil }),
		s.Mount.UpdateDataDeletion(f.Context(), "deletion", func(*store.DataDeletion) (store.DataDeletion, time.Time, error) {
			return store.DataDeletion{Provider: "facebook", Status: store.DataDeletionPending, Account: "900", AskedAt: noon}, noon, nil
		}),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
}
