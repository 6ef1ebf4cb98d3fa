package refresh

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

// refreshed takes in the answer to a refresh. livesOn says that the token that
// is replaced lives on beside the fresh one. The provider may have given a
// token that lasts no longer than the one it was given: then that one stays.
func (r *Refresher) refreshed(c *store.Credential, fresh oauth.Token, livesOn bool) {
	now := r.Now().UTC()
	c.AskedAt = now
	if fresh.AccessToken == c.Token.AccessToken || !fresh.Outlives(c.Token) {
		if !c.Exhausted && !c.Token.ExpiresAt.IsZero() {
			c.Record(now, "not_extended", "the provider gave a token that lasts no longer")
		}
		c.Exhausted = true
		c.RefreshFailing = false
		r.checked(c, fresh)
		return
	}
	if livesOn {
		plan.Replace(c, now)
	}
	c.Token, c.Exhausted, c.DataAccessOverAt = fresh, false, time.Time{}
	c.Generation++
	c.RefreshedAt = now
	c.RefreshFailing = false
	r.recovered(c, now)
	c.Record(now, "refreshed", "")
}

// checked takes in what the provider says of the token, or of another one
// under the same grant.
func (r *Refresher) checked(c *store.Credential, answer oauth.Token) {
	now := r.Now().UTC()
	c.Token.Scopes, c.Token.Granular, c.Token.DataAccessExpiresAt = answer.Scopes, answer.Granular, answer.DataAccessExpiresAt
	if over := c.DataAccessOverAt; !over.IsZero() && (c.Token.DataAccessExpiresAt.IsZero() || c.Token.DataAccessExpiresAt.After(over)) {
		c.Token.DataAccessExpiresAt = over // debug_token calls the token valid all the while
	}
	if answer.AccessToken == c.Token.AccessToken {
		c.Token.ExpiresAt = answer.ExpiresAt
	}
	r.recovered(c, now)
}

func (r *Refresher) recovered(c *store.Credential, now time.Time) {
	c.CheckedAt, c.ToldAt, c.DeadSince = now, time.Time{}, time.Time{}
	if c.RefreshFailing && c.Status == store.Active {
		return // that the token lives does not mend what ails its refresh
	}
	c.RefreshFailing = false
	c.ConsecutiveFailures, c.LastError, c.RetryAt, c.FailingSince = 0, c.Outlived, time.Time{}, time.Time{}
	if c.Status != store.Active {
		c.Status = store.Active
		c.Record(now, "recovered", "")
	}
}

// recordFailure records on the credential how the provider refused the question,
// a "refresh" or a "check". Only a verdict
// about this token changes its status.
func (r *Refresher) recordFailure(c *store.Credential, question string, cause error) {
	now := r.Now().UTC()
	class := provider.ClassOf(cause)
	switch {
	case c.Status != store.Active && class != provider.NeedsReauth && class != provider.Revoked:
		r.askAgain(c, now)
		return // it says nothing of why the token is dead
	case class == provider.NeedsReauth && c.RefreshFailing && !c.Token.Live(now):
		// It was not extended in time: that is why it is dead, and not what its owner
		// did.
		r.expired(c, now)
		return
	}
	if c.ConsecutiveFailures++; c.ConsecutiveFailures == 1 {
		c.FailingSince = now
	}
	c.LastError = breaker.Failure(cause, now)
	if end := c.Token.DataAccessExpiresAt; errors.Is(cause, provider.ErrDataAccessOver) && (end.IsZero() || end.After(now)) {
		c.Token.DataAccessExpiresAt, c.DataAccessOverAt = now, now // sooner than the provider had said
	}
	known := c.Status != store.Active && c.ToldAt.IsZero()
	switch class {
	case provider.NeedsReauth:
		recordDeath(c, question, cause, now)
	case provider.Revoked:
		c.Status, c.ToldAt = store.Revoked, time.Time{}
	}
	if c.Status == store.Active && !c.Token.Live(now) {
		c.Status = store.Failed
	}
	if c.Status != store.Active {
		c.NextRefresh, c.NextCheck, c.NextNotice = time.Time{}, revival(*c, now), time.Time{}
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
	r.rest(c, wait)
	if class == provider.NeedsReauth {
		c.NextCheck = now.Add(confirmAfter) // before the next refresh: a check knows best
		putOff(c, c.NextCheck)
		if !c.NextRefresh.IsZero() && !c.NextRefresh.After(c.NextCheck) {
			c.NextRefresh = c.NextCheck.Add(confirmAfter)
		}
	}
}

// about returns what e means for c. A lost role on a page ends that page's token,
// and no other.
func about(c store.Credential, e *provider.Error) *provider.Error {
	if e.Class == provider.Permission && e.Owner() == provider.ConcernsPage && c.Page != nil {
		return e.Reclassified(provider.Revoked, provider.ConcernsPage)
	}
	return e
}

// expired ends a credential whose refresh has failed until its token expired.
// LastError stays that of the refresh.
func (r *Refresher) expired(c *store.Credential, now time.Time) {
	c.Status = store.Failed
	c.NextRefresh, c.NextCheck, c.NextNotice = time.Time{}, time.Time{}, time.Time{}
	c.Record(now, string(c.Status), c.LastError.Message)
}

// rest leaves the provider alone about the credential for d, or half of the
// life that its token has left, but a minute at least. What was due before is
// due then.
func (r *Refresher) rest(c *store.Credential, d time.Duration) {
	now := r.Now().UTC()
	if life := c.Token.ExpiresAt.Sub(now); !c.Token.ExpiresAt.IsZero() {
		d = max(min(d, life/2), time.Minute)
	}
	c.RetryAt = now.Add(d)
	putOff(c, c.RetryAt)
}

// putOff moves what is due at the credential before t to t.
func putOff(c *store.Credential, t time.Time) {
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
