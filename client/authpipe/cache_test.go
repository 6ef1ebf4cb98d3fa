package authpipe_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

func TestCachedReadDoesNotAllocate(t *testing.T) {
	d := newDouble(time.Now)
	d.put(bobs, stored{token: "one", expires: time.Now().Add(time.Hour), ttl: time.Hour})
	d.put(installation, stored{token: "the installation's"})
	client := newClient(t, d, authpipe.Options{})
	ctx := t.Context()
	for what, q := range map[string]authpipe.Request{
		"a user's": bob(), "the installation's": {Tenant: "org_acme", For: authpipe.ForInstallation}, "any of a user that never connected": {Tenant: "org_acme", User: "stranger", For: authpipe.ForAny},
	} {
		token(t, client, q)
		if n := testing.AllocsPerRun(1000, func() { _, _ = client.Credential(ctx, q) }); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

func TestRefsDifferByProvider(t *testing.T) {
	d := newDouble(time.Now)
	client := newClient(t, d, authpipe.Options{Size: 1 << 10})
	for _, provider := range []string{"facebook", "meta", "stripe"} {
		d.put("org_acme/"+provider+"/users/bob", stored{token: provider})
	}
	for range 2 {
		for _, provider := range []string{"facebook", "meta", "stripe"} {
			if got := token(t, client, authpipe.Request{Tenant: "org_acme", Provider: provider, User: "bob", For: authpipe.ForUser}); got != provider {
				t.Errorf("got that of %s for %s", got, provider)
			}
		}
	}
}

func TestRenewalsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		client := newClient(t, d, authpipe.Options{Parallel: 100})
		for i := range 100 {
			user := fmt.Sprintf("u%d", i)
			d.put("org_acme/facebook/users/"+user, stored{token: user, ttl: 100 * time.Second})
			for range 2 {
				token(t, client, authpipe.Request{Tenant: "org_acme", User: user, For: authpipe.ForUser})
			}
		}
		time.Sleep(105 * time.Second) // half of the tenth over which they are spread
		synctest.Wait()
		if n := d.count("GET ") - 100; n < 20 || n > 80 {
			t.Errorf("of 100 that are due from 100 to 110 seconds on, %d were renewed by 105", n)
		}
	})
}

func TestFailureIsCachedForABackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.intercept(func(*http.Request) *http.Response { return d.refuse(http.StatusServiceUnavailable, "Vault is sealed") })
		client := newClient(t, d, authpipe.Options{})
		for range 600 {
			if _, err := client.Credential(t.Context(), bob()); !errors.Is(err, authpipe.ErrUnavailable) {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := d.count("GET "); n < 4 || n > 14 {
			t.Errorf("in a minute of outage Vault got %d requests", n)
		}
	})
}

// With ForAny each read of a user that never connected passes that user's refusal: no caller waits for its renewal.
func TestRefusalInUseIsRenewedInBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(installation, stored{token: "the installation's"})
		client := newClient(t, d, authpipe.Options{})
		q := authpipe.Request{Tenant: "org_acme", User: "stranger", For: authpipe.ForAny}
		token(t, client, q)
		d.intercept(func(*http.Request) *http.Response { time.Sleep(500 * time.Millisecond); return nil })
		for range 600 {
			began := time.Now()
			token(t, client, q)
			if waited := time.Since(began); waited > 0 {
				t.Fatalf("it waited for %v", waited)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestLongestDurationsDoNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: time.Now().Add(200 * 365 * 24 * time.Hour)})
		d.put(installation, stored{token: "the installation's"})
		client := newClient(t, d, authpipe.Options{MaxAge: math.MaxInt64, RefusalAge: math.MaxInt64, Timeout: math.MaxInt64})
		for range 10 {
			time.Sleep(time.Hour)
			token(t, client, bob())
			token(t, client, authpipe.Request{Tenant: "org_acme", User: "stranger", For: authpipe.ForAny})
		}
		synctest.Wait()
		wantRequests(t, d, "GET ", 3)
	})
}

func TestResponseWithoutCredentialIsAnError(t *testing.T) {
	key := authpipe.Request{Tenant: "org_acme", Provider: "stripe", Static: "key"}
	for what, row := range map[string]struct {
		q      authpipe.Request
		answer string
	}{
		"no token":             {bob(), `{"data":{"tenant_id":"org_acme","provider":"facebook","user_id":"bob"}}`},
		"no static credential": {key, `{"data":{"tenant_id":"org_acme","provider":"stripe","name":"key","access_token":"x"}}`},
		"wrapped":              {bob(), `{"wrap_info":{"token":"hvs.x"},"data":null}`},
		"empty":                {bob(), `null`},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			d.intercept(func(*http.Request) *http.Response { return d.page(http.StatusOK, json.RawMessage(row.answer)) })
			got, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), row.q)
			var e *authpipe.Error
			if !errors.As(err, &e) || what == "wrapped" && e.Code != "" {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
