package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
)

// coldRefs is the number of credentials for first reads.
const coldRefs = 500

// cold measures reads of credentials that are not in the engine's cache, and compares them with the floor plugin, which answers from
// memory, and with KV, which has no cache. Vault's own storage cache serves all of them.
func cold(ctx context.Context, s *session) ([]row, error) {
	v, fb, stop, err := s.servers(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	size, err := v.stage(ctx, fb, coldRefs)
	if err != nil {
		return nil, err
	}
	contenders := contenders(coldRefs)
	for _, c := range contenders {
		c.once = true
	}
	// A read of the last credential loads what only the first read has to load, such as the configuration.
	contenders[0].paths, contenders[0].before = contenders[0].paths[:coldRefs-1], func(ctx context.Context) error {
		return v.forget(ctx, crowd.Nth(coldRefs-1).Ref)
	}
	if err := contest(ctx, v, contenders, 1, s.rounds, s.round); err != nil {
		return nil, err
	}
	rows := compared("cold read", "", contenders, 1, size)
	rows[0].detail += fmt.Sprintf("; the plugin restarts before each. One read in %d is the first of its tenant and reads a key, too", crowd.PerTenant)
	return rows, nil
}

// forget restarts the engine, and reads one credential to load what all reads need.
func (v *vault) forget(ctx context.Context, ref string) error {
	if _, err := v.call(ctx, http.MethodPut, "sys/plugins/reload/backend", map[string]any{"mounts": []string{"authpipe/"}}); err != nil {
		return err
	}
	_, err := v.call(ctx, http.MethodGet, "authpipe/creds/"+ref, nil)
	return err
}
