package pages_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/pages"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var (
	start = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	uma   = tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: "uma"}
)

func pageRef(id string) tenant.Ref {
	ref := uma
	ref.Page = id
	return ref
}

// A server is a provider whose accounts reach pages.
type server struct {
	provider.Provider
	inspect func(oauth.Token) (oauth.Token, error)
	pages   func() ([]provider.Page, error)
	listed  int
}

func (s *server) Inspect(_ context.Context, _ oauth.Client, t oauth.Token) (oauth.Token, error) {
	return s.inspect(t)
}

func (*server) TaskFor(string) string { return "" }

func (s *server) Pages(context.Context, oauth.Client, oauth.Token) ([]provider.Page, error) {
	s.listed++
	return s.pages()
}

// reaches has the server list pages with these ids, each with a token named for it.
func (s *server) reaches(ids ...string) {
	s.pages = func() (list []provider.Page, err error) {
		for _, id := range ids {
			list = append(list, provider.Page{ID: id, Name: "Page " + id, Token: oauth.Token{AccessToken: oauth.NewSecret("page token " + id), Account: id}})
		}
		return list, nil
	}
}

type engine struct {
	*testing.T
	pages    *pages.Pages
	store    *store.Store
	server   *server
	clock    *authpipetest.Clock
	readOnly bool
}

