package authpipe_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

func TestTokenInUseIsRenewedAtItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: time.Now().Add(time.Hour), ttl: 30 * time.Second})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, bob())
		token(t, client, bob())
		d.put(bobs, stored{token: "two", expires: time.Now().Add(2 * time.Hour), ttl: 30 * time.Second})

		time.Sleep(29 * time.Second)
		synctest.Wait()
		wantRequests(t, d, "GET creds/", 1) // not before its ttl
		time.Sleep(5 * time.Second)
		synctest.Wait()
		wantRequests(t, d, "GET creds/", 2)
		if got := token(t, client, bob()); got != "two" {
			t.Errorf("got %q", got)
		}
		wantRequests(t, d, "GET creds/", 2)
	})
}

func TestTokenIsRenewedBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: time.Now().Add(2 * time.Minute), ttl: time.Hour})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, bob())
		token(t, client, bob())
		d.put(bobs, stored{token: "two", expires: time.Now().Add(time.Hour), ttl: time.Hour})
		time.Sleep(118 * time.Second)
		synctest.Wait()
		wantRequests(t, d, "GET creds/", 2)
	})
}

// Vault's Date has whole seconds, so a token that is read at the end of one expires up to a second sooner than it seems.
func TestTokenExpiresByEarliestReadingOfDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := time.Now().Add(10 * time.Second)
		time.Sleep(900 * time.Millisecond)
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: ends})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, bob())
		d.intercept(func(*http.Request) *http.Response { return d.refuse(http.StatusServiceUnavailable, "Vault is sealed") })
		for range 1200 {
			if _, err := client.Credential(t.Context(), bob()); err == nil && !time.Now().Before(ends) {
				t.Fatalf("%v after its end it is served", time.Since(ends))
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func TestTokenExpiredInTransitIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		ends := time.Now().Add(3 * time.Second)
		d.put(bobs, stored{token: "one", expires: ends})
		d.intercept(func(r *http.Request) *http.Response {
			answer := d.answer(r, "creds/"+bobs)
			d.put(bobs, stored{token: "two", expires: time.Now().Add(time.Hour)})
			time.Sleep(5 * time.Second)
			return answer
		})
		client := newClient(t, d, authpipe.Options{})
		if got := token(t, client, bob()); got != "two" {
			t.Errorf("%v after its end: %q", time.Since(ends), got)
		}
	})
}

func TestParallelBoundsRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		client := newClient(t, d, authpipe.Options{Parallel: 2})
		users := []string{"a", "b", "c", "d", "e", "f"}
		for _, user := range users {
			d.put("org_acme/facebook/users/"+user, stored{token: user, ttl: 30 * time.Second})
			for range 2 {
				token(t, client, authpipe.Request{Tenant: "org_acme", User: user, For: authpipe.ForUser})
			}
		}
		var under, most atomic.Int64
		d.intercept(func(*http.Request) *http.Response {
			most.Store(max(most.Load(), under.Add(1)))
			time.Sleep(10 * time.Second)
			under.Add(-1)
			return nil
		})
		time.Sleep(2 * time.Minute)
		if most.Load() != 2 {
			t.Errorf("%d were renewed at the same time", most.Load())
		}
		wantRequests(t, d, "GET creds/", 2*len(users))
	})
}

func TestIdleCredentialIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: time.Now().Add(240 * time.Hour), ttl: 30 * time.Second})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, bob())
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		wantRequests(t, d, "GET creds/", 1)

		// The next read waits for the current token, and the one after that comes from the cache.
		d.put(bobs, stored{token: "two", expires: time.Now().Add(240 * time.Hour), ttl: 30 * time.Second})
		if got := token(t, client, bob()); got != "two" {
			t.Errorf("the next read returned %q of yesterday", got)
		}
		token(t, client, bob())
		wantRequests(t, d, "GET creds/", 2)

		// During an outage, the cached token is served.
		time.Sleep(24 * time.Hour)
		d.intercept(func(*http.Request) *http.Response { return d.refuse(http.StatusServiceUnavailable, "Vault is sealed") })
		if got := token(t, client, bob()); got != "two" {
			t.Errorf("while Vault is sealed: got %q", got)
		}
	})
}

func TestTokenWithoutTTLIsRenewedAtMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one"})
		client := newClient(t, d, authpipe.Options{MaxAge: time.Minute})
		for range 600 {
			token(t, client, bob())
			time.Sleep(time.Second)
		}
		if n := d.count("GET creds/"); n < 9 || n > 10 {
			t.Errorf("in ten minutes there were %d requests", n)
		}
	})
}

func TestExpiredTokenIsNeverServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		ends := time.Now().Add(10 * time.Minute)
		d.put(bobs, stored{token: "one", expires: ends, ttl: time.Hour})
		client := newClient(t, d, authpipe.Options{Timeout: time.Second})
		token(t, client, bob())
		d.intercept(func(*http.Request) *http.Response { return d.refuse(http.StatusServiceUnavailable, "Vault is sealed") })
		served := 0
		for time.Now().Before(ends.Add(time.Minute)) {
			got, err := client.Credential(t.Context(), bob())
			switch {
			case err == nil && !time.Now().Before(ends):
				t.Fatalf("%v after its end %v is served", time.Since(ends), got)
			case err == nil:
				served++
			case !errors.Is(err, authpipe.ErrUnavailable):
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if served < 598 {
			t.Errorf("it was served for %d of its 600 seconds", served)
		}
		if n := d.count("GET creds/"); n > 150 {
			t.Errorf("in the outage Vault got %d requests", n)
		}
		d.intercept(nil)
		d.put(bobs, stored{token: "two", expires: time.Now().Add(time.Hour)})
		time.Sleep(31 * time.Second)
		if got := token(t, client, bob()); got != "two" {
			t.Errorf("after the outage: got %q", got)
		}
	})
}

func TestLifetimeIgnoresSkewOfVaultsClock(t *testing.T) {
	for what, skew := range map[string]time.Duration{"Vault's clock is a day ahead": 24 * time.Hour, "Vault's clock is a day behind": -24 * time.Hour} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vaults := func() time.Time { return time.Now().Add(skew) }
				d := newDouble(vaults)
				d.put(bobs, stored{token: "one", expires: vaults().Add(10 * time.Minute)})
				client := newClient(t, d, authpipe.Options{})
				token(t, client, bob())
				d.put(bobs, stored{token: "two", expires: vaults().Add(time.Hour)})
				time.Sleep(5 * time.Minute)
				if got := token(t, client, bob()); got != "one" {
					t.Errorf("after half its life: got %q", got)
				}
				time.Sleep(5 * time.Minute)
				if got := token(t, client, bob()); got != "two" {
					t.Errorf("after its life: got %q", got)
				}
			})
		})
	}
}

func TestRefusalEndsServiceAndOutageDoesNot(t *testing.T) {
	for what, row := range map[string]struct {
		status int
		text   string
		served bool
	}{
		"needs_reauth":       {409, "needs_reauth: it is dead", false},
		"revoked":            {409, "revoked: it was taken away", false},
		"failed":             {409, "failed: it has expired", false},
		"suspended":          {409, "suspended: the tenant is suspended", false},
		"not found":          {404, "not_found: there is none", false},
		"permission denied":  {403, "permission denied", false},
		"throttled":          {429, "throttled: until noon", true},
		"misconfigured":      {424, "misconfigured: the client is refused", true},
		"unavailable":        {502, "unavailable: Facebook is down", true},
		"Vault is sealed":    {503, "Vault is sealed", true},
		"Vault fails":        {500, "internal error", true},
		"the mount is gone":  {404, "no handler for route \"authpipe/\". route entry not found.", false},
		"another engine":     {404, "unsupported path", false},
		"the plugin is down": {404, "no handler for route \"authpipe/\". route entry found, but backend is nil.", true},
		"a dead Vault token": {403, "permission denied\n\t* invalid token", true},
		"Vault's quota":      {429, "rate limit quota exceeded", true},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble(time.Now)
				d.put(bobs, stored{token: "one", expires: time.Now().Add(time.Hour), ttl: 30 * time.Second})
				client := newClient(t, d, authpipe.Options{})
				token(t, client, bob())
				token(t, client, bob())
				d.put(bobs, stored{status: row.status, refusal: row.text})
				time.Sleep(35 * time.Second)
				synctest.Wait()
				wantRequests(t, d, "GET creds/", 2)
				if _, err := client.Credential(t.Context(), bob()); (err == nil) != row.served {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestReadOfEvictedCredentialJoinsItsRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", ttl: 30 * time.Second})
		d.put(installation, stored{token: "the installation's"})
		client := newClient(t, d, authpipe.Options{Size: 1})
		token(t, client, bob())
		token(t, client, bob())
		d.intercept(func(r *http.Request) *http.Response {
			if strings.HasSuffix(r.URL.Path, "/bob") {
				time.Sleep(10 * time.Second)
			}
			return nil
		})
		time.Sleep(34 * time.Second)
		wantRequests(t, d, "GET creds/"+bobs, 2) // its renewal is under way
		token(t, client, authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation})
		if got := token(t, client, bob()); got != "one" {
			t.Errorf("got %q", got)
		}
		wantRequests(t, d, "GET creds/"+bobs, 2)
	})
}

