package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// FuzzWhatIsAtRest puts other bytes in the place of each record in turn. A
// sealed record opens only if it is the one that was sealed there; nothing
// else makes the store panic, and no error shows the bytes.
func FuzzWhatIsAtRest(f *testing.F) {
	s, storage, _ := newStore()
	c, err := s.UpdateCredential(f.Context(), uma, func(*store.Credential) (store.Credential, error) { return credential(), nil })
	if err != nil {
		f.Fatal(err)
	}
	if err := s.NewSession(f.Context(), session(), noon.Add(time.Hour)); err != nil {
		f.Fatal(err)
	}
	if err := s.UpdateConfig(f.Context(), "facebook", func(store.Config) (store.Config, error) { return config(), nil }); err != nil {
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
		opened, err := s.Credential(t.Context(), uma)
		if check("cred/"+uma.String(), err); err == nil && opened.Token.AccessToken != c.Token.AccessToken {
			t.Errorf("another credential opens: %+v", opened)
		}
		_, err = s.Session(t.Context(), "id")
		check("session/id", err)
		_, err = s.Config(t.Context(), "facebook")
		check("config/facebook", err)
		// What is not sealed may say anything, and must be survived.
		if known, err := s.Tenant(t.Context(), uma.Tenant); err == nil {
			known.KeyVersion()
		}
		_, _, _, _ = s.DueMinutes(t.Context())
		_, _ = s.Holders(t.Context(), "facebook", "900")
		_, _ = s.Outage(t.Context(), "facebook")
		_, _ = s.Settings(t.Context())
		_, _ = s.Walk(t.Context(), uma.Tenant, store.DueRotation)
		_, _ = s.Reseal(t.Context(), uma)
		_ = s.ReplaceKey(t.Context(), uma.Tenant)
		_ = s.RetireKeys(t.Context(), uma.Tenant, "walk")
		_, err = s.DataDeletion(t.Context(), "deletion")
		check("deletion/deletion", err)
		for _, after := range []int64{0, 1, 1 << 40} {
			if events, err := s.Events(t.Context(), after, 10); err == nil && len(events) > 10 {
				t.Errorf("of ten events at the most there are %d", len(events))
			}
		}
		s.Note(store.Event{Type: store.TenantResumed, Ref: "org_acme"})
		_ = s.FlushEvents(t.Context())
	})
}

// unsealed writes a record of each of the other kinds.
func unsealed(f *testing.F, s *store.Store) {
	f.Helper()
	s.Note(store.Event{At: noon, Type: store.TenantResumed, Ref: "org_acme"})
	_, err := s.BeginRotation(f.Context(), uma.Tenant, func(*store.Walk) (store.Walk, time.Time, error) { return store.Walk{ID: "walk"}, noon, nil })
	for _, err := range []error{
		err,
		s.FlushEvents(f.Context()),
		s.PutOutage(f.Context(), "facebook", &store.Outage{Cause: store.Failure{Class: "transient", Message: "down", At: noon}, Since: noon}),
		s.UpdateSettings(f.Context(), func(store.Settings) (store.Settings, error) { return store.Settings{TenantMetadataKey: "tenant"}, nil }),
		s.UpdateDataDeletion(f.Context(), "deletion", func(*store.DataDeletion) (store.DataDeletion, time.Time, error) {
			return store.DataDeletion{Provider: "facebook", Status: store.DataDeletionPending, Account: "900", AskedAt: noon}, noon, nil
		}),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
}

// FuzzDueName lists an entry of any name. What is understood of it is the name
// and nothing but the name, so that dropping the one drops the other.
func FuzzDueName(f *testing.F) {
	for _, name := range []string{
		"0029925660,credential,org_acme,facebook,users,uma", "9999999999,session,id", "0000000000,removal,org_acme,facebook,installation", "0000000001,reindex,org_acme",
		"1,credential,x", "-1,credential,x", "+000000001,credential,x", ",,", "0000000000,,", "x", "00000000000000000000001,session,id", "99999999999999999999,session,id",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || strings.Contains(name, "/") || strings.Contains(name, "..") {
			return // no entry of a folder
		}
		s, storage, _ := newStore()
		const minute = 29_925_600
		key := fmt.Sprintf("due/%010d/%s", minute, name)
		if err := storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte{1}}); err != nil {
			return // not a key that Vault takes
		}
		due, err := s.DueAt(t.Context(), minute)
		if err != nil || len(due) != 1 || due[0].Minute != minute {
			t.Fatalf("%q is listed as %v, %v", name, due, err)
		}
		if due[0].Kind == "" {
			if due[0].ID != name {
				t.Errorf("%q, which is not understood, is called %q", name, due[0].ID)
			}
			return
		}
		_, _ = s.DropOutdated(t.Context(), due[0])
		if err := s.Drop(t.Context(), due[0]); err != nil {
			t.Fatal(err)
		}
		keys, err := storage.Keys(t.Context(), "due/")
		if err != nil || slices.Contains(keys, key) {
			t.Errorf("%q was read as %+v, and dropping that leaves it: %v", name, due[0], err)
		}
	})
}
