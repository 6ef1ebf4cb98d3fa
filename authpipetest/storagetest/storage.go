// Package storagetest has a Vault storage in memory for tests of secrets engines. It counts its operations and fails on
// demand.
//
// It is apart from package authpipetest so that the simulator of Facebook does not depend on Vault's SDK.
package storagetest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/hashicorp/vault/sdk/logical"
)

// ErrStorage is the error of operations that [Storage.DieAt] or [Storage.FailAt] make fail.
var ErrStorage = errors.New("storage failed on demand")

// Storage is a Vault storage in memory that counts its operations and fails on demand. It is safe for concurrent use. Make
// one with [New].
type Storage struct {
	logical.Storage

	mu     sync.Mutex
	ops    []Operation
	before func(n int, op Operation) error // fails the nth operation before it takes effect; nil: none
	after  func(n int, op Operation) error // fails it after it took effect; nil: none
}

// An Operation is one call of a Storage: "get", "put", "delete" or "list", and the key or prefix.
type Operation struct{ Verb, Key string }

// New returns an empty Storage.
func New() *Storage { return &Storage{Storage: &logical.InmemStorage{}} }

// Fail makes each operation return the error that fail returns for it, if any, before it takes effect. n counts from 1 at
// the call of Fail. Nil: no operation fails.
func (s *Storage) Fail(fail func(n int, op Operation) error) { s.set(fail, nil) }

// Reset ends all failures, and forgets the operations so far.
func (s *Storage) Reset() { s.set(nil, nil) }

// DieAt makes the nth operation and all later ones fail, as if the process had been killed. With afterEffect the nth takes
// effect, and only its answer is lost.
func (s *Storage) DieAt(n int, afterEffect bool) {
	from := func(first int) func(int, Operation) error {
		return func(i int, _ Operation) error {
			if i >= first {
				return ErrStorage
			}
			return nil
		}
	}
	if afterEffect {
		s.set(from(n+1), from(n))
		return
	}
	s.set(from(n), nil)
}

// FailAt makes the nth operation fail and no other. With afterEffect it takes effect, and only its answer is lost.
func (s *Storage) FailAt(n int, afterEffect bool) {
	only := func(i int, _ Operation) error {
		if i == n {
			return ErrStorage
		}
		return nil
	}
	if afterEffect {
		s.set(nil, only)
		return
	}
	s.set(only, nil)
}

// set replaces the failures and begins to count anew.
func (s *Storage) set(before, after func(n int, op Operation) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops, s.before, s.after = nil, before, after
}

// Operations returns the operations since the last call of Fail, DieAt, FailAt or Reset.
func (s *Storage) Operations() []Operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Operation(nil), s.ops...)
}

// Writes returns those of the operations that are a put or a delete.
func (s *Storage) Writes() []Operation {
	var writes []Operation
	for _, op := range s.Operations() {
		if op.Verb == "put" || op.Verb == "delete" {
			writes = append(writes, op)
		}
	}
	return writes
}

// Keys returns every key that begins with prefix. It does not count as an operation.
func (s *Storage) Keys(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	err := logical.ScanView(ctx, s.Storage.(logical.ClearableView), func(key string) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	})
	return keys, err
}

// do counts one operation and makes it fail if it has to.
func (s *Storage) do(verb, key string, operate func() error) error {
	s.mu.Lock()
	op := Operation{verb, key}
	s.ops = append(s.ops, op)
	n, before, after := len(s.ops), s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(n, op); err != nil {
			return err
		}
	}
	if err := operate(); err != nil {
		return err
	}
	if after != nil {
		return after(n, op)
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
