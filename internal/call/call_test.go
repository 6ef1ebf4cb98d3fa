package call_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const day = 24 * time.Hour

var (
	start = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	uma   = tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: "uma"}
	page  = tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: "uma", Page: "1"}
)

// A server is a provider that answers as its functions say.
type server struct {
	provider.Provider
	inspect, refresh func(oauth.Token) (oauth.Token, error)
}

func (s *server) Inspect(_ context.Context, _ oauth.Client, t oauth.Token) (oauth.Token, error) {
	return s.inspect(t)
}

func (s *server) Refresh(_ context.Context, _ oauth.Client, t oauth.Token) (oauth.Token, error) {
	return s.refresh(t)
}

func (s *server) BatchLimit() int { return 50 }

func (s *server) InspectAll(_ context.Context, _ oauth.Client, tokens []oauth.Token) []provider.Inspection {
	answers := make([]provider.Inspection, len(tokens))
	for i, t := range tokens {
		answers[i].Token, answers[i].Err = s.inspect(t)
	}
	return answers
}

type engine struct {
	t        *testing.T
	calls    *call.Calls
	store    *store.Store
	breaker  *breaker.Breaker
	server   *server
	clock    *authpipetest.Clock
	mu       sync.Mutex
	outcomes []string
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{t: t, server: &server{}, clock: authpipetest.NewClock(start)}
	e.store = store.New(store.Options{Storage: storagetest.New(), Now: e.clock.Now})
	interval := day
	err := e.store.Mount.UpdateConfig(t.Context(), "facebook", func(store.Config) (store.Config, error) {
		return store.Config{ClientID: "123", CheckInterval: &interval, ClientSecretOverlap: &interval}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	writable, log := func() bool { return true }, hclog.NewNullLogger()
	e.breaker = breaker.New(breaker.Options{
		Store: e.store, Providers: map[string]provider.Provider{"facebook": e.server}, Now: e.clock.Now, Log: log, Writable: writable, Context: t.Context(),
	})
	e.calls = call.New(call.Options{
		Store: e.store, Breaker: e.breaker, Revoker: revoke.New(revoke.Options{Store: e.store, Breaker: e.breaker, Now: e.clock.Now, Log: log}),
		Now: e.clock.Now, Log: log, Writable: writable, Context: t.Context(),
		Ended: func(_, name, outcome string) {
			e.mu.Lock() // the results of a batch are recorded concurrently
			defer e.mu.Unlock()
			e.outcomes = append(e.outcomes, name+" "+outcome)
		},
	})
	return e
}

// put stores a credential with a token of 60 days, as change changes it.
func (e *engine) put(ref tenant.Ref, change func(*store.Credential)) {
	e.t.Helper()
	_, err := e.store.Credentials.Update(e.t.Context(), ref, func(*store.Credential) (store.Credential, error) {
		c := store.Credential{
			Birth: "first", Generation: 1, Status: store.Active, ConnectedAt: start, CheckedAt: start,
			Token:       oauth.Token{AccessToken: oauth.NewSecret("token of " + ref.String()), Account: "42", IssuedAt: start, ExpiresAt: start.Add(60 * day)},
			NextRefresh: start.Add(30 * day), NextCheck: start.Add(day),
		}
		if ref.Page != "" {
			c.Page = &store.Page{Birth: "first", Generation: 1}
		}
		if change != nil {
			change(&c)
		}
		return c, nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *engine) get(ref tenant.Ref) store.Credential {
	e.t.Helper()
	c, err := e.store.Credentials.Read(e.t.Context(), ref)
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// refuses has the server answer each inspection with err.
func (e *engine) refuses(err *provider.Error) {
	e.server.inspect = func(oauth.Token) (oauth.Token, error) { return oauth.Token{}, err }
}

func TestCheckRecordsWhatAnErrorMeans(t *testing.T) {
	for name, row := range map[string]struct {
		err       provider.Error
		ref       tenant.Ref
		status    store.Status
		failures  int
		code      oauth.Code
		nextCheck time.Duration // 0: none
	}{
		"a transient error is tried again in a minute": {
			provider.Error{Class: provider.Transient, Concerns: provider.ConcernsRequest}, uma, store.Active, 1, oauth.Unavailable, day,
		},
		"a rate limit is not the credential's failure": {
			provider.Error{Class: provider.Throttled}, uma, store.Active, 0, oauth.Throttled, day,
		},
		"a verdict without a reason is confirmed in a minute": {
			provider.Error{Class: provider.NeedsReauth, Uncertain: true}, uma, store.Active, 1, oauth.Unavailable, time.Minute,
		},
		"an expiry that the last check contradicts is confirmed in a minute": {
			provider.Error{Class: provider.NeedsReauth, Err: provider.ErrTokenExpired}, uma, store.Active, 1, oauth.Unavailable, time.Minute,
		},
		"a verdict with a reason ends the credential, which is checked again": {
			provider.Error{Class: provider.NeedsReauth}, uma, store.NeedsReauth, 1, oauth.NeedsReauth, time.Hour,
		},
		"a grant that was taken away does not come back": {
			provider.Error{Class: provider.Revoked}, uma, store.Revoked, 1, oauth.Revoked, 0,
		},
		"a missing permission leaves the token alive": {
			provider.Error{Class: provider.Permission}, uma, store.Active, 1, oauth.NeedsReauth, day,
		},
		"a lost role on a page ends the page's token": {
			provider.Error{Class: provider.Permission, Concerns: provider.ConcernsPage}, page, store.Revoked, 1, oauth.Revoked, 0,
		},
		"the engine's own wrong call is not the caller's": {
			provider.Error{Class: provider.Caller}, uma, store.Active, 1, oauth.Unavailable, day,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.put(uma, nil)
			e.put(row.ref, nil)
			e.refuses(&row.err)
			_, err := e.calls.Check(t.Context(), row.ref)
			c := e.get(row.ref)
			if oauth.CodeOf(err) != row.code || c.Status != row.status || c.ConsecutiveFailures != row.failures {
				t.Errorf("the caller gets %v; the credential is %s after %d failures", err, c.Status, c.ConsecutiveFailures)
			}
			if in := c.NextCheck.Sub(start); !c.NextCheck.IsZero() && in != row.nextCheck || c.NextCheck.IsZero() != (row.nextCheck == 0) {
				t.Errorf("the next check comes at %v", c.NextCheck)
			}
		})
	}
}

func TestDoubtfulVerdictIsConfirmedByTheNextCheck(t *testing.T) {
	e := newEngine(t)
	e.put(uma, nil)
	e.refuses(&provider.Error{Class: provider.NeedsReauth, Uncertain: true})
	for _, step := range []struct {
		wait   time.Duration
		status store.Status
	}{{0, store.Active}, {59 * time.Second, store.Active}, {time.Second, store.NeedsReauth}} {
		e.clock.Advance(step.wait)
		_, _ = e.calls.Check(t.Context(), uma)
		if c := e.get(uma); c.Status != step.status {
			t.Errorf("%v after the first verdict it is %s", e.clock.Now().Sub(start), c.Status)
		}
	}
}

func TestDoubtfulVerdictOnExpiredTokenIsConfirmed(t *testing.T) {
	for _, row := range []struct {
		refreshToken string
		first        store.Status
	}{{"", store.NeedsReauth}, {"refresh token", store.Active}} {
		e := newEngine(t)
		e.put(uma, func(c *store.Credential) { c.Token.RefreshToken = oauth.NewSecret(row.refreshToken) })
		e.clock.Advance(61 * day)
		e.refuses(&provider.Error{Class: provider.NeedsReauth, Uncertain: true})
		_, _ = e.calls.Check(t.Context(), uma)
		if c := e.get(uma); c.Status != row.first {
			t.Errorf("with the refresh token %q it is %s", row.refreshToken, c.Status)
		}
		e.clock.Advance(time.Minute)
		_, _ = e.calls.Check(t.Context(), uma)
		if c := e.get(uma); c.Status != store.NeedsReauth {
			t.Errorf("with the refresh token %q it is %s after the second verdict", row.refreshToken, c.Status)
		}
	}
}

func TestDeadTokenIsCheckedForAMonth(t *testing.T) {
	e := newEngine(t)
	e.put(uma, nil)
	e.refuses(&provider.Error{Class: provider.NeedsReauth})
	var hours []float64
	for {
		_, _ = e.calls.Check(t.Context(), uma)
		next := e.get(uma).NextCheck
		if next.IsZero() {
			break
		}
		hours = append(hours, next.Sub(start).Hours())
		e.clock.Set(next)
	}
	if got := fmt.Sprint(hours); got != "[1 6 24 72 240 408 576]" {
		t.Errorf("it is checked %s hours after its death", got)
	}
}

func TestDeadTokenIsNotCheckedAfterItHasExpired(t *testing.T) {
	e := newEngine(t)
	e.put(uma, func(c *store.Credential) { c.Token.ExpiresAt = start.Add(3 * time.Hour) })
	e.refuses(&provider.Error{Class: provider.NeedsReauth})
	_, _ = e.calls.Check(t.Context(), uma)
	e.clock.Advance(time.Hour)
	_, _ = e.calls.Check(t.Context(), uma)
	if next := e.get(uma).NextCheck; !next.IsZero() {
		t.Errorf("the next check comes at %v", next)
	}
}

func TestLivingTokenRecovers(t *testing.T) {
	e := newEngine(t)
	e.put(uma, func(c *store.Credential) {
		c.Status, c.ConsecutiveFailures, c.DeadSince, c.NextRefresh = store.NeedsReauth, 3, start, time.Time{}
		c.LastError = &store.Failure{Message: "dead"}
	})
	e.server.inspect = func(t oauth.Token) (oauth.Token, error) { return t, nil }
	c, err := e.calls.Check(t.Context(), uma)
	if err != nil || c.Status != store.Active || c.ConsecutiveFailures != 0 || c.LastError != nil || c.NextRefresh.IsZero() {
		t.Errorf("it is %+v, %v", c, err)
	}
	if got := fmt.Sprint(e.outcomes); got != "[check alive]" {
		t.Errorf("the outcome is %s", got)
	}
}

func TestRefreshStoresALongerLifeOnly(t *testing.T) {
	for name, row := range map[string]struct {
		token      string
		life       time.Duration
		generation uint64
		exhausted  bool
		outcome    string
	}{
		"a longer life is stored":                     {"fresh", 61 * day, 2, false, "refresh refreshed"},
		"the same life is not":                        {"fresh", 60 * day, 1, true, "refresh not_extended"},
		"a shorter life is not":                       {"fresh", day, 1, true, "refresh not_extended"},
		"the same token with a longer life is stored": {"token of org_acme/facebook/users/uma", 61 * day, 2, false, "refresh refreshed"},
		"the same token with the same life is not":    {"token of org_acme/facebook/users/uma", 60 * day, 1, true, "refresh not_extended"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.put(uma, nil)
			e.server.refresh = func(oauth.Token) (oauth.Token, error) {
				return oauth.Token{AccessToken: oauth.NewSecret(row.token), Account: "42", ExpiresAt: start.Add(row.life)}, nil
			}
			c, err := e.calls.Refresh(t.Context(), uma, func(store.Credential) bool { return true })
			if err != nil || c.Generation != row.generation || c.Exhausted != row.exhausted || c.NextRefresh.IsZero() {
				t.Errorf("it is of generation %d, exhausted %v, %v", c.Generation, c.Exhausted, err)
			}
			if got := fmt.Sprint(e.outcomes); got != "["+row.outcome+"]" {
				t.Errorf("the outcome is %s", got)
			}
		})
	}
}

func TestRefreshTokenThatIsNotReplacedIsKept(t *testing.T) {
	e := newEngine(t)
	e.put(uma, func(c *store.Credential) { c.Token.RefreshToken = oauth.NewSecret("refresh token") })
	e.server.refresh = func(oauth.Token) (oauth.Token, error) {
		return oauth.Token{AccessToken: oauth.NewSecret("fresh"), Account: "42", ExpiresAt: start.Add(61 * day)}, nil
	}
	if _, err := e.calls.Refresh(t.Context(), uma, func(store.Credential) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if c := e.get(uma); c.Token.AccessToken != oauth.NewSecret("fresh") || c.Token.RefreshToken != oauth.NewSecret("refresh token") {
		t.Error("the refresh token is lost")
	}
}

func TestCheckThatSucceedsDoesNotEndRefreshFailures(t *testing.T) {
	e := newEngine(t)
	e.put(uma, nil)
	e.server.inspect = func(t oauth.Token) (oauth.Token, error) { return t, nil }
	e.server.refresh = func(oauth.Token) (oauth.Token, error) {
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Concerns: provider.ConcernsRequest}
	}
	_, _ = e.calls.Refresh(t.Context(), uma, func(store.Credential) bool { return true })
	if c, err := e.calls.Check(t.Context(), uma); err != nil || c.ConsecutiveFailures != 1 || !c.RefreshFailing {
		t.Errorf("after a check it has %d failures, %v", c.ConsecutiveFailures, err)
	}
	// Its token then expires because of that, and not because of its owner.
	e.clock.Set(start.Add(61 * day))
	e.refuses(&provider.Error{Class: provider.NeedsReauth})
	_, _ = e.calls.Check(t.Context(), uma)
	if c := e.get(uma); c.Status != store.Failed {
		t.Errorf("it is %s", c.Status)
	}
}

func TestConcurrentCallersShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		e.put(uma, nil)
		var made atomic.Int32
		release := make(chan struct{})
		e.server.inspect = func(t oauth.Token) (oauth.Token, error) {
			made.Add(1)
			<-release
			return t, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := e.calls.Check(ctx, uma)
			first <- err
		}()
		others := make(chan error, 5)
		for range cap(others) {
			go func() {
				_, err := e.calls.Check(t.Context(), uma)
				others <- err
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that was cancelled gets %v", err)
		}
		close(release)
		for range cap(others) {
			if err := <-others; err != nil {
				t.Error(err)
			}
		}
		if n := made.Load(); n != 1 {
			t.Errorf("%d calls were made", n)
		}
	})
}

func TestResultIsNotStoredOnAnotherConnection(t *testing.T) {
	e := newEngine(t)
	e.put(uma, nil)
	e.server.inspect = func(oauth.Token) (oauth.Token, error) {
		e.put(uma, func(c *store.Credential) { c.Birth = "second" })
		return oauth.Token{}, &provider.Error{Class: provider.Revoked}
	}
	if c, err := e.calls.Check(t.Context(), uma); err != nil || c.Birth != "second" || c.Status != store.Active {
		t.Errorf("the caller gets %+v, %v", c, err)
	}
	if got := fmt.Sprint(e.outcomes); got != "[check superseded]" {
		t.Errorf("the outcome is %s", got)
	}
}

func TestPanicOfAProviderIsATransientError(t *testing.T) {
	e := newEngine(t)
	e.put(uma, nil)
	e.server.inspect = func(oauth.Token) (oauth.Token, error) { panic("boom") }
	if _, err := e.calls.Check(t.Context(), uma); oauth.CodeOf(err) != oauth.Unavailable {
		t.Errorf("the caller gets %v", err)
	}
}

func TestBatchFailsTheProviderOnlyIfAllAnswersDo(t *testing.T) {
	down := &provider.Error{Class: provider.Transient, Concerns: provider.ConcernsApp}
	for name, row := range map[string]struct {
		bad  int // how many of the two answers are errors
		err  *provider.Error
		want breaker.State
	}{
		"no error":                        {0, down, breaker.StateOK},
		"one answer of two":               {1, down, breaker.StateOK},
		"all answers":                     {2, down, breaker.StateSuspected},
		"one answer with the app's limit": {1, &provider.Error{Class: provider.Throttled}, breaker.StateThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			vic := uma
			vic.User = "vic"
			e.put(uma, nil)
			e.put(vic, nil)
			n := 0
			e.server.inspect = func(t oauth.Token) (oauth.Token, error) {
				if n++; n <= row.bad {
					return oauth.Token{}, row.err
				}
				return t, nil
			}
			if err := e.calls.CheckAll(t.Context(), []call.Held{{Ref: uma, Credential: e.get(uma)}, {Ref: vic, Credential: e.get(vic)}}); err != nil {
				t.Fatal(err)
			}
			if h, err := e.breaker.Health(t.Context(), "facebook"); err != nil || h.State != row.want {
				t.Errorf("the provider is %s, %v", h.State, err)
			}
		})
	}
}

func TestDeadNamesTheStatusAndTheWayBack(t *testing.T) {
	for status, code := range map[store.Status]oauth.Code{
		store.Active: "", store.NeedsReauth: oauth.NeedsReauth, store.Revoked: oauth.Revoked, store.Failed: oauth.Failed,
	} {
		if err := call.Dead(page, store.Credential{Status: status}); oauth.CodeOf(err) != code {
			t.Errorf("%s is %v", status, err)
		}
	}
}