// newEngine returns an engine in which uma is connected and reaches pages 1 and 2.
func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{T: t, server: &server{inspect: func(t oauth.Token) (oauth.Token, error) { return t, nil }}, clock: authpipetest.NewClock(start)}
	e.server.reaches("1", "2")
	e.store = store.New(store.Options{Storage: storagetest.New(), Now: e.clock.Now})
	day := 24 * time.Hour
	err := e.store.Mount.UpdateConfig(t.Context(), "facebook", func(store.Config) (store.Config, error) {
		return store.Config{ClientID: "123", CheckInterval: &day, ClientSecretOverlap: &day}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	writable, log := func() bool { return !e.readOnly }, hclog.NewNullLogger()
	b := breaker.New(breaker.Options{
		Store: e.store, Providers: map[string]provider.Provider{"facebook": e.server}, Now: e.clock.Now, Log: log, Writable: writable, Context: t.Context(),
	})
	calls := call.New(call.Options{
		Store: e.store, Breaker: b, Revoker: revoke.New(revoke.Options{Store: e.store, Breaker: b, Now: e.clock.Now, Log: log}),
		Now: e.clock.Now, Log: log, Writable: writable, Context: t.Context(),
	})
	e.pages = pages.New(pages.Options{Store: e.store, Breaker: b, Calls: calls, Now: e.clock.Now, Log: log, Writable: writable, Context: t.Context()})
	e.connect("first")
	return e
}

// connect stores uma's credential, as a connection with that birth does.
func (e *engine) connect(birth string) {
	e.Helper()
	_, err := e.store.Credentials.Update(e.Context(), uma, func(old *store.Credential) (store.Credential, error) {
		c := store.Credential{
			Birth: birth, Generation: 1, Status: store.Active, ConnectedAt: start, CheckedAt: start,
			Token: oauth.Token{AccessToken: oauth.NewSecret("token of " + birth), Account: "42", Scopes: []string{"pages_show_list"}},
		}
		if old != nil {
			c.Generation = old.Generation + 1
		}
		return c, nil
	})
	if err != nil {
		e.Fatal(err)
	}
}

func (e *engine) stored() string {
	e.Helper()
	names, err := e.store.Credentials.List(e.Context(), store.PagesDir(uma))
	if err != nil {
		e.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestFetchReportsWhatChanged(t *testing.T) {
	e := newEngine(t)
	for _, step := range []struct {
		reached      []string
		gained, lost string
	}{
		{[]string{"1", "2"}, "[1 2]", "[]"},
		{[]string{"1", "2"}, "[]", "[]"},
		{[]string{"3", "2"}, "[3]", "[1]"},
		{nil, "[]", "[2 3]"},
	} {
		e.server.reaches(step.reached...)
		change, err := e.pages.Fetch(t.Context(), uma)
		if err != nil || fmt.Sprint(change.Gained) != step.gained || fmt.Sprint(change.Lost) != step.lost {
			t.Errorf("with %v reached, the change is %+v, %v", step.reached, change, err)
		}
		if got := e.stored(); len(strings.Fields(got)) != len(step.reached) {
			t.Errorf("with %v reached, %s is stored", step.reached, got)
		}
	}
}

func TestFetchForAnotherConnectionStoresNothing(t *testing.T) {
	e := newEngine(t)
	list := e.server.pages
	e.server.pages = func() ([]provider.Page, error) {
		e.connect("second")
		return list()
	}
	change, err := e.pages.Fetch(t.Context(), uma)
	if err != nil || len(change.Gained) != 0 || e.stored() != "" {
		t.Errorf("%q is stored and the change is %+v, %v", e.stored(), change, err)
	}
	if c, err := e.store.Credentials.Read(t.Context(), uma); err != nil || c.PagesAt != 0 {
		t.Errorf("the new connection's pages are fetched at %d, %v", c.PagesAt, err)
	}
}

func TestFetchLeavesNoPagesUnderADeletedCredential(t *testing.T) {
	e := newEngine(t)
	list := e.server.pages
	e.server.pages = func() ([]provider.Page, error) {
		if err := e.store.Credentials.Delete(t.Context(), uma, func(store.Credential) error { return nil }); err != nil {
			t.Error(err)
		}
		return list()
	}
	if _, err := e.pages.Fetch(t.Context(), uma); oauth.CodeOf(err) != oauth.NotFound || e.stored() != "" {
		t.Errorf("%q is stored, %v", e.stored(), err)
	}
}

func TestNodeThatMayNotWriteFetchesNothing(t *testing.T) {
	e := newEngine(t)
	e.readOnly = true
	if _, err := e.pages.Fetch(t.Context(), uma); !errors.Is(err, store.ErrReadOnly) || e.server.listed != 0 {
		t.Errorf("the provider was called %d times, %v", e.server.listed, err)
	}
}

func TestReadFetchesOnceForEachTokenAbove(t *testing.T) {
	e := newEngine(t)
	for range 3 {
		if c, warning, err := e.pages.Read(t.Context(), pageRef("1")); err != nil || warning != "" || c.Token.AccessToken.Reveal() != "page token 1" || c.CheckedAt.IsZero() {
			t.Errorf("read %+v, %q, %v", c, warning, err)
		}
	}
	if e.server.listed != 1 {
		t.Errorf("the pages were fetched %d times", e.server.listed)
	}
	e.connect("second")
	if c, _, err := e.pages.Read(t.Context(), pageRef("1")); err != nil || e.server.listed != 2 || c.Page.Birth != "second" {
		t.Errorf("with another connection they were fetched %d times, %v", e.server.listed, err)
	}
}

func TestReadsOfPagesWithoutAccessCostOneCallAMinute(t *testing.T) {
	e := newEngine(t)
	for minute := 1; minute <= 3; minute++ {
		for _, id := range []string{"3", "4", "3", "5"} {
			if _, _, err := e.pages.Read(t.Context(), pageRef(id)); oauth.CodeOf(err) != oauth.NotFound || !strings.Contains(err.Error(), "has no access to page "+id) {
				t.Errorf("read: %v", err)
			}
		}
		if e.server.listed != minute {
			t.Errorf("in %d minutes the pages were fetched %d times", minute, e.server.listed)
		}
		e.clock.Advance(time.Minute)
	}
	// The pages that there are do not wait for that, nor does another connection.
	if _, _, err := e.pages.Read(t.Context(), pageRef("1")); err != nil {
		t.Error(err)
	}
	e.server.reaches("3")
	e.connect("second")
	if _, _, err := e.pages.Read(t.Context(), pageRef("3")); err != nil {
		t.Error(err)
	}
}

// TestMissOfOnePageDoesNotHoldUpAnother has a page be deleted, and another die, after a
// read of a third one that the credential has no access to.
func TestMissOfOnePageDoesNotHoldUpAnother(t *testing.T) {
	e := newEngine(t)
	read := func(id string) error {
		_, _, err := e.pages.Read(t.Context(), pageRef(id))
		return err
	}
	if err := read("3"); oauth.CodeOf(err) != oauth.NotFound {
		t.Fatal(err)
	}
	if err := e.store.Credentials.DeletePage(t.Context(), uma, "1"); err != nil {
		t.Fatal(err)
	}
	_, err := e.store.Credentials.Update(t.Context(), pageRef("2"), func(old *store.Credential) (store.Credential, error) {
		c := *old
		c.Status, c.Token.AccessToken = store.NeedsReauth, oauth.NewSecret("another token, which died")
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := e.server.listed
	for _, id := range []string{"1", "2", "3", "3"} {
		if err := read(id); (err != nil) != (id == "3") {
			t.Errorf("page %s: %v", id, err)
		}
	}
	if n := e.server.listed - listed; n != 1 {
		t.Errorf("the pages were fetched %d times", n)
	}
}

func TestReadsOfADeadPageCostOneCallAMinute(t *testing.T) {
	e := newEngine(t)
	if _, _, err := e.pages.Read(t.Context(), pageRef("1")); err != nil {
		t.Fatal(err)
	}
	_, err := e.store.Credentials.Update(t.Context(), pageRef("1"), func(old *store.Credential) (store.Credential, error) {
		c := *old
		c.Status = store.Revoked
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	e.server.inspect = func(oauth.Token) (oauth.Token, error) {
		checked++
		return oauth.Token{}, &provider.Error{Class: provider.Permission, Concerns: provider.ConcernsPage, Op: "inspecting", Message: "no role"}
	}
	for minute := 1; minute <= 3; minute++ {
		e.clock.Advance(time.Minute)
		for range 5 {
			_, _, _ = e.pages.Read(t.Context(), pageRef("1"))
		}
		if e.server.listed != 1+minute || checked != minute {
			t.Errorf("in %d minutes the pages were fetched %d times, and the page checked %d times", minute, e.server.listed-1, checked)
		}
	}
}

func TestReadDuringAnOutage(t *testing.T) {
	e := newEngine(t)
	read := func() (string, error) {
		_, warning, err := e.pages.Read(t.Context(), pageRef("1"))
		return warning, err
	}
	if _, err := read(); err != nil {
		t.Fatal(err)
	}
	// A new token of the same connection, and the provider is down.
	_, err := e.store.Credentials.Update(t.Context(), uma, func(old *store.Credential) (store.Credential, error) {
		c := *old
		c.Generation++
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	e.server.pages = func() ([]provider.Page, error) {
		return nil, &provider.Error{Class: provider.Transient, Concerns: provider.ConcernsRequest, Op: "listing pages", Message: "down"}
	}
	for range 3 {
		if warning, err := read(); err != nil || !strings.Contains(warning, "down") {
			t.Errorf("read with the warning %q, %v", warning, err)
		}
	}
	if e.server.listed != 2 {
		t.Errorf("in a minute of the outage the provider was called %d times", e.server.listed-1)
	}
	e.clock.Advance(time.Minute)
	e.server.reaches("1")
	if warning, err := read(); err != nil || warning != "" {
		t.Errorf("after it: %q, %v", warning, err)
	}
	// Another connection's page is never served.
	e.connect("second")
	e.server.pages = func() ([]provider.Page, error) {
		return nil, &provider.Error{Class: provider.Transient, Concerns: provider.ConcernsRequest, Op: "listing pages", Message: "down"}
	}
	if _, err := read(); oauth.CodeOf(err) != oauth.Unavailable {
		t.Errorf("of another connection: %v", err)
	}
}

func TestPageThatIsDeadOnArrivalIsCheckedOnceAMinute(t *testing.T) {
	e := newEngine(t)
	checked := 0
	e.server.inspect = func(oauth.Token) (oauth.Token, error) {
		checked++
		return oauth.Token{}, &provider.Error{Class: provider.Permission, Concerns: provider.ConcernsPage, Op: "inspecting", Message: "no role"}
	}
	for range 3 {
		if _, _, err := e.pages.Read(t.Context(), pageRef("1")); oauth.CodeOf(err) != oauth.Revoked && oauth.CodeOf(err) != oauth.NeedsReauth {
			t.Errorf("read: %v", err)
		}
	}
	if checked != 1 || e.server.listed != 1 {
		t.Errorf("it was checked %d times and fetched %d times", checked, e.server.listed)
	}
}

func TestDeadPageStaysDeadUntilItsTokenChanges(t *testing.T) {
	e := newEngine(t)
	if _, err := e.pages.Fetch(t.Context(), uma); err != nil {
		t.Fatal(err)
	}
	_, err := e.store.Credentials.Update(t.Context(), pageRef("1"), func(old *store.Credential) (store.Credential, error) {
		c := *old
		c.Status = store.Revoked
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	status := func() store.Status {
		if _, err := e.pages.Fetch(t.Context(), uma); err != nil {
			t.Fatal(err)
		}
		c, err := e.store.Credentials.Read(t.Context(), pageRef("1"))
		if err != nil {
			t.Fatal(err)
		}
		return c.Status
	}
	if s := status(); s != store.Revoked {
		t.Errorf("listed with the same token it is %s", s)
	}
	e.server.pages = func() ([]provider.Page, error) {
		return []provider.Page{{ID: "1", Token: oauth.Token{AccessToken: oauth.NewSecret("another"), Account: "1"}}}, nil
	}
	if s := status(); s != store.Active {
		t.Errorf("listed with another token it is %s", s)
	}
}

func TestUpdateFetchesIfTheCredentialHasChanged(t *testing.T) {
	e := newEngine(t)
	for range 2 {
		if err := e.pages.Update(t.Context(), uma); err != nil {
			t.Fatal(err)
		}
	}
	if e.server.listed != 1 {
		t.Errorf("the pages were fetched %d times", e.server.listed)
	}
	e.connect("second")
	if err := e.store.Tenants.Suspend(t.Context(), "org_acme", true); err != nil {
		t.Fatal(err)
	}
	if err := e.pages.Update(t.Context(), uma); err != nil || e.server.listed != 1 {
		t.Errorf("for a suspended tenant they were fetched: %v", err)
	}
}

func TestVerdictOnTheListChecksTheCredentialAbove(t *testing.T) {
	for name, row := range map[string]struct {
		list, inspect *provider.Error
		code          oauth.Code
		status        store.Status
	}{
		"both say that the token is dead":        {&provider.Error{Class: provider.NeedsReauth}, &provider.Error{Class: provider.NeedsReauth}, oauth.NeedsReauth, store.NeedsReauth},
		"the check finds a doubtful token alive": {&provider.Error{Class: provider.NeedsReauth, Uncertain: true}, nil, oauth.Unavailable, store.Active},
		"a wrong call is the engine's own":       {&provider.Error{Class: provider.Caller}, nil, oauth.Unavailable, store.Active},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.server.pages = func() ([]provider.Page, error) { return nil, row.list }
			if row.inspect != nil {
				e.server.inspect = func(oauth.Token) (oauth.Token, error) { return oauth.Token{}, row.inspect }
			}
			_, err := e.pages.Fetch(t.Context(), uma)
			c, storeErr := e.store.Credentials.Read(t.Context(), uma)
			if oauth.CodeOf(err) != row.code || storeErr != nil || c.Status != row.status {
				t.Errorf("the fetch fails with %v, and uma is %s", err, c.Status)
			}
		})
	}
}
