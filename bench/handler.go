package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
)

// handler measures a warm read without Vault and its RPC.
func handler(ctx context.Context, _ *session) ([]row, error) {
	m, err := newMount(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer m.close()
	if err := m.connect(ctx, 1); err != nil {
		return nil, err
	}
	path := "creds/" + crowd.Nth(0).Ref
	if _, err := m.read(ctx, path); err != nil {
		return nil, err
	}
	before := m.storage.calls()
	if _, err := m.read(ctx, path); err != nil {
		return nil, err
	}
	stored := m.storage.calls().since(before)
	var failed error
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.read(ctx, path); err != nil {
				failed = errors.Join(failed, err)
				b.FailNow()
			}
		}
	})
	return []row{
		{what: "warm read: storage calls", figure: fmt.Sprint(stored.sum()), wanted: "0", detail: stored.each(1)},
		{what: "warm read: the engine alone, in process", figure: inUS(time.Duration(result.NsPerOp())),
			detail: fmt.Sprintf("%d allocations, %d bytes", result.AllocsPerOp(), result.AllocedBytesPerOp())},
	}, failed
}
