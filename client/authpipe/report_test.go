package authpipe_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

func TestReportedTokenIsCheckedOnceAndReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one"})
		client := newClient(t, d, authpipe.Options{})
		dead, err := client.Credential(t.Context(), bob())
		if err != nil {
			t.Fatal(err)
		}
		d.intercept(func(r *http.Request) *http.Response {
			time.Sleep(time.Second)
			if r.Method == http.MethodPut { // the check finds it dead, and the engine has a new one from then on
				d.put(bobs, stored{token: "two"})
			}
			return nil
		})
		var crowd sync.WaitGroup
		for range 32 {
			crowd.Go(func() {
				fresh, err := client.ReportDead(t.Context(), dead)
				if err != nil || fresh.AccessToken.Reveal() != "two" {
					t.Errorf("got %v, %v", fresh, err)
				}
			})
			crowd.Go(func() {
				time.Sleep(time.Millisecond)
				if got := token(t, client, bob()); got != "two" {
					t.Errorf("a read during the check returned %q", got)
				}
			})
		}
		crowd.Wait()
		if _, err := client.ReportDead(t.Context(), dead); err != nil { // a late report
			t.Error(err)
		}
		wantRequests(t, d, "PUT connections/"+bobs+"/check", 1)
		wantRequests(t, d, "GET creds/"+bobs, 2)
	})
}

func TestLivingTokenIsCheckedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one"})
		client := newClient(t, d, authpipe.Options{})
		alive, err := client.Credential(t.Context(), bob())
		if err != nil {
			t.Fatal(err)
		}
		for range 59 {
			if _, err := client.ReportDead(t.Context(), alive); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		wantRequests(t, d, "PUT connections/", 1)
		time.Sleep(2 * time.Second)
		if _, err := client.ReportDead(t.Context(), alive); err != nil {
			t.Fatal(err)
		}
		wantRequests(t, d, "PUT connections/", 2)
	})
}

func TestRenewalKeepsTimeOfLastCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", ttl: 30 * time.Second})
		client := newClient(t, d, authpipe.Options{})
		for range 59 {
			alive, err := client.Credential(t.Context(), bob())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.ReportDead(t.Context(), alive); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		wantRequests(t, d, "GET creds/", 3)
		wantRequests(t, d, "PUT connections/", 1)
	})
}

func TestFailedCheckIsNotRepeatedAtOnce(t *testing.T) {
	for what, row := range map[string]struct {
		status int
		text   string
		want   int // within a minute
	}{
		"the provider throttles":     {http.StatusTooManyRequests, "throttled: until noon", 12},
		"no policy allows the check": {http.StatusForbidden, "permission denied", 1},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble(time.Now)
				d.put(bobs, stored{token: "one"})
				d.intercept(func(r *http.Request) *http.Response {
					if r.Method == http.MethodPut {
						return d.refuse(row.status, row.text)
					}
					return nil
				})
				client := newClient(t, d, authpipe.Options{})
				for range 599 {
					alive, err := client.Credential(t.Context(), bob())
					if err != nil {
						t.Fatal(err)
					}
					if _, err := client.ReportDead(t.Context(), alive); err != nil {
						t.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				wantRequests(t, d, "PUT connections/", row.want)
				wantRequests(t, d, "GET creds/", 1+row.want)
			})
		})
	}
}

func TestFailedCheckIsRepeatedLater(t *testing.T) {
	for what, away := range map[string]string{"Vault is sealed": "", "the check alone fails": http.MethodPut} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDouble(time.Now)
				d.put(bobs, stored{token: "one", check: "revoked: bob took it away"})
				client := newClient(t, d, authpipe.Options{})
				dead, err := client.Credential(t.Context(), bob())
				if err != nil {
					t.Fatal(err)
				}
				d.intercept(func(r *http.Request) *http.Response {
					if away == "" || r.Method == away {
						return d.refuse(http.StatusServiceUnavailable, "Vault is sealed")
					}
					return nil
				})
				if _, err := client.ReportDead(t.Context(), dead); (err == nil) != (away != "") {
					t.Errorf("got %v", err)
				}
				d.intercept(nil)
				_, _ = client.Credential(t.Context(), bob()) // it is still in use
				time.Sleep(6 * time.Minute)
				_, _ = client.Credential(t.Context(), bob())
				wantRequests(t, d, "PUT connections/", 2)
			})
		})
	}
}

func TestDeadTokenIsNotServedAfterCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", check: "revoked: bob took it away"})
		client := newClient(t, d, authpipe.Options{})
		dead, err := client.Credential(t.Context(), bob())
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.ReportDead(t.Context(), dead)
		var needs *authpipe.NeedsReauthError
		if !errors.As(err, &needs) || !errors.Is(err, authpipe.ErrRevoked) || needs.Path != "connect/"+bobs {
			t.Errorf("the report returned %v", err)
		}
		if _, err := client.Credential(t.Context(), bob()); !errors.Is(err, authpipe.ErrRevoked) {
			t.Errorf("the next read returned %v", err)
		}
	})
}

func TestCallBegunBeforeReportDoesNotRestoreDeadToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", ttl: 30 * time.Second})
		client := newClient(t, d, authpipe.Options{})
		dead, err := client.Credential(t.Context(), bob())
		if err != nil {
			t.Fatal(err)
		}
		token(t, client, bob())
		// The report comes while a renewal is under way, which will return the former token.
		d.intercept(func(r *http.Request) *http.Response {
			answer := d.answer(r, "creds/"+bobs)
			if r.Method == http.MethodPut {
				return nil
			}
			time.Sleep(5 * time.Second)
			return answer
		})
		time.Sleep(34 * time.Second)
		wantRequests(t, d, "GET creds/", 2)
		d.put(bobs, stored{token: "two"})
		fresh, err := client.ReportDead(t.Context(), dead)
		if err != nil || fresh.AccessToken.Reveal() != "two" || token(t, client, bob()) != "two" {
			t.Errorf("got %v, %v", fresh.AccessToken.Reveal(), err)
		}
		if twice := d.concurrent(); len(twice) > 0 {
			t.Errorf("two requests at the same time for %v", twice)
		}
	})
}

func TestReplacedTokenIsNotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", ttl: 30 * time.Second})
		client := newClient(t, d, authpipe.Options{})
		dead, err := client.Credential(t.Context(), bob())
		if err != nil {
			t.Fatal(err)
		}
		token(t, client, bob())
		d.put(bobs, stored{token: "two"})
		d.intercept(func(*http.Request) *http.Response { time.Sleep(5 * time.Second); return nil })
		time.Sleep(34 * time.Second) // the renewal is under way
		fresh, err := client.ReportDead(t.Context(), dead)
		if err != nil || fresh.AccessToken.Reveal() != "two" {
			t.Errorf("got %v, %v", fresh, err)
		}
		wantRequests(t, d, "PUT", 0)
	})
}

func TestCallBegunBeforeForgetReadsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		page := authpipe.Request{Tenant: "org_acme", User: "bob", Page: "7", For: authpipe.ForUser}
		d.put(bobs, stored{token: "one"})
		d.put(bobs+"/pages/7", stored{token: "one"})
		d.intercept(func(r *http.Request) *http.Response {
			answer := d.answer(r, strings.TrimPrefix(r.URL.Path, "/v1/authpipe/"))
			time.Sleep(time.Second)
			return answer
		})
		client := newClient(t, d, authpipe.Options{})
		var both sync.WaitGroup
		for _, q := range []authpipe.Request{bob(), page} {
			both.Go(func() {
				if got := token(t, client, q); got != "two" {
					t.Errorf("%+v: got %q", q, got)
				}
			})
		}
		synctest.Wait()
		d.put(bobs, stored{token: "two"})
		d.put(bobs+"/pages/7", stored{token: "two"})
		client.Forget(bobs)
		both.Wait()
	})
}

func TestForgetDropsCredentialAndItsPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		page, other := authpipe.Request{Tenant: "org_acme", User: "bob", Page: "7", For: authpipe.ForUser}, authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation}
		for _, ref := range []string{bobs, bobs + "/pages/7", installation} {
			d.put(ref, stored{token: "one"})
		}
		client := newClient(t, d, authpipe.Options{})
		for range 2 {
			for _, q := range []authpipe.Request{bob(), page, other} {
				token(t, client, q)
			}
			client.Forget(bobs)
			client.Forget("no ref")
		}
		wantRequests(t, d, "GET creds/"+bobs, 4)
		wantRequests(t, d, "GET creds/"+installation, 1)
	})
}

