package backend_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// inspectedAs has debug_token answer data, as JSON, whatever it is asked.
func (e *engine) inspectedAs(data string) (clear func()) {
	return e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":` + data + `}`})
}

// TestAPageIsAskedAboutBeforeItIsServed has the list of pages hold one whose
// token is dead: every reader is told that, and the provider is asked once.
func TestAPageIsAskedAboutBeforeItIsServed(t *testing.T) {
	for name, row := range map[string]struct{ subcode, code string }{
		"the role is lost":   {"492", "revoked"},
		"the token is dead":  {"460", "needs_reauth"},
		"the app is removed": {"458", "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.install()
			defer e.inspectedAs(`{"app_id":"123","type":"PAGE","is_valid":false,"scopes":[],"error":{"code":190,"subcode":` + row.subcode + `,"message":"x"}}`)()
			n := e.fb.Count(authpipetest.EndpointDebugToken)
			for range 3 {
				e.refused(row.code, 409, logical.ReadOperation, "creds/"+page777, nil)
			}
			if got := e.fb.Count(authpipetest.EndpointDebugToken) - n; got != 1 {
				t.Errorf("for three readers the provider was asked %d times", got)
			}
		})
	}
}

func TestALostPageRoleIsNoExpiry(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.read("creds/" + page777)
	e.fb.RemovePageRole("777", "ada")
	if _, err := e.do(logical.UpdateOperation, "connections/"+page777+"/check", nil); err == nil {
		t.Error("a check finds nothing wrong")
	}
	if got := e.read("connections/" + installation)["status"]; got != "active" {
		t.Errorf("the installation is %v", got)
	}
	e.refused("not_found", 404, logical.UpdateOperation, "connections/"+page777+"/refresh", nil)
	e.read("creds/org_acme/facebook/pages/778")
}

func TestAPageThatDiedAloneIsFetchedAnew(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.fb.KillToken(e.read("creds/" + page777)["access_token"].(string), 190, 460, "")
	e.refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+page777+"/check", nil)
	n := e.fb.Count(authpipetest.EndpointAccounts)
	e.do(logical.ReadOperation, "creds/"+page777, nil)
	if got := e.fb.Count(authpipetest.EndpointAccounts) - n; got == 0 {
		t.Error("nobody asked for another")
	}
}

func TestADeadPageTokenIsNotAskedForAtEachRead(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.read("creds/" + page777)
	defer e.inspectedAs(`{"app_id":"123","type":"PAGE","is_valid":false,"scopes":[],"error":{"code":190,"subcode":460,"message":"changed"}}`)()
	e.refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+page777+"/check", nil)
	if calls := e.calls(func() {
		for range 20 {
			e.refused("needs_reauth", 409, logical.ReadOperation, "creds/"+page777, nil)
		}
	}); calls != 1 {
		t.Errorf("20 reads made %d calls: the pages are fetched once, and the token is the one that was refused a moment ago", calls)
	}
}

// TestAPagesTokenIsFetchedAndNeverExchanged has a page's token expire, which
// one of a short-lived token does: the one above it is asked for another.
func TestAPagesTokenIsFetchedAndNeverExchanged(t *testing.T) {
	expiring := func(t *testing.T) (e *engine, token string) {
		e = newEngine(t, authpipetest.Options{})
		e.install()
		clear := e.inspectedAs(fmt.Sprintf(`{"app_id":"123","type":"PAGE","is_valid":true,"user_id":"9","profile_id":"777","expires_at":%d,"scopes":[]}`, e.clock.Now().Add(2*time.Hour).Unix()))
		c := e.read("creds/" + page777)
		clear()
		if c["ttl"] == nil {
			t.Fatalf("served is %v", c)
		}
		return e, c["access_token"].(string)
	}
	t.Run("when its reader wants more life", func(t *testing.T) {
		e, _ := expiring(t)
		n := e.fb.Count(authpipetest.EndpointExchangeToken)
		c := e.must(logical.ReadOperation, "creds/"+page777, map[string]any{"min_ttl": "24h"})
		if known, _ := e.fb.Inspect(c["access_token"].(string)); known.Page != "777" || e.fb.Count(authpipetest.EndpointExchangeToken) != n {
			t.Errorf("served is %+v, after %d exchanges", known, e.fb.Count(authpipetest.EndpointExchangeToken)-n)
		}
	})
	t.Run("when it has expired", func(t *testing.T) {
		e, token := expiring(t)
		e.fb.ExpireToken(token)
		e.clock.Advance(3 * time.Hour)
		n := e.fb.Count(authpipetest.EndpointExchangeToken)
		c := e.read("creds/" + page777)
		if known, _ := e.fb.Inspect(c["access_token"].(string)); !known.Valid || known.Page != "777" || c["access_token"] == token || e.fb.Count(authpipetest.EndpointExchangeToken) != n {
			t.Errorf("served is %+v, after %d exchanges", known, e.fb.Count(authpipetest.EndpointExchangeToken)-n)
		}
	})
}

