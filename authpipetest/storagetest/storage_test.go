package storagetest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// putAll puts a, b and c, and returns which of these puts failed.
func putAll(s *storagetest.Storage) (failed string) {
	for _, key := range []string{"a", "b", "c"} {
		if err := s.Put(context.Background(), &logical.StorageEntry{Key: key}); errors.Is(err, storagetest.ErrStorage) {
			failed += key
		}
	}
	return failed
}

func TestStorageFailsOnDemand(t *testing.T) {
	for _, test := range []struct {
		name         string
		set          func(*storagetest.Storage)
		failed, kept string
	}{
		{"nothing fails at first", func(*storagetest.Storage) {}, "", "abc"},
		{"one fails", func(s *storagetest.Storage) { s.FailAt(2, false) }, "b", "ac"},
		{"one loses its answer", func(s *storagetest.Storage) { s.FailAt(2, true) }, "b", "abc"},
		{"all later ones fail", func(s *storagetest.Storage) { s.DieAt(2, false) }, "bc", "a"},
		{"all later ones fail, and one loses its answer", func(s *storagetest.Storage) { s.DieAt(2, true) }, "bc", "ab"},
		{"a function decides", func(s *storagetest.Storage) {
			s.Fail(func(n int, op storagetest.Operation) error {
				if n == 3 && op == (storagetest.Operation{Verb: "put", Key: "c"}) {
					return storagetest.ErrStorage
				}
				return nil
			})
		}, "c", "ab"},
		{"Reset ends failures", func(s *storagetest.Storage) { s.DieAt(1, false); s.Reset() }, "", "abc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := storagetest.New()
			test.set(s)
			if failed := putAll(s); failed != test.failed {
				t.Errorf("failed: %q, want %q", failed, test.failed)
			}
			kept := ""
			for _, key := range []string{"a", "b", "c"} {
				if e, err := s.Storage.Get(t.Context(), key); err != nil {
					t.Fatal(err)
				} else if e != nil {
					kept += key
				}
			}
			if kept != test.kept {
				t.Errorf("stored: %q, want %q", kept, test.kept)
			}
		})
	}
}

func TestStorageReadsFailOnDemand(t *testing.T) {
	s := storagetest.New()
	putAll(s)
	s.DieAt(1, true)
	if e, err := s.Get(t.Context(), "a"); !errors.Is(err, storagetest.ErrStorage) || e != nil {
		t.Errorf("Get: %v, %v", e, err)
	}
	if names, err := s.List(t.Context(), ""); !errors.Is(err, storagetest.ErrStorage) || names != nil {
		t.Errorf("List: %v, %v", names, err)
	}
	if err := s.Delete(t.Context(), "a"); !errors.Is(err, storagetest.ErrStorage) {
		t.Errorf("Delete: %v", err)
	}
}

func TestStorageCountsOperations(t *testing.T) {
	s := storagetest.New()
	putAll(s)
	s.Reset()
	if _, err := s.List(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Get(t.Context(), "a"); err != nil || e == nil {
		t.Fatalf("Get: %v, %v", e, err)
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]storagetest.Operation{{"list", ""}, {"get", "a"}, {"delete", "a"}}, s.Operations()); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]storagetest.Operation{{"delete", "a"}}, s.Writes()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	keys, err := s.Keys(t.Context(), "b")
	if diff := cmp.Diff([]string{"b"}, keys); diff != "" || err != nil {
		t.Errorf("keys: %v (-want +got):\n%s", err, diff)
	}
}