// An event of a tenant, such as its suspension, has the tenant as its ref.
func TestForgetDropsTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		all := []authpipe.Request{
			bob(), {Tenant: "org_acme", For: authpipe.ForInstallation}, {Tenant: "org_acme", User: "bob", Page: "7", For: authpipe.ForUser}, {Tenant: "org_acme", Provider: "stripe", Static: "key"},
			{Tenant: "org_acme2", For: authpipe.ForInstallation},
		}
		for _, ref := range []string{bobs, installation, bobs + "/pages/7", "org_acme/stripe/static/key", "org_acme2/facebook/installation"} {
			d.put(ref, stored{token: "one"})
		}
		client := newClient(t, d, authpipe.Options{})
		for range 2 {
			for _, q := range all {
				token(t, client, q)
			}
			client.Forget("org_acme")
		}
		wantRequests(t, d, "GET creds/org_acme/", 8)
		wantRequests(t, d, "GET creds/org_acme2/", 1)

		d.intercept(func(r *http.Request) *http.Response {
			answer := d.answer(r, strings.TrimPrefix(r.URL.Path, "/v1/authpipe/"))
			time.Sleep(time.Second)
			return answer
		})
		under := make(chan error)
		go func() {
			_, err := client.Credential(t.Context(), bob())
			under <- err
		}()
		synctest.Wait()
		d.put(bobs, stored{refusal: "suspended: the tenant is suspended"})
		client.Forget("org_acme")
		if err := <-under; !errors.Is(err, authpipe.ErrSuspended) {
			t.Errorf("the read under way returned %v", err)
		}
	})
}

func TestReplacedProofIsNotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one", ttl: 30 * time.Second, data: map[string]any{"appsecret_proof": "of the former secret"}})
		client := newClient(t, d, authpipe.Options{})
		former, err := client.Credential(t.Context(), bob())
		if err != nil {
			t.Fatal(err)
		}
		token(t, client, bob())
		d.put(bobs, stored{token: "one", data: map[string]any{"appsecret_proof": "of the new secret"}})
		time.Sleep(34 * time.Second) // it is renewed
		fresh, err := client.ReportDead(t.Context(), former)
		if err != nil || fresh.AppSecretProof.Reveal() != "of the new secret" {
			t.Errorf("got %v, %v", fresh, err)
		}
		wantRequests(t, d, "PUT", 0)
	})
}

func TestTokenKnownToBeDeadIsNotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, stored{token: "one"})
		client := newClient(t, d, authpipe.Options{})
		dead, err := client.Credential(t.Context(), bob())
		if err != nil {
			t.Fatal(err)
		}
		d.put(bobs, stored{refusal: "revoked: bob took it away"})
		client.Forget(bobs)
		for range 3 {
			if _, err := client.Credential(t.Context(), bob()); !errors.Is(err, authpipe.ErrRevoked) {
				t.Errorf("got %v", err)
			}
			if _, err := client.ReportDead(t.Context(), dead); !errors.Is(err, authpipe.ErrRevoked) {
				t.Errorf("the report returned %v", err)
			}
		}
		wantRequests(t, d, "PUT", 0)
	})
}

func TestReportedStaticCredentialIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put("org_acme/stripe/static/key", stored{token: "sk_one"})
		client := newClient(t, d, authpipe.Options{})
		key, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", Provider: "stripe", Static: "key"})
		if err != nil || key.Static.Reveal() != "sk_one" || key.Type != authpipe.TypeAPIKey {
			t.Fatalf("got %v, %v", key, err)
		}
		d.put("org_acme/stripe/static/key", stored{token: "sk_two"})
		if key, err = client.ReportDead(t.Context(), key); err != nil || key.Static.Reveal() != "sk_two" {
			t.Errorf("got %v, %v", key, err)
		}
		wantRequests(t, d, "PUT", 0)
	})
}
