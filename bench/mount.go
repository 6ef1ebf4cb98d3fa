package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/errgroup"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A mount is the engine in this process, with its storage, clock and Facebook.
type mount struct {
	*backend.Backend
	storage  *storage
	clock    *authpipetest.Clock
	facebook *facebook
	wire     *wire
}

// A wire counts the calls to the provider.
type wire struct {
	http.RoundTripper
	calls atomic.Int64
}

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.calls.Add(1)
	return w.RoundTripper.RoundTrip(r)
}

// newMount returns a mount that is configured; more are fields of its configuration.
func newMount(ctx context.Context, more map[string]any) (*mount, error) {
	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	m := &mount{
		storage:  &storage{},
		clock:    clock,
		facebook: newFacebook(authpipetest.Options{Now: clock.Now}, "https://vault.example.com/v1/authpipe/callback/facebook"),
		wire:     &wire{RoundTripper: transport},
	}
	err := m.restart(ctx)
	if err == nil {
		err = m.facebook.configure(ctx, m, more)
	}
	if err != nil {
		m.facebook.server.Close()
		return nil, err
	}
	return m, nil
}

// unpaced is more provider calls a second than the engine can make. By default its limiter allows a thousand, after a burst of as many,
// and the measurements would measure the limiter.
const unpaced = 1_000_000

// restart makes another engine with the same storage. It is not initialized, so that no worker sweeps besides the measured sweeps.
func (m *mount) restart(ctx context.Context) error {
	if m.Backend != nil {
		m.Cleanup(ctx)
	}
	b, err := backend.New(ctx, &logical.BackendConfig{
		StorageView: m.storage,
		System:      &logical.StaticSystemView{},
		Logger:      hclog.NewNullLogger(),
	}, backend.Options{Now: m.clock.Now, Transport: m.wire, CallsPerSecond: unpaced})
	if err != nil {
		return err
	}
	m.Backend = b
	return nil
}

func (m *mount) close() {
	m.Cleanup(context.Background())
	m.facebook.server.Close()
}

func (m *mount) do(ctx context.Context, op logical.Operation, path string, data map[string]any) (map[string]any, error) {
	resp, err := m.HandleRequest(ctx, &logical.Request{Operation: op, Path: path, Data: data, Storage: m.storage})
	if err == nil && resp != nil {
		err = resp.Error()
	}
	if err != nil || resp == nil {
		return nil, err
	}
	return resp.Data, nil
}

func (m *mount) read(ctx context.Context, path string) (map[string]any, error) {
	return m.do(ctx, logical.ReadOperation, path, nil)
}

func (m *mount) write(ctx context.Context, path string, data map[string]any) (map[string]any, error) {
	return m.do(ctx, logical.UpdateOperation, path, data)
}

func (m *mount) visit(ctx context.Context, to *url.URL) error {
	data := map[string]any{}
	for name, values := range to.Query() {
		data[name] = values[0]
	}
	answer, err := m.do(ctx, logical.ReadOperation, "callback/facebook", data)
	if err != nil {
		return err
	}
	return statusError(answer[logical.HTTPStatusCode].(int))
}

// connect connects the first n people, some at the same time.
func (m *mount) connect(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range n {
		group.Go(func() error { return m.facebook.connect(ctx, m, crowd.Nth(i)) })
	}
	return group.Wait()
}

// parallel is how many credentials are connected at the same time.
const parallel = 8

// change changes the stored credentials of the first n people, and restarts the engine so that it reads them again.
func (m *mount) change(ctx context.Context, n int, change func(*store.Credential)) error {
	s := store.New(store.Options{Storage: m.storage, Now: m.clock.Now})
	for i := range n {
		ref, err := tenant.ParseRef(crowd.Nth(i).Ref)
		if err != nil {
			return err
		}
		_, err = s.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
			if old == nil {
				return store.Credential{}, fmt.Errorf("there is no credential %s", ref)
			}
			c := *old
			change(&c)
			return c, nil
		})
		if err != nil {
			return err
		}
	}
	return m.restart(ctx)
}

// minutes lets n simulated minutes pass, and sweeps in each.
func (m *mount) minutes(ctx context.Context, n int, after func()) error {
	for range n {
		m.clock.Advance(time.Minute)
		if err := m.Sweep(ctx); err != nil {
			return err
		}
		if after != nil {
			after()
		}
	}
	return nil
}
