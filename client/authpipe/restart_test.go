package authpipe_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// A counting transport counts requests, and notes two at the same time for one path.
type counting struct {
	mu      sync.Mutex
	pending map[string]int
	doubled []string

	answered, failed counter
}

// RoundTrip implements [http.RoundTripper].
func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.count(r.URL.Path, 1)
	defer c.count(r.URL.Path, -1)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.failed.add()
	} else {
		c.answered.add()
	}
	return resp, err
}

// concurrent returns the paths with two requests at the same time.
func (c *counting) concurrent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.doubled)
}

func (c *counting) count(path string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[path] += n; c.pending[path] > 1 {
		c.doubled = append(c.doubled, path)
	}
}

// TestReadsSurviveVaultRestart stops a real Vault while all its credentials are being read and renewed, starts it again, sealed at
// first, and unseals it. No read fails.
func TestReadsSurviveVaultRestart(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault server: left out with -short")
	}
	t.Parallel()
	env, err := newEnvironment(authpipetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer env.end()
	const users = 40
	connected := authpipe.New(env.vault, authpipe.Options{})
	defer connected.Close()
	env.connect(connected, "org_acme", "", alice)
	for i := range users {
		person := fmt.Sprintf("20000%05d", i)
		env.facebook.AddUser(authpipetest.User{ID: person})
		env.connect(connected, "org_acme", fmt.Sprintf("u%d", i), person)
	}

	config := api.DefaultConfig()
	seen := &counting{pending: map[string]int{}}
	config.Address, config.MaxRetries, config.HttpClient = env.server.Addr, 0, &http.Client{Transport: seen}
	vault, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	vault.SetToken(env.vault.Token())
	client := authpipe.New(vault, authpipe.Options{MaxAge: 50 * time.Millisecond})
	defer client.Close()
	for i := range users {
		token(t, client, authpipe.Request{Tenant: "org_acme", User: fmt.Sprintf("u%d", i), For: authpipe.ForUser})
	}

	over := make(chan struct{})
	var crowd sync.WaitGroup
	stop := sync.OnceFunc(func() { close(over); crowd.Wait() })
	defer stop()
	for n := range 16 {
		crowd.Go(func() {
			pace := time.NewTicker(time.Millisecond)
			defer pace.Stop()
			for i := n; ; i++ {
				select {
				case <-over:
					return
				case <-pace.C:
				}
				q := authpipe.Request{Tenant: "org_acme", User: fmt.Sprintf("u%d", i%users), For: authpipe.ForAny}
				if got, err := client.Credential(t.Context(), q); err != nil || got.Source != authpipe.ForUser {
					t.Errorf("%s: %v, %v", q.User, got, err)
				}
			}
		})
	}
	await(t, "answers while Vault is up", &seen.answered, users*3)
	if err := env.server.End(); err != nil {
		t.Fatal(err)
	}
	await(t, "failed requests while Vault is down", &seen.failed, users)
	if err := env.server.Launch(); err != nil {
		t.Fatal(err)
	}
	await(t, "failed requests while Vault is sealed", &seen.failed, users)
	if err := env.server.Unseal(); err != nil {
		t.Fatal(err)
	}
	await(t, "answers after Vault is unsealed", &seen.answered, users*3)
	stop()
	if twice := seen.concurrent(); len(twice) > 0 {
		t.Errorf("two requests at the same time for %v", twice)
	}
	if _, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", User: "stranger", For: authpipe.ForUser}); !errors.Is(err, authpipe.ErrNotFound) {
		t.Errorf("a real 404 is %v", err)
	}
}

// A counter counts, and lets others wait for it to grow. The zero value is ready for use.
type counter struct {
	mu    sync.Mutex
	n     int
	grown chan struct{} // closed when n has grown; nil: no goroutine waits for it
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.grown != nil {
		close(c.grown)
		c.grown = nil
	}
}

// look returns the count, and a channel that is closed when it has grown.
func (c *counter) look() (n int, grown <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grown == nil {
		c.grown = make(chan struct{})
	}
	return c.n, c.grown
}

// await waits until a count has grown by more.
func await(t *testing.T, what string, count *counter, more int) {
	t.Helper()
	before, _ := count.look()
	deadline := time.After(vaulttest.Patience)
	for {
		n, grown := count.look()
		if n >= before+more {
			return
		}
		select {
		case <-grown:
		case <-deadline:
			t.Fatalf("waited %v for %d more %s, and saw %d", vaulttest.Patience, more, what, n-before)
		}
	}
}
