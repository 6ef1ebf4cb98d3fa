package plan

import (
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// notices are how long before an end connection.expiring is published.
var notices = []time.Duration{7 * 24 * time.Hour, 24 * time.Hour}

// Notice plans the next notice that the token or the app's access to the person's data
// is about to end. A page has none: it ends with the credential above it.
func Notice(c *store.Credential, now time.Time) {
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

// SameNotices reports whether the notices of a and b come at the same times.
func SameNotices(a, b store.Credential) bool {
	return a.Token.ExpiresAt.Equal(b.Token.ExpiresAt) && a.Token.DataAccessExpiresAt.Equal(b.Token.DataAccessExpiresAt)
}

// Expiring returns the reasons of a notice that is due: what is about to end and cannot
// be extended by the engine. Only the person can extend the access to their data.
func Expiring(c store.Credential, now time.Time) (reasons []string) {
	// soon reports whether a notice of this end is due.
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

// overdue reports whether so much of the token's life is over that it should have been
// refreshed. Calls to the provider were paused meanwhile.
func overdue(c store.Credential, now time.Time) bool {
	born := c.ConnectedAt
	if c.RefreshedAt.After(born) {
		born = c.RefreshedAt
	}
	life := c.Token.ExpiresAt.Sub(born)
	return life > 0 && now.Sub(born) > life*85/100
}
