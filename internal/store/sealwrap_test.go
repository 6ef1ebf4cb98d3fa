package store_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// wrapped remembers of what is put whether it asks for the seal.
type wrapped struct {
	logical.Storage
	asked map[string]bool
}

// Put implements [logical.Storage].
func (w wrapped) Put(ctx context.Context, e *logical.StorageEntry) error {
	w.asked[e.Key] = e.SealWrap
	return w.Storage.Put(ctx, e)
}

// TestKeysetsAndConfigurationsAreSealWrapped holds each key that is written
// against the prefixes that Vault gets to wrap with its seal, and each
// keyset against its own flag, which says so too.
func TestKeysetsAndConfigurationsAreSealWrapped(t *testing.T) {
	w := wrapped{&logical.InmemStorage{}, map[string]bool{}}
	s := store.New(store.Options{Storage: w, Now: func() time.Time { return noon }})
	put(t, s, uma, credential())
	if err := s.Mount.UpdateConfig(t.Context(), "facebook", func(store.Config) (store.Config, error) { return config(), nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rotations.Begin(t.Context(), uma.Tenant, func(*store.Scan) (store.Scan, time.Time, error) { return store.Scan{ID: "walk"}, noon, nil }); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"keyring/mount", "keyring/account", "keyring/tenant/org_acme", "config/facebook"} {
		if _, put := w.asked[key]; !put {
			t.Errorf("%s was not put", key)
		}
	}
	for key, asked := range w.asked {
		is := strings.HasPrefix(key, "keyring/") || strings.HasPrefix(key, "config/")
		told := slices.ContainsFunc(store.SealWrapped, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
		if told != is {
			t.Errorf("%s: Vault is told to wrap it: %v", key, told)
		}
		if keyset := strings.HasPrefix(key, "keyring/"); keyset && !asked {
			t.Errorf("%s is put without asking for the seal", key)
		}
	}
}