// A log handler may read a credential with the same client, for example to send the record to another service.
func TestLogHandlerMayUseTheClient(t *testing.T) {
	for what, row := range map[string]struct {
		refusal string
		served  bool
	}{
		"a token that cannot be renewed":   {"", true},
		"a refusal that cannot be renewed": {"revoked: bob took it away", false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble(time.Now)
				d.put(bobs, stored{token: "one", ttl: 30 * time.Second, refusal: row.refusal})
				d.put(installation, stored{token: "the installation's"})
				reads := make(chan error, 10)
				log := &readingLog{Handler: slog.DiscardHandler, reads: reads}
				log.client = newClient(t, d, authpipe.Options{Logger: slog.New(log)})
				for range 2 {
					if _, err := log.client.Credential(t.Context(), bob()); (err == nil) != row.served {
						t.Fatal(err)
					}
				}
				d.put(bobs, stored{status: 503, refusal: "Vault is sealed"})
				time.Sleep(34 * time.Second)
				synctest.Wait()
				if _, err := log.client.Credential(t.Context(), bob()); (err == nil) != row.served {
					t.Errorf("got %v", err)
				}
				if len(reads) == 0 {
					t.Fatal("nothing was logged")
				}
				if err := <-reads; err != nil {
					t.Errorf("the log handler got %v", err)
				}
			})
		})
	}
}

// readingLog reads a credential for each record, on the client's own goroutines.
type readingLog struct {
	slog.Handler
	client *authpipe.Client
	reads  chan<- error // the error of each read
}

// Enabled implements [slog.Handler].
func (l *readingLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (l *readingLog) Handle(ctx context.Context, _ slog.Record) error {
	_, err := l.client.Credential(ctx, authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation})
	l.reads <- err
	return err
}

func TestLifetimeGoesByOptionsNow(t *testing.T) {
	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	d := newDouble(clock.Now)
	d.put(bobs, stored{token: "one", expires: clock.Now().Add(time.Hour)})
	client := newClient(t, d, authpipe.Options{Now: clock.Now, MaxAge: 2 * time.Hour})
	token(t, client, bob())
	d.put(bobs, stored{token: "two", expires: clock.Now().Add(3 * time.Hour)})
	clock.Advance(time.Hour)
	if got := token(t, client, bob()); got != "two" {
		t.Errorf("got %q", got)
	}
}

func TestCloseEndsCallsAndGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it fails if a goroutine is left
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one"})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, bob())
		d.intercept(func(r *http.Request) *http.Response { <-r.Context().Done(); return nil })
		waiting := make(chan error)
		go func() {
			_, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation})
			waiting <- err
		}()
		synctest.Wait()
		client.Close()
		if err := <-waiting; !errors.Is(err, authpipe.ErrClosed) {
			t.Errorf("the waiting read returned %v", err)
		}
		if _, err := client.Credential(t.Context(), bob()); !errors.Is(err, authpipe.ErrClosed) {
			t.Errorf("a read of the cached credential returned %v", err)
		}
		client.Close()
	})
}

// A response is at most five minutes old while it is being read, and ten if it is read rarely, so a suspension takes effect in
// that time.
func TestRareReadWaitsForCurrentAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", expires: time.Now().Add(1440 * time.Hour), ttl: 720 * time.Hour})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, bob())
		time.Sleep(10 * time.Minute)
		d.put(bobs, stored{refusal: "suspended: the tenant is suspended"})
		time.Sleep(50 * time.Minute)
		if _, err := client.Credential(t.Context(), bob()); !errors.Is(err, authpipe.ErrSuspended) {
			t.Errorf("fifty minutes after the suspension: got %v", err)
		}
	})
}
