package refresh

import (
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// A provider sometimes calls living tokens dead. A verdict that may be wrong is
// confirmed before the credential is taken out of service, and a dead credential
// is asked about again for a month.

// confirmAfter is how long after a first verdict the second one counts, and when
// the engine asks for it.
const confirmAfter = time.Minute

// revivals are how long after its death the engine asks about a token again.
var revivals = []time.Duration{
	time.Hour, 6 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour,
	10 * 24 * time.Hour, 17 * 24 * time.Hour, 24 * 24 * time.Hour,
}

// recordDeath records that the provider called the token dead. A verdict that
// may be wrong leaves the credential active, until a check that comes a minute
// later at least has the same result.
func recordDeath(c *store.Credential, question string, cause error, now time.Time) {
	if c.DeadSince.IsZero() || c.DeadSince.After(now) { // the clock was ahead then
		c.DeadSince = now
	}
	confirmed := question == check && now.Sub(c.DeadSince) >= confirmAfter
	if c.Status == store.Active && !confirmed && doubtful(*c, cause, now) {
		return
	}
	if c.ToldAt.IsZero() { // else its grant was said to be gone, and that agrees
		c.Status = store.NeedsReauth
	}
	c.ToldAt = time.Time{}
}

// doubtful reports whether the verdict that the token is dead may be wrong: the
// provider gives no reason, or says that a token has expired whose end, by the
// last check, is yet to come. A token that has expired by our clock is dead.
func doubtful(c store.Credential, cause error, now time.Time) bool {
	var e *provider.Error
	return c.Token.Live(now) && errors.As(cause, &e) && (e.Uncertain || errors.Is(e, provider.ErrTokenExpired))
}

// revival returns when a dead credential is next asked about, or the zero time.
// An expired token does not come back, and what the person has revoked neither.
func revival(c store.Credential, now time.Time) time.Time {
	if c.Status != store.NeedsReauth || c.DeadSince.IsZero() {
		return time.Time{}
	}
	for _, after := range revivals {
		if at := c.DeadSince.Add(after); at.After(now) {
			if !c.Token.Live(at) {
				break
			}
			return at
		}
	}
	return time.Time{}
}

// askAgain plans the next question about a dead credential after one that was
// not answered.
func (r *Refresher) askAgain(c *store.Credential, now time.Time) {
	switch {
	case !c.ToldAt.IsZero(): // it is not known yet whether the grant is gone
		c.ConsecutiveFailures++
		r.rest(c, plan.Backoff(c.ConsecutiveFailures))
	case now.Sub(c.DeadSince) >= revivals[len(revivals)-1]:
		c.NextCheck = time.Time{}
	case !c.NextCheck.IsZero() && !c.NextCheck.After(now):
		c.NextCheck = now.Add(revivals[0])
	}
}

// refusal returns cause as the caller of the engine's API gets it. A verdict that
// is not confirmed yet is no reason to send the person through consent again.
func refusal(after store.Credential, cause error) error {
	var e *provider.Error
	if errors.As(cause, &e) && e.Class == provider.NeedsReauth && after.Status == store.Active {
		unconfirmed := e.Reclassified(provider.Transient, provider.ConcernsToken)
		unconfirmed.Message += "; the provider says so of living tokens too, and is asked again at " + after.NextCheck.Format(time.RFC3339)
		return provider.Refusal(unconfirmed)
	}
	if e != nil && e.Class == provider.Caller {
		// The call is the engine's own: no caller can do better.
		return provider.Refusal(e.Reclassified(provider.Transient, provider.ConcernsRequest))
	}
	return provider.Refusal(cause)
}
