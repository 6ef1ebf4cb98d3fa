package notification_test

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/notification"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var (
	now = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	uma = tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: "uma"}
)

// newReceiver returns a receiver, and the store of a credential that was connected an hour
// ago and last checked ten minutes ago, as change changes it.
func newReceiver(t *testing.T, change func(*store.Credential)) (*notification.Receiver, *store.Store) {
	t.Helper()
	clock := func() time.Time { return now }
	s := store.New(store.Options{Storage: storagetest.New(), Now: clock})
	_, err := s.Credentials.Update(t.Context(), uma, func(*store.Credential) (store.Credential, error) {
		c := store.Credential{
			Birth: "first", Generation: 1, Status: store.Active, ConnectedAt: now.Add(-time.Hour), CheckedAt: now.Add(-10 * time.Minute),
			Token:     oauth.Token{AccessToken: oauth.NewSecret("token"), Account: "42", IssuedAt: now.Add(-time.Hour - 5*time.Second)},
			NextCheck: now.Add(time.Hour),
		}
		if change != nil {
			change(&c)
		}
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	log := hclog.NewNullLogger()
	b := breaker.New(breaker.Options{Store: s, Now: clock, Log: log, Writable: func() bool { return true }, Context: t.Context()})
	r := revoke.New(revoke.Options{Store: s, Breaker: b, Now: clock, Log: log})
	return notification.New(notification.Options{Store: s, Breaker: b, Revoker: r, Now: clock, Log: log, Writable: func() bool { return true }}), s
}

func TestApply(t *testing.T) {
	const (
		nothing = "nothing"
		revoked = "revoked"
		checked = "a check"
	)
	status := func(status store.Status) func(*store.Credential) {
		return func(c *store.Credential) { c.Status = status }
	}
	for name, row := range map[string]struct {
		gone   bool
		at     time.Duration // before now; 0: unknown
		change func(*store.Credential)
		want   string
	}{
		"a grant that ended just now":               {true, time.Second, nil, revoked},
		"one that ended before the last check":      {true, 12 * time.Minute, nil, checked},
		"one that ended within a minute before it":  {true, 10*time.Minute + 59*time.Second, nil, revoked},
		"one that ended before this connection":     {true, 2 * time.Hour, nil, nothing},
		"one that ended while the token was stored": {true, time.Hour + 3*time.Second, func(c *store.Credential) { c.CheckedAt = time.Time{} }, checked},
		"one that ended at an unknown time":         {true, 0, nil, checked},
		"one of a credential that is revoked":       {true, time.Second, status(store.Revoked), nothing},
		"one of a credential that is dead":          {true, time.Second, status(store.NeedsReauth), revoked},
		"a change":                                  {false, time.Second, nil, checked},
		"a change before the last check":            {false, 12 * time.Minute, nil, nothing},
		"a change at an unknown time":               {false, 0, nil, checked},
		"a change of a credential that is dead":     {false, time.Second, status(store.NeedsReauth), nothing},
		"a change, with a check that is due":        {false, time.Second, func(c *store.Credential) { c.NextCheck = now }, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := newReceiver(t, row.change)
			n := provider.Notification{Account: "42", Gone: row.gone, Reason: "the person removed the app"}
			if row.at != 0 {
				n.At = now.Add(-row.at)
			}
			changed, err := r.Apply(t.Context(), "facebook", n)
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Credentials.Read(t.Context(), uma)
			if err != nil {
				t.Fatal(err)
			}
			got := nothing
			switch {
			case changed == 0:
			case changed == 1 && c.Status == store.Revoked && c.NextCheck.Equal(now.Add(time.Minute)):
				got = revoked
			case changed == 1 && c.NextCheck.Equal(now):
				got = checked
			default:
				got = "another change"
			}
			if got != row.want {
				t.Errorf("it brings %s, want %s", got, row.want)
			}
		})
	}
}

func TestApplyChangesOnlyTheAccountsCredentials(t *testing.T) {
	r, _ := newReceiver(t, nil)
	if n, err := r.Apply(t.Context(), "facebook", provider.Notification{Account: "43", Gone: true, At: now}); n != 0 || err != nil {
		t.Errorf("%d credentials of another account were changed, %v", n, err)
	}
}

func TestPrecedesComparesWholeSeconds(t *testing.T) {
	c := store.Credential{ConnectedAt: now.Add(700 * time.Millisecond), Token: oauth.Token{IssuedAt: now.Add(300 * time.Millisecond)}}
	if notification.Precedes(now, c) || !notification.Precedes(now.Add(-time.Second), c) {
		t.Error("a notification of the second of the connection precedes it, or one of the second before does not")
	}
}
