package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
)

// coldRefs is how many credentials there are to be read for the first time.
const coldRefs = 500

// cold reads credentials that the engine does not remember, beside the same answers from the floor plugin, which does, and from
// KV, which never does. Vault itself remembers what is stored, for all of them.
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
	// The last credential stands for what is cold for the first reader alone, as the configuration is.
	contenders[0].paths, contenders[0].before = contenders[0].paths[:coldRefs-1], func(ctx context.Context) error {
		return v.forget(ctx, crowd.Nth(coldRefs-1).Ref)
	}
	if err := contest(ctx, v, contenders, 1, s.rounds, s.round); err != nil {
		return nil, err
	}
	rows := compared("cold read", "", contenders, 1, size)
	rows[0].detail += fmt.Sprintf("; before each the plugin is started anew. One read in %d is the first of its tenant and reads a key, too", crowd.PerTenant)
	return rows, nil
}

// forget starts the engine anew, which remembers nothing then but what it takes to read one credential.
func (v *vault) forget(ctx context.Context, ref string) error {
	if _, err := v.call(ctx, http.MethodPut, "sys/plugins/reload/backend", map[string]any{"mounts": []string{"authpipe/"}}); err != nil {
		return err
	}
	_, err := v.call(ctx, http.MethodGet, "authpipe/creds/"+ref, nil)
	return err
}
