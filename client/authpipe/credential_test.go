package authpipe_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

func TestWhatWasAskedOnceIsAnsweredFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, held{token: "one", expires: time.Now().Add(time.Hour), ttl: 30 * time.Minute})
		client := newClient(t, d, authpipe.Options{})
		for range 100 {
			if got := token(t, client, bob()); got != "one" {
				t.Fatalf("got %q", got)
			}
		}
		wantAsked(t, d, "GET creds/", 1)
	})
}

func TestEachKindOfRequestNamesItsRef(t *testing.T) {
	for what, row := range map[string]struct {
		q    authpipe.Request
		ref  string
		from authpipe.For
	}{
		"no user is the installation":             {authpipe.Request{Tenant: "t"}, "t/facebook/installation", authpipe.ForInstallation},
		"a user is the user":                      {authpipe.Request{Tenant: "t", User: "u"}, "t/facebook/users/u", authpipe.ForUser},
		"the installation, whoever asks":          {authpipe.Request{Tenant: "t", User: "u", For: authpipe.ForInstallation}, "t/facebook/installation", authpipe.ForInstallation},
		"a page through the installation":         {authpipe.Request{Tenant: "t", Page: "7"}, "t/facebook/pages/7", authpipe.ForInstallation},
		"a page through a user":                   {authpipe.Request{Tenant: "t", User: "u", Page: "7"}, "t/facebook/users/u/pages/7", authpipe.ForUser},
		"a static one":                            {authpipe.Request{Tenant: "t", Provider: "stripe", Static: "key"}, "t/stripe/static/key", ""},
		"any of a user who connected is the user": {authpipe.Request{Tenant: "t", User: "u", For: authpipe.ForAny}, "t/facebook/users/u", authpipe.ForUser},
		"any of nobody is the installation":       {authpipe.Request{Tenant: "t", For: authpipe.ForAny}, "t/facebook/installation", authpipe.ForInstallation},
		"a user's id may be an address":           {authpipe.Request{Tenant: "t", User: "auth0|a+b@example.com"}, "t/facebook/users/auth0|a+b@example.com", authpipe.ForUser},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			d.put(row.ref, held{token: "it"})
			got, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), row.q)
			if err != nil || got.Ref != row.ref || got.Source != row.from {
				t.Errorf("got %v of %q, %v", got, got.Source, err)
			}
		})
	}
}

func TestARequestThatNamesNothingOrSomebodyElseIsRefusedUnsent(t *testing.T) {
	for what, q := range map[string]authpipe.Request{
		"no tenant":                     {User: "u"},
		"a path for a user":             {Tenant: "t", User: "../../victim/facebook/installation"},
		"a path for a tenant":           {Tenant: "t/facebook/users", User: "u"},
		"a query in a page":             {Tenant: "t", Page: "7?list=true"},
		"two dots":                      {Tenant: "t", User: "a..b"},
		"the user of nobody":            {Tenant: "t", For: authpipe.ForUser},
		"a static one of a user":        {Tenant: "t", User: "u", Static: "key"},
		"for whom nobody has heard of":  {Tenant: "t", User: "u", For: "everybody"},
		"an escaped slash for a tenant": {Tenant: "t%2fu"},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			_, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), q)
			if !errors.Is(err, authpipe.ErrInvalidRequest) {
				t.Errorf("got %v", err)
			}
			wantAsked(t, d, "", 0)
		})
	}
}

func TestAnyFallsBackOnlyWhereTheUserNeverConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(installation, held{token: "the installation's"})
		client := newClient(t, d, authpipe.Options{})
		anyOfBob := authpipe.Request{Tenant: "org_acme", User: "bob", For: authpipe.ForAny}
		for range 10 {
			if got := token(t, client, anyOfBob); got != "the installation's" {
				t.Fatalf("got %q", got)
			}
		}
		wantAsked(t, d, "GET creds/"+bobs, 1)
		wantAsked(t, d, "GET creds/"+installation, 1)

		// Who connects elsewhere is found when the refusal is no longer remembered.
		d.put(bobs, held{token: "bob's"})
		time.Sleep(31 * time.Second)
		if got := token(t, client, anyOfBob); got != "bob's" {
			t.Errorf("once connected: got %q", got)
		}

		d.put(bobs, held{refusal: "needs_reauth: the password was changed; connect it again with connect/" + bobs})
		client.Forget(bobs)
		_, err := client.Credential(t.Context(), anyOfBob)
		var needs *authpipe.NeedsReauthError
		if !errors.As(err, &needs) || needs.Path != "connect/"+bobs {
			t.Errorf("once dead: got %v", err)
		}
	})
}

func TestAllWhoWaitShareOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, held{token: "one"})
		d.meanwhile(func(*http.Request) *http.Response { time.Sleep(time.Second); return nil })
		client := newClient(t, d, authpipe.Options{})

		// The first of them gives up, and the others get their answer all the same.
		hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := client.Credential(hurried, bob()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who gave up got %v", err)
			}
		})
		synctest.Wait()
		for range 64 {
			all.Go(func() { token(t, client, bob()) })
		}
		all.Wait()
		wantAsked(t, d, "GET creds/", 1)
	})
}

func TestAnAnswerAboutAnotherCredentialIsNone(t *testing.T) {
	d := newDouble(time.Now)
	d.put(bobs, held{token: "eve's", data: map[string]any{"user_id": "eve"}})
	_, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), bob())
	if !errors.Is(err, authpipe.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestTheInstallationsTokenMayEndWhileTheUserIsBeingLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(installation, held{token: "one", expires: time.Now().Add(10 * time.Second)})
		client := newClient(t, d, authpipe.Options{})
		token(t, client, authpipe.Request{Tenant: "org_acme"})
		d.meanwhile(func(r *http.Request) *http.Response {
			if strings.HasSuffix(r.URL.Path, "/bob") {
				time.Sleep(20 * time.Second)
				d.put(installation, held{token: "two", expires: time.Now().Add(time.Minute)})
			}
			return nil
		})
		if got := token(t, client, authpipe.Request{Tenant: "org_acme", User: "bob", For: authpipe.ForAny}); got != "two" {
			t.Errorf("got %q", got)
		}
	})
}

func TestTheWordThatSomebodyNeverConnectedStandsWhileVaultIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(installation, held{token: "the installation's"})
		client := newClient(t, d, authpipe.Options{Timeout: time.Second})
		anyOfBob := authpipe.Request{Tenant: "org_acme", User: "bob", For: authpipe.ForAny}
		token(t, client, anyOfBob)
		d.meanwhile(func(*http.Request) *http.Response { return d.refuse(http.StatusServiceUnavailable, "Vault is sealed") })
		for range 3600 {
			token(t, client, anyOfBob)
			time.Sleep(time.Second)
		}
	})
}

func TestWhatCannotBeHadThrowsNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, held{token: "bob's"})
		client := newClient(t, d, authpipe.Options{Size: 1})
		token(t, client, bob())
		d.meanwhile(func(*http.Request) *http.Response { return d.refuse(http.StatusServiceUnavailable, "Vault is sealed") })
		if _, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme"}); !errors.Is(err, authpipe.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		token(t, client, bob())
	})
}

func TestATokenThatComesDeadIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		d.put(bobs, held{token: "one", expires: time.Now()})
		if _, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), bob()); !errors.Is(err, authpipe.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}

func TestACacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(time.Now)
		client := newClient(t, d, authpipe.Options{Size: 8})
		d.put(bobs, held{token: "bob's"})
		for i := range 1000 {
			if token(t, client, bob()) != "bob's" {
				t.Fatal("another's")
			}
			user := "u" + string(rune('a'+i%26)) + string(rune('a'+i/26%26))
			d.put("org_acme/facebook/users/"+user, held{token: user})
			if got := token(t, client, authpipe.Request{Tenant: "org_acme", User: user}); got != user {
				t.Fatalf("got %q of %s", got, user)
			}
		}
		wantAsked(t, d, "GET creds/"+bobs, 1)
		if n := d.count("GET "); n < 1000 {
			t.Errorf("of 1000 in turn only %d were asked for, with room for 8", n)
		}
	})
}
