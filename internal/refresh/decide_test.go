package refresh_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const day = 24 * time.Hour

var now = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func in(d time.Duration) time.Time { return now.Add(d) }

// lasting is a credential whose token expires after d, and that was refreshed at the
// beginning of its 60 days.
func lasting(d time.Duration) store.Credential {
	return store.Credential{Token: oauth.Token{ExpiresAt: in(d)}, AskedAt: in(d - 60*day), NextRefresh: in(d - 20*day)}
}

func TestReadWaitsForARefreshOnlyIfThatCanHelp(t *testing.T) {
	for name, row := range map[string]struct {
		credential store.Credential
		minTTL     time.Duration
		want       bool
	}{
		"a token that lasts longer than min_ttl":               {lasting(50 * day), day, false},
		"a token that does not expire":                         {store.Credential{}, 100 * day, false},
		"a token with less life than min_ttl":                  {lasting(50 * day), 55 * day, true},
		"more life than the provider gave":                     {lasting(50 * day), 61 * day, false},
		"more life than it gave, when the next refresh is due": {lasting(10 * day), 61 * day, true},
		"less life than min_ttl, and the last refresh brought none": {
			func() store.Credential { c := lasting(50 * day); c.Exhausted = true; return c }(), 55 * day, false,
		},
		"less life than min_ttl, of a token that was never refreshed": {
			store.Credential{Token: oauth.Token{ExpiresAt: in(day)}, NextRefresh: in(12 * time.Hour)}, 2 * day, true,
		},
		"an expired token": {lasting(-time.Minute), 0, true},
		"an expired token, shortly after a failure": {
			func() store.Credential { c := lasting(-time.Minute); c.RetryAt = in(time.Second); return c }(), 0, false,
		},
		"an expired token, when the wait after a failure is over": {
			func() store.Credential { c := lasting(-time.Minute); c.RetryAt = now; return c }(), 0, true,
		},
		"an expired token that the provider does not refresh yet": {
			func() store.Credential { c := lasting(-time.Minute); c.Token.RefreshAfter = in(time.Second); return c }(), 0, false,
		},
		"a negative min_ttl of a living token": {lasting(day), -time.Hour, false},
	} {
		if got := refresh.ShouldRefresh(row.credential, row.minTTL, now); got != row.want {
			t.Errorf("%s: the read waits: %v", name, got)
		}
	}
}

func TestDueCalls(t *testing.T) {
	for name, row := range map[string]struct {
		credential     store.Credential
		refresh, check bool
	}{
		"nothing is planned":                {store.Credential{}, false, false},
		"both are planned for later":        {store.Credential{NextRefresh: in(1), NextCheck: in(1)}, false, false},
		"a refresh is due":                  {store.Credential{NextRefresh: now, NextCheck: in(1)}, true, false},
		"a check is due":                    {store.Credential{NextRefresh: in(1), NextCheck: now}, false, true},
		"both are due":                      {store.Credential{NextRefresh: now, NextCheck: now}, true, true},
		"both, of a token called dead":      {store.Credential{NextRefresh: now, NextCheck: now, DeadSince: in(-1)}, false, true},
		"a refresh, of a token called dead": {store.Credential{NextRefresh: now, DeadSince: in(-1)}, true, false},
	} {
		if r, c := refresh.DueCalls(row.credential, now); r != row.refresh || c != row.check {
			t.Errorf("%s: a refresh %v, a check %v", name, r, c)
		}
	}
}

func TestWorkWaitsAsLongAsAnOutageHasLasted(t *testing.T) {
	for name, row := range map[string]struct {
		outage          store.Outage
		life            time.Duration
		atLeast, atMost time.Duration
	}{
		"one of a minute":              {store.Outage{Since: in(-time.Minute)}, 60 * day, 15 * time.Minute, 30 * time.Minute},
		"one of an hour":               {store.Outage{Since: in(-time.Hour)}, 60 * day, time.Hour, 2 * time.Hour},
		"one of a week":                {store.Outage{Since: in(-7 * day)}, 60 * day, 6 * time.Hour, 7 * time.Hour},
		"one with a known end":         {store.Outage{Since: in(-7 * day), Until: in(10 * time.Minute)}, 60 * day, 10 * time.Minute, 20 * time.Minute},
		"a token that is about to end": {store.Outage{Since: in(-7 * day)}, time.Hour, 30 * time.Minute, 30 * time.Minute},
		"a token in its last minute":   {store.Outage{Since: in(-7 * day)}, 30 * time.Second, time.Minute, time.Minute},
		"a token that has expired":     {store.Outage{Since: in(-7 * day)}, -time.Hour, 6 * time.Hour, 7 * time.Hour},
	} {
		different := map[time.Time]bool{}
		for n := range 100 {
			ref := tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: fmt.Sprint("user-", n)}
			at := refresh.AfterOutage(ref, store.Credential{Token: oauth.Token{ExpiresAt: in(row.life)}}, &row.outage, now)
			if wait := at.Sub(now); wait < row.atLeast || wait > row.atMost {
				t.Errorf("%s: the work waits for %v", name, wait)
			}
			different[at] = true
		}
		if row.atLeast != row.atMost && len(different) < 50 {
			t.Errorf("%s: the work of 100 credentials comes back at %d times", name, len(different))
		}
	}
}

func TestWarningsOfALivingToken(t *testing.T) {
	for name, row := range map[string]struct {
		credential store.Credential
		want       []string
	}{
		"nothing is wrong": {store.Credential{}, nil},
		"refreshes fail":   {store.Credential{ConsecutiveFailures: 3, LastError: &store.Failure{Message: "down"}}, []string{"last 3 tries", "down"}},
		"data access is over": {
			store.Credential{Token: oauth.Token{DataAccessExpiresAt: now}}, []string{"expired at 2026-11-23T12:00:00Z", "connect again"},
		},
		"data access ends soon": {store.Credential{Token: oauth.Token{DataAccessExpiresAt: in(1)}}, nil},
	} {
		got := strings.Join(refresh.Warnings(row.credential, now), "\n")
		for _, part := range row.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: the warnings are %q", name, got)
			}
		}
		if len(row.want) == 0 && got != "" {
			t.Errorf("%s: the warnings are %q", name, got)
		}
	}
}
