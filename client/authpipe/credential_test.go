package authpipe_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

func TestSecondReadComesFromCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: time.Now().Add(time.Hour), ttl: 30 * time.Minute})
		client := newClient(t, d, authpipe.Options{})
		for range 100 {
			if got := token(t, client, bob()); got != "one" {
				t.Fatalf("got %q", got)
			}
		}
		wantRequests(t, d, "GET creds/", 1)
	})
}

func TestRequestSelectsItsRef(t *testing.T) {
	for what, row := range map[string]struct {
		q    authpipe.Request
		ref  string
		from authpipe.For
	}{
		"no user is the installation":            {authpipe.Request{Tenant: "t", For: authpipe.ForInstallation}, "t/facebook/installation", authpipe.ForInstallation},
		"a user is the user":                     {authpipe.Request{Tenant: "t", User: "u", For: authpipe.ForUser}, "t/facebook/users/u", authpipe.ForUser},
		"the installation for a user":            {authpipe.Request{Tenant: "t", User: "u", For: authpipe.ForInstallation}, "t/facebook/installation", authpipe.ForInstallation},
		"a page through the installation":        {authpipe.Request{Tenant: "t", Page: "7", For: authpipe.ForInstallation}, "t/facebook/pages/7", authpipe.ForInstallation},
		"a page through a user":                  {authpipe.Request{Tenant: "t", User: "u", Page: "7", For: authpipe.ForUser}, "t/facebook/users/u/pages/7", authpipe.ForUser},
		"a static one":                           {authpipe.Request{Tenant: "t", Provider: "stripe", Static: "key"}, "t/stripe/static/key", ""},
		"any of a connected user is the user":    {authpipe.Request{Tenant: "t", User: "u", For: authpipe.ForAny}, "t/facebook/users/u", authpipe.ForUser},
		"any without a user is the installation": {authpipe.Request{Tenant: "t", For: authpipe.ForAny}, "t/facebook/installation", authpipe.ForInstallation},
		"a user's id may be an address":          {authpipe.Request{Tenant: "t", User: "auth0|a+b@example.com", For: authpipe.ForUser}, "t/facebook/users/auth0|a+b@example.com", authpipe.ForUser},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			d.put(row.ref, stored{token: "it"})
			got, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), row.q)
			if err != nil || got.Ref != row.ref || got.Source != row.from {
				t.Errorf("got %v of %q, %v", got, got.Source, err)
			}
		})
	}
}

func TestRequestWithoutForOrUserIsRefused(t *testing.T) {
	d := newDouble(time.Now)
	d.put("org_acme/facebook/installation", stored{token: "the installation's"})
	client := newClient(t, d, authpipe.Options{})
	for what, row := range map[string]struct {
		user  string
		whose authpipe.For
	}{
		"an empty user without For":  {"", ""},
		"a user without For":         {"bob", ""},
		"an empty user with ForUser": {"", authpipe.ForUser},
		"an unknown For":             {"bob", "bot"},
	} {
		t.Run(what, func(t *testing.T) {
			q := authpipe.Request{Tenant: "org_acme", User: row.user, For: row.whose}
			for call, err := range map[string]error{
				"Credential":  second(client.Credential(t.Context(), q)),
				"Connection":  second(client.Connection(t.Context(), q)),
				"TokenSource": second(client.TokenSource(t.Context(), q).Token()),
				"Connect":     second(client.Connect(t.Context(), authpipe.ConnectRequest{Tenant: "org_acme", User: row.user, For: row.whose, Actor: "bob"})),
			} {
				if !errors.Is(err, authpipe.ErrInvalidRequest) {
					t.Errorf("%s: got %v", call, err)
				}
			}
			graph := &authpipe.Transport{Client: client, Request: q}
			if _, err := graph.RoundTrip(httptest.NewRequest(http.MethodGet, "https://graph.facebook.com/me", nil)); !errors.Is(err, authpipe.ErrInvalidRequest) {
				t.Errorf("Transport: got %v", err)
			}
		})
	}
	for call, err := range map[string]error{
		"Connection": second(client.Connection(t.Context(), authpipe.Request{Tenant: "org_acme", For: authpipe.ForAny})),
		"Connect":    second(client.Connect(t.Context(), authpipe.ConnectRequest{Tenant: "org_acme", For: authpipe.ForAny, Actor: "bob"})),
	} {
		if !errors.Is(err, authpipe.ErrInvalidRequest) {
			t.Errorf("%s with ForAny: got %v", call, err)
		}
	}
	wantRequests(t, d, "", 0)
}

// second returns the second result of a function.
func second[T any](_ T, err error) error { return err }

