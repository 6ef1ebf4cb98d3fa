package authpipetest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/hashicorp/vault/sdk/logical"
)

// ErrStorage is what a [Storage] fails with.
var ErrStorage = errors.New("storage failed on demand")

// Storage is a Vault storage in memory that counts its operations and fails
// when it is told to. It is safe for concurrent use. Make one with
// [NewStorage].
type Storage struct {
	logical.Storage

	mu   sync.Mutex
	ops  []Operation
	fail func(n int, op Operation) error
	late func(n int, op Operation) error
}

// An Operation is one call of a Storage: "get", "put", "delete" or "list", and
// the key or prefix.
type Operation struct{ Verb, Key string }

// NewStorage returns an empty Storage.
func NewStorage() *Storage { return &Storage{Storage: &logical.InmemStorage{}} }

// Fail has each operation return what fail says of it, before it takes effect.
// n counts from 1 at the call of Fail. Nil: none fails.
func (s *Storage) Fail(fail func(n int, op Operation) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops, s.fail, s.late = nil, fail, nil
}

// DieAt lets n-1 operations through and has every later one fail, as if the
// process had been killed. With afterEffect the nth takes effect all the same:
// only its answer is lost.
func (s *Storage) DieAt(n int, afterEffect bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dead := func(from int) func(int, Operation) error {
		return func(i int, _ Operation) error {
			if i >= from {
				return ErrStorage
			}
			return nil
		}
	}
	s.ops, s.fail, s.late = nil, dead(n), nil
	if afterEffect {
		s.fail, s.late = dead(n+1), dead(n)
	}
}

// FailAt has the nth operation fail and no other. With afterEffect it takes
// effect all the same: only its answer is lost.
func (s *Storage) FailAt(n int, afterEffect bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	only := func(i int, _ Operation) error {
		if i == n {
			return ErrStorage
		}
		return nil
	}
	s.ops, s.fail, s.late = nil, only, nil
	if afterEffect {
		s.fail, s.late = nil, only
	}
}

// Operations returns the operations since the last call of Fail, DieAt, FailAt
// or Reset.
func (s *Storage) Operations() []Operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Operation(nil), s.ops...)
}

// Reset forgets the operations so far; none fails any more.
func (s *Storage) Reset() { s.Fail(nil) }

// Writes returns those operations that wrote.
func (s *Storage) Writes() []Operation {
	var writes []Operation
	for _, op := range s.Operations() {
		if op.Verb == "put" || op.Verb == "delete" {
			writes = append(writes, op)
		}
	}
	return writes
}

// Keys returns every key that begins with prefix.
func (s *Storage) Keys(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	err := logical.ScanView(ctx, s.Storage.(logical.ClearableView), func(key string) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	})
	return keys, err
}

func (s *Storage) do(verb, key string, take func() error) error {
	s.mu.Lock()
	op := Operation{verb, key}
	s.ops = append(s.ops, op)
	n, fail, late := len(s.ops), s.fail, s.late
	s.mu.Unlock()
	if fail != nil {
		if err := fail(n, op); err != nil {
			return err
		}
	}
	if err := take(); err != nil {
		return err
	}
	if late != nil {
		return late(n, op)
	}
	return nil
}

// Get implements [logical.Storage].
func (s *Storage) Get(ctx context.Context, key string) (e *logical.StorageEntry, err error) {
	err = s.do("get", key, func() error { e, err = s.Storage.Get(ctx, key); return err })
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Put implements [logical.Storage].
func (s *Storage) Put(ctx context.Context, e *logical.StorageEntry) error {
	return s.do("put", e.Key, func() error { return s.Storage.Put(ctx, e) })
}

// Delete implements [logical.Storage].
func (s *Storage) Delete(ctx context.Context, key string) error {
	return s.do("delete", key, func() error { return s.Storage.Delete(ctx, key) })
}

// List implements [logical.Storage].
func (s *Storage) List(ctx context.Context, prefix string) (names []string, err error) {
	err = s.do("list", prefix, func() error { names, err = s.Storage.List(ctx, prefix); return err })
	if err != nil {
		return nil, err
	}
	return names, nil
}
