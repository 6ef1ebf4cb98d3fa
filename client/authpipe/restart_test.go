package authpipe_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

// A counting transport notices two requests for one credential at once.
type counting struct {
	mu    sync.Mutex
	under map[string]int
	twice []string

	answered, failed atomic.Int64
}

// RoundTrip implements [http.RoundTripper].
func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.count(r.URL.Path, 1)
	defer c.count(r.URL.Path, -1)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.failed.Add(1)
	} else {
		c.answered.Add(1)
	}
	return resp, err
}

func (c *counting) count(path string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.under[path] += n; c.under[path] > 1 {
		c.twice = append(c.twice, path)
	}
}

// TestVaultIsRestartedUnderLoad stops a real Vault while all its credentials are being read and renewed all the time, starts it
// again, sealed at first, and unseals it. No reader notices anything.
func TestVaultIsRestartedUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault server, which takes its time: left out with -short")
	}
	t.Parallel()
	w, err := newWorld(authpipetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	const users = 40
	connected := authpipe.New(w.vault, authpipe.Options{})
	defer connected.Close()
	w.connect(connected, "org_acme", "", alice)
	for i := range users {
		person := fmt.Sprintf("20000%05d", i)
		w.facebook.AddUser(authpipetest.User{ID: person})
		w.connect(connected, "org_acme", fmt.Sprintf("u%d", i), person)
	}

	config := api.DefaultConfig()
	seen := &counting{under: map[string]int{}}
	config.Address, config.MaxRetries, config.HttpClient = w.server.Addr, 0, &http.Client{Transport: seen}
	vault, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	vault.SetToken(w.vault.Token())
	client := authpipe.New(vault, authpipe.Options{MaxAge: 50 * time.Millisecond})
	defer client.Close()
	for i := range users {
		token(t, client, authpipe.Request{Tenant: "org_acme", User: fmt.Sprintf("u%d", i)})
	}

	over := make(chan struct{})
	var crowd sync.WaitGroup
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
	await(t, &seen.answered, users*3)
	w.server.End()
	await(t, &seen.failed, users)
	if err := w.server.Launch(); err != nil {
		t.Fatal(err)
	}
	await(t, &seen.failed, users) // sealed
	if err := w.server.Unseal(); err != nil {
		t.Fatal(err)
	}
	await(t, &seen.answered, users*3)
	close(over)
	crowd.Wait()
	if len(seen.twice) > 0 {
		t.Errorf("asked twice at once: %v", seen.twice)
	}
	if _, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", User: "nobody"}); !errors.Is(err, authpipe.ErrNotFound) {
		t.Errorf("a real 404 is %v", err)
	}
}

// await waits until a count has grown by n.
func await(t *testing.T, count *atomic.Int64, n int64) {
	t.Helper()
	wanted := count.Load() + n
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for count.Load() < wanted {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("waited in vain: %d of %d", count.Load(), wanted)
		}
	}
}