func TestMalformedRequestIsNotSent(t *testing.T) {
	for what, q := range map[string]authpipe.Request{
		"no tenant":                     {User: "u", For: authpipe.ForUser},
		"a path for a user":             {Tenant: "t", User: "../../victim/facebook/installation", For: authpipe.ForUser},
		"a path for a tenant":           {Tenant: "t/facebook/users", User: "u", For: authpipe.ForUser},
		"a query in a page":             {Tenant: "t", Page: "7?list=true", For: authpipe.ForInstallation},
		"two dots":                      {Tenant: "t", User: "a..b", For: authpipe.ForUser},
		"ForUser without a user":        {Tenant: "t", For: authpipe.ForUser},
		"a static one of a user":        {Tenant: "t", User: "u", Static: "key"},
		"an unknown For":                {Tenant: "t", User: "u", For: "everybody"},
		"an escaped slash for a tenant": {Tenant: "t%2fu", For: authpipe.ForInstallation},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			_, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), q)
			if !errors.Is(err, authpipe.ErrInvalidRequest) {
				t.Errorf("got %v", err)
			}
			wantRequests(t, d, "", 0)
		})
	}
}

func TestForAnyFallsBackOnlyIfUserNeverConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(installation, stored{token: "the installation's"})
		client := newClient(t, d, authpipe.Options{})
		anyOfBob := authpipe.Request{Tenant: "org_acme", User: "bob", For: authpipe.ForAny}
		for range 10 {
			if got := token(t, client, anyOfBob); got != "the installation's" {
				t.Fatalf("got %q", got)
			}
		}
		wantRequests(t, d, "GET creds/"+bobs, 1)
		wantRequests(t, d, "GET creds/"+installation, 1)

		// A connection made elsewhere takes effect when the refusal has expired.
		d.put(bobs, stored{token: "bob's"})
		time.Sleep(31 * time.Second)
		if got := token(t, client, anyOfBob); got != "bob's" {
			t.Errorf("once connected: got %q", got)
		}

		d.put(bobs, stored{refusal: "needs_reauth: the password was changed; connect it again with connect/" + bobs})
		client.Forget(bobs)
		_, err := client.Credential(t.Context(), anyOfBob)
		var needs *authpipe.NeedsReauthError
		if !errors.As(err, &needs) || needs.Path != "connect/"+bobs {
			t.Errorf("once dead: got %v", err)
		}
	})
}

func TestConcurrentReadsShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one"})
		d.intercept(func(*http.Request) *http.Response { time.Sleep(time.Second); return nil })
		client := newClient(t, d, authpipe.Options{})

		// The first caller gives up, and the others get the result.
		hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := client.Credential(hurried, bob()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the caller that gave up got %v", err)
			}
		})
		synctest.Wait()
		for range 64 {
			all.Go(func() { token(t, client, bob()) })
		}
		all.Wait()
		wantRequests(t, d, "GET creds/", 1)
	})
}

func TestResponseAboutAnotherCredentialIsAnError(t *testing.T) {
	d := newDouble(time.Now)
	d.put(bobs, stored{token: "eve's", data: map[string]any{"user_id": "eve"}})
	_, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), bob())
	if !errors.Is(err, authpipe.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestForAnyReadsInstallationAgainIfItsTokenExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(installation, stored{token: "one", expires: time.Now().Add(10 * time.Second)})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation})
		d.intercept(func(r *http.Request) *http.Response {
			if strings.HasSuffix(r.URL.Path, "/bob") {
				time.Sleep(20 * time.Second)
				d.put(installation, stored{token: "two", expires: time.Now().Add(time.Minute)})
			}
			return nil
		})
		if got := token(t, client, authpipe.Request{Tenant: "org_acme", User: "bob", For: authpipe.ForAny}); got != "two" {
			t.Errorf("got %q", got)
		}
	})
}

func TestNotFoundStandsDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(installation, stored{token: "the installation's"})
		client := newClient(t, d, authpipe.Options{Timeout: time.Second})
		anyOfBob := authpipe.Request{Tenant: "org_acme", User: "bob", For: authpipe.ForAny}
		token(t, client, anyOfBob)
		d.intercept(func(*http.Request) *http.Response { return d.refuse(http.StatusServiceUnavailable, "Vault is sealed") })
		for range 3600 {
			token(t, client, anyOfBob)
			time.Sleep(time.Second)
		}
	})
}

func TestFailedReadEvictsNoCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "bob's"})
		client := newClient(t, d, authpipe.Options{Size: 1})
		token(t, client, bob())
		d.intercept(func(*http.Request) *http.Response { return d.refuse(http.StatusServiceUnavailable, "Vault is sealed") })
		if _, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation}); !errors.Is(err, authpipe.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		token(t, client, bob())
	})
}

func TestExpiredTokenInResponseIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: time.Now()})
		if _, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), bob()); !errors.Is(err, authpipe.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFullCacheKeepsCredentialInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		client := newClient(t, d, authpipe.Options{Size: 8})
		d.put(bobs, stored{token: "bob's"})
		for i := range 1000 {
			if token(t, client, bob()) != "bob's" {
				t.Fatal("got another user's token")
			}
			user := "u" + string(rune('a'+i%26)) + string(rune('a'+i/26%26))
			d.put("org_acme/facebook/users/"+user, stored{token: user})
			if got := token(t, client, authpipe.Request{Tenant: "org_acme", User: user, For: authpipe.ForUser}); got != user {
				t.Fatalf("got %q of %s", got, user)
			}
		}
		wantRequests(t, d, "GET creds/"+bobs, 1)
		if n := d.count("GET "); n < 1000 {
			t.Errorf("of 1000 reads of a cache of 8 only %d were requests", n)
		}
	})
}
