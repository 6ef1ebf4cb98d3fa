package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
)

// starts is the number of starts.
const starts = 5

// start measures the start of an engine with many stored credentials, as after a reload or a change of leader.
func start(ctx context.Context, s *session) ([]row, error) {
	m, err := s.idleMount(ctx, s.credentials)
	if err != nil {
		return nil, err
	}
	var times []time.Duration
	var stored calls
	for i := range starts {
		runtime.GC() // a new process would not have the garbage of the former engine
		before, begun := m.storage.calls(), time.Now()
		if err := m.restart(ctx); err != nil {
			return nil, err
		}
		if err := m.Initialize(ctx, &logical.InitializationRequest{Storage: m.storage}); err != nil {
			return nil, err
		}
		if _, err := m.read(ctx, "creds/"+crowd.Nth(s.credentials*(i+1)/(starts+1)).Ref); err != nil {
			return nil, err
		}
		times, stored = append(times, time.Since(begun)), m.storage.calls().since(before)
	}
	slices.Sort(times)
	return []row{{
		what: fmt.Sprintf("start to first read, %d credentials", s.credentials), figure: inMS(quantile(times, 0.5)), wanted: "well under 1 s",
		detail: fmt.Sprintf("at most %s of %d; storage calls till then, the worker's included: %s", inMS(times[len(times)-1]), starts, stored.each(1)),
	}}, nil
}
