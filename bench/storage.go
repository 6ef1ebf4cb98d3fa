package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/vault/sdk/logical"
)

// A storage is in memory and counts its calls.
type storage struct {
	logical.InmemStorage
	gets, puts, deletes, lists atomic.Int64
}

// Get implements [logical.Storage].
func (s *storage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	s.gets.Add(1)
	return s.InmemStorage.Get(ctx, key)
}

// Put implements [logical.Storage].
func (s *storage) Put(ctx context.Context, e *logical.StorageEntry) error {
	s.puts.Add(1)
	return s.InmemStorage.Put(ctx, e)
}

// Delete implements [logical.Storage].
func (s *storage) Delete(ctx context.Context, key string) error {
	s.deletes.Add(1)
	return s.InmemStorage.Delete(ctx, key)
}

// List implements [logical.Storage].
func (s *storage) List(ctx context.Context, prefix string) ([]string, error) {
	s.lists.Add(1)
	return s.InmemStorage.List(ctx, prefix)
}

// calls are numbers of storage calls.
type calls struct{ gets, puts, deletes, lists int64 }

func (s *storage) calls() calls {
	return calls{s.gets.Load(), s.puts.Load(), s.deletes.Load(), s.lists.Load()}
}

// since returns the calls since before.
func (c calls) since(before calls) calls {
	return calls{c.gets - before.gets, c.puts - before.puts, c.deletes - before.deletes, c.lists - before.lists}
}

func (c calls) sum() int64 { return c.gets + c.puts + c.deletes + c.lists }

// each returns the calls for each of n, as text.
func (c calls) each(n float64) string {
	return fmt.Sprintf("get %.2f, put %.2f, delete %.2f, list %.2f", float64(c.gets)/n, float64(c.puts)/n, float64(c.deletes)/n, float64(c.lists)/n)
}
