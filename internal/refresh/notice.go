package refresh

import (
	"context"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// notices are how long before an end somebody is told of it.
var notices = []time.Duration{7 * 24 * time.Hour, 24 * time.Hour}

// planNotice sets when it is next told that the token or the app's access to
// the person's data is about to end. A page's ends with those above it.
func planNotice(c *store.Credential, now time.Time) {
	c.NextNotice = time.Time{}
	if c.Page != nil {
		return
	}
	for _, end := range []time.Time{c.Token.ExpiresAt, c.Token.DataAccessExpiresAt} {
		for _, before := range notices {
			at := end.Add(-before)
			if !end.IsZero() && now.Before(at) && (c.NextNotice.IsZero() || at.Before(c.NextNotice)) {
				c.NextNotice = at.UTC()
			}
		}
	}
}

// sameEnds reports whether what is told of the two is told at the same times.
func sameEnds(a, b store.Credential) bool {
	return a.Token.ExpiresAt.Equal(b.Token.ExpiresAt) && a.Token.DataAccessExpiresAt.Equal(b.Token.DataAccessExpiresAt)
}

// notify tells what is about to end at the credential, unless the engine can
// still extend it by itself, and plans the next notice.
func (r *Refresher) notify(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	var reasons []string
	c, err := r.Store.UpdateCredential(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil {
			return store.Credential{}, store.ErrNotFound
		}
		c, now := *old, r.Now().UTC()
		reasons = expiring(c, now)
		for _, reason := range reasons {
			c.Record(now, "expiring", reason)
		}
		planNotice(&c, now)
		return c, nil
	})
	if gone(err) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	for _, reason := range reasons {
		r.Log.Warn("about to end", "ref", ref.String(), "reason", reason)
		r.Store.Note(store.Event{At: r.Now().UTC(), Type: store.ConnectionExpiring, Ref: ref.String(), Reason: reason})
	}
	return c, nil
}

// expiring returns what ends within the first notice before its end. Access to
// data cannot be extended by anybody but the person.
func expiring(c store.Credential, now time.Time) (reasons []string) {
	// soon reports whether a notice of this end is due, and not of the other one.
	soon := func(end time.Time) bool {
		return !end.IsZero() && now.Before(end) && slices.ContainsFunc(notices, func(before time.Duration) bool {
			at := end.Add(-before)
			return !at.Before(c.NextNotice) && !now.Before(at)
		})
	}
	stuck := c.Exhausted || c.ConsecutiveFailures > 0 || c.NextRefresh.IsZero() || overdue(c, now)
	if soon(c.Token.ExpiresAt) && stuck {
		reasons = append(reasons, "the token expires at "+c.Token.ExpiresAt.Format(time.RFC3339)+" and could not be extended")
	}
	if soon(c.Token.DataAccessExpiresAt) {
		reasons = append(reasons, "the app's access to the person's data ends at "+c.Token.DataAccessExpiresAt.Format(time.RFC3339)+"; the person must connect again")
	}
	return reasons
}

// overdue reports whether so much of the token's life is over that it should have
// been refreshed: the provider was left alone meanwhile.
func overdue(c store.Credential, now time.Time) bool {
	born := c.ConnectedAt
	if c.RefreshedAt.After(born) {
		born = c.RefreshedAt
	}
	life := c.Token.ExpiresAt.Sub(born)
	return life > 0 && now.Sub(born) > life*85/100
}