func TestPagesSurviveAnAnswerThatIsNoList(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	before := e.read("creds/" + page777)["access_token"]
	e.clock.Advance(20 * 24 * time.Hour)
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Body: `{}`})()
	resp, err := e.do(logical.ReadOperation, "creds/"+page777, nil)
	if err != nil || resp.Data["access_token"] != before || len(resp.Warnings) != 1 {
		t.Errorf("served is %v, %v", resp, err)
	}
}

func TestThePageOfAFormerAccountIsNotServed(t *testing.T) {
	eve := func(e *engine) {
		e.fb.AddUser(authpipetest.User{ID: "eve", Pages: []string{"777"}})
	}
	t.Run("while its fetch is under way", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		eve(e)
		e.install()
		var read sync.WaitGroup
		e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, AfterEffect: true, Times: 1},
			func() { e.do(logical.ReadOperation, "creds/"+page777, nil) },
			func() {
				e.connect(installation, "admin", authpipetest.Consent{User: "eve"}, "allow_account_change", "true")
				read.Go(func() {
					token, _ := e.fb.Inspect(e.read("creds/" + page777)["access_token"].(string))
					if token.User != "eve" {
						t.Errorf("served is the page token of %s", token.User)
					}
				})
				e.settle()
			})
		read.Wait()
	})
	t.Run("while the provider cannot be reached", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		eve(e)
		e.install()
		e.read("creds/" + page777)
		e.connect(installation, "admin", authpipetest.Consent{User: "eve"}, "allow_account_change", "true")
		defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Reset: true})()
		e.refused("unavailable", 502, logical.ReadOperation, "creds/"+page777, nil)
		n := e.fb.Count(authpipetest.EndpointAccounts)
		e.refused("unavailable", 502, logical.ReadOperation, "creds/"+page777, nil)
		if got := e.fb.Count(authpipetest.EndpointAccounts) - n; got != 0 {
			t.Errorf("asked again at once, %d times", got)
		}
	})
}

// TestAPageThatWasFetchedWithWhatIsNoMoreIsNotKept has the one above it change
// while the pages are fetched, and the provider fail when they are fetched anew.
func TestAPageThatWasFetchedWithWhatIsNoMoreIsNotKept(t *testing.T) {
	for name, change := range map[string]func(*engine){
		"it is connected with another account": func(e *engine) {
			e.connect(installation, "admin", authpipetest.Consent{User: "eve"}, "allow_account_change", "true")
		},
		"it is refreshed": func(e *engine) { e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			e.fb.AddUser(authpipetest.User{ID: "eve", Pages: []string{"777"}})
			e.install()
			e.clock.Advance(20 * day)
			e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, AfterEffect: true, Times: 1},
				func() { e.do(logical.ReadOperation, "creds/"+page777, nil) },
				func() {
					change(e)
					e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Reset: true})
				})
			e.refused("not_found", 404, logical.ReadOperation, "connections/"+page777, nil)
			e.refused("unavailable", 502, logical.ReadOperation, "creds/"+page777, nil)
		})
	}
}

func TestPagesAreNotStoredUnderWhatIsGone(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, AfterEffect: true},
		func() { e.do(logical.ReadOperation, "creds/"+page777, nil) },
		func() { e.must(logical.DeleteOperation, "creds/"+installation, nil) })
	if keys, _ := e.storage.Keys(t.Context(), "cred/"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestAPagesTokenIsNoPersons(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	token := e.read("creds/" + page777)["access_token"].(string)
	e.refused("invalid_request", 400, logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": token})
}

// TestAPageIsServedWhateverIsRefreshedMeanwhile has the token above it be
// replaced each time that the pages are fetched.
func TestAPageIsServedWhateverIsRefreshedMeanwhile(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	var releases []func()
	for range 3 {
		releases = append(releases, e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, AfterEffect: true, Times: 1, Hang: true}))
	}
	var reading sync.WaitGroup
	reading.Go(func() { e.read("creds/" + page777) })
	for i, release := range releases[:2] {
		e.awaitCalls(authpipetest.EndpointAccounts, i+1)
		e.clock.Advance(2 * day)
		e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
		release()
	}
	releases[2]()
	reading.Wait()
}
