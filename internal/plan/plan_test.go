package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const day = 24 * time.Hour

var now = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func user(n int) tenant.Ref {
	return tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: fmt.Sprint("user-", n)}
}

func lasting(life time.Duration) store.Credential {
	return store.Credential{ConnectedAt: now, Token: oauth.Token{ExpiresAt: now.Add(life)}}
}

func TestSetSpreadsCredentials(t *testing.T) {
	interval := day
	refreshes, checks := map[time.Time]int{}, map[time.Time]int{}
	for n := range 1000 {
		c := lasting(60 * day)
		plan.Set(user(n), &c, store.Config{CheckInterval: &interval}, now)
		if in := c.NextRefresh.Sub(now); in < 30*day || in > 48*day {
			t.Errorf("a refresh comes in %v", in)
		}
		if in := c.NextCheck.Sub(now); in < 16*time.Hour || in > day {
			t.Errorf("a check comes in %v", in)
		}
		refreshes[c.NextRefresh.Truncate(day)]++
		checks[c.NextCheck]++
	}
	if len(refreshes) < 17 || len(checks) < 40 {
		t.Errorf("refreshes come on %d days, checks at %d times", len(refreshes), len(checks))
	}
}

func TestRefreshIsPlannedBeforeTheEnd(t *testing.T) {
	for life, want := range map[time.Duration][2]time.Duration{
		10 * time.Minute: {4 * time.Minute, 6 * time.Minute}, // the sweep may be late
		4 * time.Minute:  {0, 0},
		0:                {plan.RetryRefused, plan.RetryRefused},
		-time.Hour:       {plan.RetryRefused, plan.RetryRefused},
	} {
		for n := range 100 {
			c := lasting(life)
			plan.Refresh(user(n), &c, now)
			if in := c.NextRefresh.Sub(now); in < want[0] || in > want[1] {
				t.Errorf("of a life of %v it comes in %v", life, in)
			}
		}
	}
	c := lasting(60 * day)
	c.Exhausted = true
	if plan.Refresh(user(1), &c, now); c.NextRefresh.Sub(now) != day {
		t.Errorf("after one that gave no more it comes in %v", c.NextRefresh.Sub(now))
	}
	c = store.Credential{}
	if plan.Refresh(user(1), &c, now); !c.NextRefresh.IsZero() {
		t.Errorf("of a token that does not expire it comes at %v", c.NextRefresh)
	}
}

func TestTTLIsNeverZero(t *testing.T) {
	for refresh, want := range map[time.Duration]time.Duration{
		-time.Hour: 30 * time.Second, 0: 2*time.Minute + 5*time.Second, time.Hour: time.Hour + 2*time.Minute + 5*time.Second,
	} {
		if got := plan.TTL(store.Credential{NextRefresh: now.Add(refresh)}, now); got != want {
			t.Errorf("with a refresh in %v it is %v, want %v", refresh, got, want)
		}
	}
}

func TestReplacedTokenLivesForItsReaders(t *testing.T) {
	c := lasting(60 * day)
	c.NextRefresh, c.PromisedUntil = now.Add(day), now.Add(2*day)
	c.Formers = []store.Former{{AccessToken: oauth.NewSecret("before"), RevokeAt: now.Add(3 * day)}}
	formers := plan.Replaced(c, now)
	if len(formers) != 2 || !formers[0].RevokeAt.Equal(now.Add(2*day+2*time.Minute+5*time.Second)) {
		t.Errorf("it is revoked at %v", formers)
	}
	c.PagesAt = 1
	if formers = plan.Replaced(c, now); !formers[1].RevokeAt.Equal(c.Token.ExpiresAt) {
		t.Errorf("with pages it is revoked at %v", formers)
	}
	if len(c.Formers) != 1 {
		t.Error("the credential was changed")
	}
}

func TestNoticesComeBeforeTheEnd(t *testing.T) {
	c := lasting(30 * day)
	var reasons []string
	var days []float64
	for at := now; !at.After(now.Add(31 * day)); at = at.Add(time.Hour) {
		if c.NextNotice.IsZero() && at.Equal(now) {
			plan.Notice(&c, at)
		}
		if !c.NextNotice.IsZero() && !at.Before(c.NextNotice) {
			reasons = append(reasons, plan.Expiring(c, at)...)
			days = append(days, c.Token.ExpiresAt.Sub(at).Hours()/24)
			plan.Notice(&c, at)
		}
	}
	if len(reasons) != 2 || fmt.Sprint(days) != "[7 1]" {
		t.Errorf("%d notices come, %v days before the end: %q", len(reasons), days, reasons)
	}
}
