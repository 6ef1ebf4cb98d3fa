package pages_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestPageIsCheckedBeforeItIsServed has the list of pages hold one whose
// token is dead: every reader gets that error, for one call.
func TestPageIsCheckedBeforeItIsServed(t *testing.T) {
	for name, row := range map[string]struct{ subcode, code string }{
		"the role is lost":   {"492", "revoked"},
		"the token is dead":  {"460", "needs_reauth"},
		"the app is removed": {"458", "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Install()
			defer e.Facebook.InspectAs(`{"app_id":"123","type":"PAGE","is_valid":false,"scopes":[],"error":{"code":190,"subcode":` + row.subcode + `,"message":"x"}}`)()
			n := e.Facebook.Count(authpipetest.EndpointDebugToken)
			for range 3 {
				e.Refused(row.code, 409, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
			}
			if got := e.Facebook.Count(authpipetest.EndpointDebugToken) - n; got != 1 {
				t.Errorf("for three readers the provider was asked %d times", got)
			}
		})
	}
}

func TestLostPageRoleIsNoExpiry(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Read("creds/" + enginetest.Page777)
	e.Facebook.RemovePageRole("777", "ada")
	if _, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Page777+"/check", nil); err == nil {
		t.Error("a check finds nothing wrong")
	}
	if got := e.Read("connections/" + enginetest.Installation)["status"]; got != "active" {
		t.Errorf("the installation is %v", got)
	}
	e.Refused("not_found", 404, logical.UpdateOperation, "connections/"+enginetest.Page777+"/refresh", nil)
	e.Read("creds/org_acme/facebook/pages/778")
}

func TestDeadPageTokenIsFetchedAnew(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Facebook.KillToken(e.Read("creds/" + enginetest.Page777)["access_token"].(string), 190, 460, "")
	e.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+enginetest.Page777+"/check", nil)
	n := e.Facebook.Count(authpipetest.EndpointAccounts)
	e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	if got := e.Facebook.Count(authpipetest.EndpointAccounts) - n; got == 0 {
		t.Error("no other token was fetched")
	}
}

func TestDeadPageTokenIsNotFetchedAtEachRead(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Read("creds/" + enginetest.Page777)
	defer e.Facebook.InspectAs(`{"app_id":"123","type":"PAGE","is_valid":false,"scopes":[],"error":{"code":190,"subcode":460,"message":"changed"}}`)()
	e.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+enginetest.Page777+"/check", nil)
	if calls := e.Facebook.CallsDuring(func() {
		for range 20 {
			e.Refused("needs_reauth", 409, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
		}
	}); calls != 1 {
		t.Errorf("20 reads made %d calls: the pages are fetched once, and the token is the one that was refused a moment ago", calls)
	}
}

// TestPageTokenIsNeverExchanged has a page's token expire, which
// one of a short-lived token does: the one above it is asked for another.
func TestPageTokenIsNeverExchanged(t *testing.T) {
	expiring := func(t *testing.T) (e *enginetest.Engine, token string) {
		e = enginetest.New(t, authpipetest.Options{})
		e.Install()
		clear := e.Facebook.InspectAs(fmt.Sprintf(`{"app_id":"123","type":"PAGE","is_valid":true,"user_id":"9","profile_id":"777","expires_at":%d,"scopes":[]}`, e.Clock.Now().Add(2*time.Hour).Unix()))
		c := e.Read("creds/" + enginetest.Page777)
		clear()
		if c["ttl"] == nil {
			t.Fatalf("served is %v", c)
		}
		return e, c["access_token"].(string)
	}
	t.Run("when its reader wants more life", func(t *testing.T) {
		e, _ := expiring(t)
		n := e.Facebook.Count(authpipetest.EndpointExchangeToken)
		c := e.Must(logical.ReadOperation, "creds/"+enginetest.Page777, map[string]any{"min_ttl": "24h"})
		if known, _ := e.Facebook.Inspect(c["access_token"].(string)); known.Page != "777" || e.Facebook.Count(authpipetest.EndpointExchangeToken) != n {
			t.Errorf("served is %+v, after %d exchanges", known, e.Facebook.Count(authpipetest.EndpointExchangeToken)-n)
		}
	})
	t.Run("when it has expired", func(t *testing.T) {
		e, token := expiring(t)
		e.Facebook.ExpireToken(token)
		e.Clock.Advance(3 * time.Hour)
		n := e.Facebook.Count(authpipetest.EndpointExchangeToken)
		c := e.Read("creds/" + enginetest.Page777)
		if known, _ := e.Facebook.Inspect(c["access_token"].(string)); !known.Valid || known.Page != "777" || c["access_token"] == token || e.Facebook.Count(authpipetest.EndpointExchangeToken) != n {
			t.Errorf("served is %+v, after %d exchanges", known, e.Facebook.Count(authpipetest.EndpointExchangeToken)-n)
		}
	})
}

