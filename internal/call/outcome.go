package call

import (
	"errors"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// refreshed applies the answer to a refresh. A provider may return a token that lasts no
// longer than the one that it was sent: then the old one stays, unless a refresh token
// brought the fresh one, which may have ended the other. Where the answer to a refresh token
// does not say when the fresh token ends, it is taken to live as long as the one before, until
// a check says more. formerLives says that the token
// that is replaced stays valid beside the fresh one.
func refreshed(c *store.Credential, fresh oauth.Token, formerLives bool, now time.Time) {
	c.AskedAt = now
	if fresh.ExpiryUnknown && fresh.ExpiresAt.IsZero() && fresh.Refreshable() {
		fresh.ExpiresAt = fresh.IssuedAt.Add(max(c.Token.ExpiresAt.Sub(c.Token.IssuedAt), shortestLife))
	}
	extended := fresh.Outlives(c.Token)
	if !extended && (fresh.AccessToken == c.Token.AccessToken || !fresh.Refreshable()) && fresh.RefreshToken == c.Token.RefreshToken {
		if !c.Exhausted && !c.Token.ExpiresAt.IsZero() {
			c.Record(now, "not_extended", "the provider gave a token that lasts no longer")
		}
		c.Exhausted = true
		c.RefreshFailing = false
		checked(c, fresh, now)
		return
	}
	if formerLives && fresh.AccessToken != c.Token.AccessToken {
		plan.Replace(c, now)
	}
	c.Token, c.Exhausted, c.DataAccessOverAt = fresh, !extended, time.Time{}
	c.Generation++
	c.RefreshedAt = now
	c.RefreshFailing = false
	recovered(c, now)
	c.Record(now, "refreshed", "")
}

// shortestLife is how long a token is taken to live at least if its end is not known. The
// one before may have been ended early.
const shortestLife = 10 * time.Minute

// checked applies what the provider says of the token, or of another one under the same
// grant.
func checked(c *store.Credential, answer oauth.Token, now time.Time) {
	c.Token.Scopes, c.Token.Granular, c.Token.DataAccessExpiresAt = answer.Scopes, answer.Granular, answer.DataAccessExpiresAt
	if over := c.DataAccessOverAt; !over.IsZero() && (c.Token.DataAccessExpiresAt.IsZero() || c.Token.DataAccessExpiresAt.After(over)) {
		// A call was refused because data access is over. An inspection still calls the
		// token valid then.
		c.Token.DataAccessExpiresAt = over
	}
	// The end of a token that has expired stays: a later check does not know it.
	if answer.AccessToken == c.Token.AccessToken && (answer.Live(now) || c.Token.Live(now)) {
		c.Token.ExpiresAt, c.Token.ExpiryUnknown = answer.ExpiresAt, answer.ExpiryUnknown
	}
	recovered(c, now)
}

func recovered(c *store.Credential, now time.Time) {
	c.CheckedAt, c.NotifiedAt, c.DeadSince = now, time.Time{}, time.Time{}
	if c.RefreshFailing && c.Status == store.Active {
		return // a living token does not prove that its refresh works again
	}
	c.RefreshFailing = false
	c.ConsecutiveFailures, c.LastError, c.RetryAt, c.FailingSince = 0, c.Outlived, time.Time{}, time.Time{}
	if c.Status != store.Active {
		c.Status = store.Active
		c.Record(now, "recovered", "")
	}
}

// recordFailure records on the credential the provider's error to a call of that name.
// Only an error about this token changes its status.
func recordFailure(c *store.Credential, name string, cause error, now time.Time) {
	applyFailure(c, name, cause, now)
	c.RefreshFailing = c.RefreshFailing || name == refresh && c.ConsecutiveFailures > 0
}

func applyFailure(c *store.Credential, name string, cause error, now time.Time) {
	class := provider.ClassOf(cause)
	switch {
	case c.Status != store.Active && class != provider.NeedsReauth && class != provider.Revoked:
		retryDead(c, now) // the error does not say why the token is dead
		return
	case class == provider.NeedsReauth && c.RefreshFailing && ended(c.Token, now):
		// It is dead because its refresh failed until it expired, not because of its owner.
		fail(c, now)
		return
	}
	if c.ConsecutiveFailures++; c.ConsecutiveFailures == 1 {
		c.FailingSince = now
	}
	c.LastError = breaker.Failure(cause, now)
	if end := c.Token.DataAccessExpiresAt; errors.Is(cause, provider.ErrDataAccessOver) && (end.IsZero() || end.After(now)) {
		c.Token.DataAccessExpiresAt, c.DataAccessOverAt = now, now // sooner than the provider had said
	}
	known := c.Status != store.Active && c.NotifiedAt.IsZero()
	switch class {
	case provider.NeedsReauth:
		recordDeath(c, name, cause, now)
	case provider.Revoked:
		c.Status, c.NotifiedAt = store.Revoked, time.Time{}
	}
	if c.Status == store.Active && (ended(c.Token, now) || givenUp(*c, now)) {
		c.Status = store.Failed
	}
	if c.Status != store.Active {
		c.NextRefresh, c.NextCheck, c.NextNotice = time.Time{}, nextRevival(*c, now), time.Time{}
		if !known {
			c.Record(now, string(c.Status), c.LastError.Message)
		}
		return
	}
	if c.ConsecutiveFailures == 1 {
		c.Record(now, "refresh_failed", c.LastError.Message)
	}
	wait := plan.Backoff(c.ConsecutiveFailures)
	if class == provider.Misconfigured {
		wait = plan.RetryRefused
	}
	backOff(c, wait, now)
	if class == provider.NeedsReauth {
		// The check that confirms it comes before the next refresh.
		c.NextCheck = now.Add(confirmAfter)
		Postpone(c, c.NextCheck)
		if !c.NextRefresh.IsZero() && !c.NextRefresh.After(c.NextCheck) {
			c.NextRefresh = c.NextCheck.Add(confirmAfter)
		}
	}
}

// givenUpAfter is for how long after its token has expired the engine tries to refresh a
// credential that has a refresh token. Then it ends as failed.
const givenUpAfter = 7 * 24 * time.Hour

// givenUp reports whether the refreshes of an expired token have failed for so long. While
// the engine does not run, none fails.
func givenUp(c store.Credential, now time.Time) bool {
	return !c.Token.Live(now.Add(-givenUpAfter)) && now.Sub(c.FailingSince) >= givenUpAfter
}

// ended reports whether the token has expired, and no refresh token brings another.
func ended(t oauth.Token, now time.Time) bool { return !t.Live(now) && !t.Refreshable() }

// about returns what e means for c. A lost role on a page ends that page's token,
// and no other.
func about(c store.Credential, e *provider.Error) *provider.Error {
	if e.Class == provider.Permission && e.Owner() == provider.ConcernsPage && c.Page != nil {
		return e.Reclassified(provider.Revoked, provider.ConcernsPage)
	}
	return e
}

// fail ends a credential whose refresh has failed until its token expired. LastError
// stays that of the refresh.
func fail(c *store.Credential, now time.Time) {
	c.Status = store.Failed
	c.NextRefresh, c.NextCheck, c.NextNotice = time.Time{}, time.Time{}, time.Time{}
	c.Record(now, string(c.Status), c.LastError.Message)
}

// backOff postpones the credential's due work for d, or for half of the life that its
// token has left, but for a minute at least.
func backOff(c *store.Credential, d time.Duration, now time.Time) {
	if life := c.Token.ExpiresAt.Sub(now); !c.Token.ExpiresAt.IsZero() && (life > 0 || !c.Token.Refreshable()) {
		d = max(min(d, life/2), time.Minute)
	}
	c.RetryAt = now.Add(d)
	Postpone(c, c.RetryAt)
}

// Postpone moves the calls for the credential that are due before t to t.
func Postpone(c *store.Credential, t time.Time) {
	for _, next := range []*time.Time{&c.NextRefresh, &c.NextCheck} {
		if !next.IsZero() && next.Before(t) {
			*next = t
		}
	}
	c.Formers = slices.Clone(c.Formers)
	for i, former := range c.Formers {
		if !former.RevokeAt.IsZero() && former.RevokeAt.Before(t) {
			c.Formers[i].RevokeAt = t
		}
	}
}
