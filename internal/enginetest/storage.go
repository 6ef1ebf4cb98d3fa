package enginetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

type counted = storagetest.Storage // embedded by another name: Storage.Storage is what lies below the counting

// A Storage is the engine's, with what tests do to it.
type Storage struct {
	*counted
	t testing.TB
}

// Under returns the keys with the prefix, sorted.
func (s *Storage) Under(prefix string) []string {
	s.t.Helper()
	keys, err := s.Keys(s.t.Context(), prefix)
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// LeftOf returns the keys that name the tenant. Sessions' keys do not, and the
// plan to forget its name lives a week longer.
func (s *Storage) LeftOf(tenant string) (left []string) {
	s.t.Helper()
	for _, key := range s.Under("") {
		if strings.Contains(key, tenant) && !strings.Contains(key, ",forgetting,") { // which goes a week later: see forget_test.go
			left = append(left, key)
		}
	}
	return left
}

// Raw returns the stored bytes.
func (s *Storage) Raw(key string) []byte {
	s.t.Helper()
	entry, err := s.Storage.Get(context.Background(), key)
	if err != nil || entry == nil {
		s.t.Fatalf("%s: %v, %v", key, entry, err)
	}
	return entry.Value
}

// Snapshot returns all that is stored.
func (s *Storage) Snapshot() string {
	s.t.Helper()
	keys, err := s.Keys(context.Background(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	var all strings.Builder
	for _, key := range keys {
		entry, err := s.Storage.Get(context.Background(), key)
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %x\n", key, entry.Value)
	}
	return all.String()
}

// PutEntry stores an index entry.
func (s *Storage) PutEntry(key string) {
	s.t.Helper()
	if err := s.Storage.Put(s.t.Context(), &logical.StorageEntry{Key: key, Value: []byte{1}}); err != nil {
		s.t.Fatal(err)
	}
}

// Remove deletes keys, uncounted.
func (s *Storage) Remove(keys ...string) {
	s.t.Helper()
	for _, key := range keys {
		if err := s.Storage.Delete(s.t.Context(), key); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Hold stops the first matching operation until release is called. reached is
// closed when it has come.
func (s *Storage) Hold(verb, prefix string) (reached chan struct{}, release func()) {
	return s.HoldNth(1, verb, prefix)
}

// HoldNth is Hold for the nth matching operation.
func (s *Storage) HoldNth(n int64, verb, prefix string) (reached chan struct{}, release func()) {
	reached, gate := make(chan struct{}), make(chan struct{})
	var count atomic.Int64
	s.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == verb && strings.HasPrefix(op.Key, prefix) && count.Add(1) == n {
			close(reached)
			<-gate
		}
		return nil
	})
	return reached, sync.OnceFunc(func() { close(gate) })
}

// AwaitQuiet lets other goroutines run until storage has been quiet for a while.
// It proves nothing by itself: a request that waits for a lock looks like one that
// has not begun.
func (s *Storage) AwaitQuiet() {
	quiet, before := 0, -1
	for quiet < 50 {
		for range 1000 {
			runtime.Gosched()
		}
		n := len(s.Operations())
		if quiet++; n != before {
			quiet, before = 0, n
		}
	}
}
