package authpipe_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

func TestMaxStaleBoundsServingDuringAnOutage(t *testing.T) {
	outages := map[string]func(*double) *http.Response{
		"Vault is sealed": func(d *double) *http.Response { return d.refuse(503, "Vault is sealed") },
		"the plugin is down": func(d *double) *http.Response {
			return d.refuse(404, `no handler for route "authpipe/". route entry found, but backend is nil.`)
		},
		"the token has ended":    func(d *double) *http.Response { return d.refuse(403, "permission denied\n\t* invalid token") },
		"a proxy has no backend": func(d *double) *http.Response { return d.page(404, "<h1>default backend</h1>") },
		"the provider throttles": func(d *double) *http.Response { return d.refuse(429, "throttled: until noon") },
	}
	for what, answers := range outages {
		for name, row := range map[string]struct{ stale, least, most time.Duration }{
			"by default":  {0, 24 * time.Hour, 24*time.Hour + 6*time.Minute},
			"for an hour": {time.Hour, time.Hour, 66 * time.Minute},
			"not at all":  {-1, 5 * time.Minute, 6 * time.Minute},
		} {
			t.Run(what+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDouble(time.Now)
					d.put(bobs, stored{token: "never ends"})
					client := newClient(t, d, authpipe.Options{MaxStale: row.stale, Timeout: time.Second})
					token(t, client, bob())
					d.intercept(func(*http.Request) *http.Response { return answers(d) })
					began, ended := time.Now(), time.Duration(0)
					for since := time.Duration(0); since < row.most+time.Hour; since = time.Since(began) {
						_, err := client.Credential(t.Context(), bob())
						switch {
						case err != nil && ended == 0:
							ended = since
						case err == nil && ended > 0:
							t.Fatalf("it is served again after %v", since)
						}
						time.Sleep(20 * time.Second)
					}
					if ended < row.least || ended > row.most {
						t.Errorf("it was served for %v, want %v to %v", ended, row.least, row.most)
					}
					d.intercept(nil)
					time.Sleep(31 * time.Second)
					if got := token(t, client, bob()); got != "never ends" {
						t.Errorf("after the outage: got %q", got)
					}
				})
			})
		}
	}
}

func TestMaxStaleBoundsUnreadCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "never ends"})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, bob())
		_, _ = client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", User: "stranger", For: authpipe.ForUser})
		d.intercept(func(*http.Request) *http.Response { return d.refuse(503, "Vault is sealed") })
		time.Sleep(25 * time.Hour)
		for _, user := range []string{"bob", "stranger"} {
			_, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", User: user, For: authpipe.ForUser})
			if !errors.Is(err, authpipe.ErrUnavailable) {
				t.Errorf("of %s: got %v", user, err)
			}
		}
	})
}

func TestRefusalIsNotOlderThanMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		client := newClient(t, d, authpipe.Options{MaxStale: time.Hour})
		read := func() error { return second(client.Credential(t.Context(), bob())) }
		_ = read()
		d.intercept(func(*http.Request) *http.Response { return d.refuse(503, "Vault is sealed") })
		for range 6 * 50 {
			time.Sleep(10 * time.Second)
			if err := read(); !errors.Is(err, authpipe.ErrNotFound) {
				t.Fatal(err)
			}
		}
		for range 6 * 15 {
			time.Sleep(10 * time.Second)
			_ = read()
		}
		if err := read(); !errors.Is(err, authpipe.ErrUnavailable) {
			t.Errorf("after more than an hour: got %v", err)
		}
	})
}

// isLookup reports whether a request looks the token up.
func isLookup(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/auth/token/lookup-self") }

func TestDeadVaultTokenDiffersFromPolicyRefusal(t *testing.T) {
	ok := func(d *double) *http.Response { return d.page(200, map[string]any{"data": map[string]any{}}) }
	denied := func(d *double) *http.Response { return d.refuse(403, "permission denied") }
	for what, row := range map[string]struct {
		first, then func(*double) *http.Response // the responses to a lookup before and after the token ends
		served      bool
	}{
		"the token lives":                   {ok, ok, false},
		"the token is unknown now":          {ok, denied, true},
		"no policy allows looking it up":    {denied, denied, false},
		"Vault says that it is invalid":     {denied, func(d *double) *http.Response { return d.refuse(403, "permission denied\n\t* invalid token") }, true},
		"Vault is sealed before the lookup": {ok, func(d *double) *http.Response { return d.refuse(503, "Vault is sealed") }, true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble(time.Now)
				client := newClient(t, d, authpipe.Options{})
				for i := range 16 {
					d.put(fmt.Sprintf("org_acme/facebook/users/u%d", i), stored{token: "one"})
				}
				// A policy refuses a read, so that the client finds out whether it may look its token up.
				d.put(installation, stored{status: 403, refusal: "permission denied"})
				d.intercept(func(r *http.Request) *http.Response {
					if isLookup(r) {
						return row.first(d)
					}
					return nil
				})
				_, _ = client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation})
				users := func(check func(error)) {
					for i := range 16 {
						check(second(client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", User: fmt.Sprintf("u%d", i), For: authpipe.ForUser})))
					}
				}
				users(func(err error) {
					if err != nil {
						t.Fatal(err)
					}
				})
				users(func(error) {})
				before := d.count("GET /v1/auth/token/lookup-self")
				d.intercept(func(r *http.Request) *http.Response {
					if isLookup(r) {
						return row.then(d)
					}
					return d.refuse(403, "permission denied")
				})
				const passed = 5*time.Minute + 31*time.Second
				time.Sleep(passed)
				synctest.Wait()
				atOnce, begun := d.count("GET /v1/auth/token/lookup-self"), time.Now()
				users(func(err error) {
					if (err == nil) != row.served {
						t.Errorf("got %v", err)
					}
				})
				// All refusals within five seconds share a lookup. The times of the renewals are random.
				now := d.count("GET /v1/auth/token/lookup-self")
				if n := now - before; n < 1 || n > int(passed/(5*time.Second))+1 {
					t.Errorf("the token was looked up %s in %v", times(n), passed)
				}
				if n, took := now-atOnce, time.Since(begun); n > int(took/(5*time.Second))+1 {
					t.Errorf("16 requests one after the other looked it up %s in %v", times(n), took)
				}
			})
		})
	}
}

func TestRefusedRequestsShareOneTokenLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.intercept(func(r *http.Request) *http.Response {
			if isLookup(r) {
				return nil
			}
			return d.refuse(403, "permission denied")
		})
		client := newClient(t, d, authpipe.Options{})
		for i := range 100 {
			_, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", User: fmt.Sprintf("u%d", i), For: authpipe.ForUser})
			if !errors.Is(err, authpipe.ErrPermissionDenied) {
				t.Fatal(err)
			}
		}
		wantRequests(t, d, "GET /v1/auth/token/lookup-self", 1)
	})
}
