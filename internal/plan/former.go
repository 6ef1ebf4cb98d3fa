package plan

import (
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

const (
	// minTTL is the shortest ttl of an answer. Vault Agent takes 0 for "every second".
	minTTL = 30 * time.Second
	// ttlPastRefresh is how long after the planned refresh a reader comes back: the
	// refresh's minute has to end, a tick to come, and the call to be made.
	ttlPastRefresh = 2*time.Minute + 5*time.Second
	// maxFormers is how many former tokens a credential has at most. With one more, the one
	// whose time ends first is revoked at once. A manual refresh each day, between two that
	// are planned, stays below it.
	maxFormers = 50
)

// TTL returns how long a reader of the credential waits before it comes back. Until then
// the engine does not revoke the token that it got.
func TTL(c store.Credential, now time.Time) time.Duration {
	return max(c.NextRefresh.Sub(now)+ttlPastRefresh, minTTL)
}

// promisedUntil returns when the last reader of the credential's token will have come
// back. Reads store nothing, so any reader may have got the latest plan that the token
// has had. The tokens of its pages were derived from it and have plans of their own: with
// pages, it is not revoked before it expires.
func promisedUntil(c store.Credential, now time.Time) time.Time {
	until := now.Add(minTTL)
	for _, refresh := range []time.Time{c.NextRefresh, c.PromisedUntil} {
		if at := refresh.Add(ttlPastRefresh); at.After(until) {
			until = at
		}
	}
	if c.PagesAt != 0 && c.Token.ExpiresAt.After(until) {
		until = c.Token.ExpiresAt
	}
	return until.UTC()
}

// Replaced returns the former tokens of the credential that takes the place of old, and
// whose own token lives on: each is revoked when its readers have come back.
func Replaced(old store.Credential, now time.Time) []store.Former {
	Replace(&old, now)
	return old.Formers
}

// Replace adds the credential's token, which lives on, to its former ones.
func Replace(c *store.Credential, now time.Time) {
	formers := slices.Clone(c.Formers)
	for i := range formers {
		if formers[i].RevokeAt.IsZero() {
			formers[i].RevokeAt = now
		}
	}
	former := store.Former{AccessToken: c.Token.AccessToken, RefreshToken: c.Token.RefreshToken, RevokeAt: promisedUntil(*c, now), ExpiresAt: c.Token.ExpiresAt}
	if c.Token.Refreshable() {
		former.ExpiresAt = time.Time{} // its grant does not end with it
	}
	formers = append(formers, former)
	slices.SortStableFunc(formers, func(a, b store.Former) int { return a.RevokeAt.Compare(b.RevokeAt) })
	for i := range len(formers) - maxFormers {
		formers[i].RevokeAt = now
	}
	c.Formers = formers[max(len(formers)-2*maxFormers, 0):] // if none could be revoked
}