func TestPagesSurviveMalformedList(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	before := e.Read("creds/" + enginetest.Page777)["access_token"]
	e.Clock.Advance(20 * 24 * time.Hour)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
	defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Body: `{}`})()
	resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil)
	if err != nil || resp.Data["access_token"] != before || len(resp.Warnings) != 1 {
		t.Errorf("served is %v, %v", resp, err)
	}
}

func TestPageOfFormerAccountIsNotServed(t *testing.T) {
	eve := func(e *enginetest.Engine) {
		e.Facebook.AddUser(authpipetest.User{ID: "eve", Pages: []string{"777"}})
	}
	t.Run("while its fetch is under way", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		eve(e)
		e.Install()
		var read sync.WaitGroup
		e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, AfterEffect: true, Times: 1},
			func() { e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil) },
			func() {
				e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "eve"}, "allow_account_change", "true")
				read.Go(func() {
					token, _ := e.Facebook.Inspect(e.Read("creds/" + enginetest.Page777)["access_token"].(string))
					if token.User != "eve" {
						t.Errorf("served is the page token of %s", token.User)
					}
				})
				e.Storage.AwaitQuiet()
			})
		read.Wait()
	})
	t.Run("while the provider cannot be reached", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		eve(e)
		e.Install()
		e.Read("creds/" + enginetest.Page777)
		e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "eve"}, "allow_account_change", "true")
		defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Reset: true})()
		e.Refused("unavailable", 502, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
		n := e.Facebook.Count(authpipetest.EndpointAccounts)
		e.Refused("unavailable", 502, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
		if got := e.Facebook.Count(authpipetest.EndpointAccounts) - n; got != 0 {
			t.Errorf("asked again at once, %d times", got)
		}
	})
}

// TestPageFetchedWithReplacedTokenIsNotStored has the one above it change
// while the pages are fetched, and the provider fail when they are fetched anew.
func TestPageFetchedWithReplacedTokenIsNotStored(t *testing.T) {
	for name, change := range map[string]func(*enginetest.Engine){
		"it is connected with another account": func(e *enginetest.Engine) {
			e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "eve"}, "allow_account_change", "true")
		},
		"it is refreshed": func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			e.Facebook.AddUser(authpipetest.User{ID: "eve", Pages: []string{"777"}})
			e.Install()
			e.Clock.Advance(20 * enginetest.Day)
			e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, AfterEffect: true, Times: 1},
				func() { e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil) },
				func() {
					change(e)
					e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Reset: true})
				})
			e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Page777, nil)
			e.Refused("unavailable", 502, logical.ReadOperation, "creds/"+enginetest.Page777, nil)
		})
	}
}

func TestPagesAreNotStoredUnderDeletedParent(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, AfterEffect: true},
		func() { e.Do(logical.ReadOperation, "creds/"+enginetest.Page777, nil) },
		func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil) })
	if keys, _ := e.Storage.Keys(t.Context(), "cred/"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestPageTokenIsNotImportedAsUser(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	token := e.Read("creds/" + enginetest.Page777)["access_token"].(string)
	e.Refused("invalid_request", 400, logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": token})
}

// TestPageIsServedDuringRefresh has the token above it be
// replaced each time that the pages are fetched.
func TestPageIsServedDuringRefresh(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	var releases []func()
	for range 3 {
		releases = append(releases, e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, AfterEffect: true, Times: 1, Hang: true}))
	}
	var reading sync.WaitGroup
	reading.Go(func() { e.Read("creds/" + enginetest.Page777) })
	for i, release := range releases[:2] {
		e.Facebook.AwaitCalls(authpipetest.EndpointAccounts, i+1)
		e.Clock.Advance(2 * enginetest.Day)
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
		release()
	}
	releases[2]()
	reading.Wait()
}
