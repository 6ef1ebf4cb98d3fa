package call

import (
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A provider sometimes calls living tokens dead. So a verdict that may be wrong is
// confirmed before the credential goes out of service, and a dead credential is checked
// again for a month.

// confirmAfter is how long after a first verdict the second one counts, and when the
// check that confirms it is due.
const confirmAfter = time.Minute

// revivals are how long after its death a token is checked again.
var revivals = []time.Duration{
	time.Hour, 6 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour,
	10 * 24 * time.Hour, 17 * 24 * time.Hour, 24 * 24 * time.Hour,
}

// recordDeath records that the provider called the token dead. A verdict that may be
// wrong leaves the credential active until a check, a minute later or more, has the same
// result.
func recordDeath(c *store.Credential, name string, cause error, now time.Time) {
	if c.DeadSince.IsZero() || c.DeadSince.After(now) { // the clock was ahead then
		c.DeadSince = now
	}
	confirmed := name == check && now.Sub(c.DeadSince) >= confirmAfter
	if c.Status == store.Active && !confirmed && doubtful(*c, cause, now) {
		return
	}
	if c.NotifiedAt.IsZero() { // else a notification has ended the grant already, and the check agrees
		c.Status = store.NeedsReauth
	}
	c.NotifiedAt = time.Time{}
}

// doubtful reports whether the verdict that the token is dead may be wrong: the provider
// gives no reason, or says that a token has expired which by the last check has not. A
// token that has expired by this node's clock is dead.
func doubtful(c store.Credential, cause error, now time.Time) bool {
	var e *provider.Error
	return errors.As(cause, &e) && (e.Uncertain && !ended(c.Token, now) || errors.Is(e, provider.ErrTokenExpired) && c.Token.Live(now))
}

// nextRevival returns when a dead credential is checked next, or the zero time. An
// expired token does not come back, nor does a grant that the person has revoked.
func nextRevival(c store.Credential, now time.Time) time.Time {
	if c.Status != store.NeedsReauth || c.DeadSince.IsZero() {
		return time.Time{}
	}
	for _, after := range revivals {
		if at := c.DeadSince.Add(after); at.After(now) {
			if ended(c.Token, at) {
				break
			}
			return at
		}
	}
	return time.Time{}
}

// retryDead plans the next check of a dead credential after one that brought no verdict.
func retryDead(c *store.Credential, now time.Time) {
	switch {
	case !c.NotifiedAt.IsZero(): // a notification has ended the grant, which no check has confirmed yet
		c.ConsecutiveFailures++
		backOff(c, plan.Backoff(c.ConsecutiveFailures), now)
	case now.Sub(c.DeadSince) >= revivals[len(revivals)-1]:
		c.NextCheck = time.Time{}
	case !c.NextCheck.IsZero() && !c.NextCheck.After(now):
		c.NextCheck = now.Add(revivals[0])
	}
}

// Dead returns the error that a read of a dead credential gets, or nil if it is active.
func Dead(ref tenant.Ref, c store.Credential) error {
	reason := ""
	if c.LastError != nil {
		reason = " (" + c.LastError.Message + ")"
	}
	switch c.Status {
	case store.NeedsReauth:
		return oauth.Errorf(oauth.NeedsReauth, "only the person can bring this credential back%s; connect it again with connect/%s", reason, ref.Above())
	case store.Revoked:
		return oauth.Errorf(oauth.Revoked, "the grant was taken away at the provider%s; connect it again with connect/%s", reason, ref.Above())
	case store.Failed:
		return oauth.Errorf(oauth.Failed, "the token expired while it could not be refreshed%s; connect it again with connect/%s", reason, ref.Above())
	}
	return nil
}

// refusal returns cause as the caller of the API gets it. A verdict that is not confirmed
// yet is no reason to send the person through consent again.
func refusal(after store.Credential, cause error) error {
	var e *provider.Error
	if errors.As(cause, &e) && e.Class == provider.NeedsReauth && after.Status == store.Active {
		unconfirmed := e.Reclassified(provider.Transient, provider.ConcernsToken)
		unconfirmed.Message += "; the provider says so of living tokens too, and is asked again at " + after.NextCheck.Format(time.RFC3339)
		return provider.Refusal(unconfirmed)
	}
	if e != nil && e.Class == provider.Caller {
		// The engine made the call, so its caller can do nothing about it.
		return provider.Refusal(e.Reclassified(provider.Transient, provider.ConcernsRequest))
	}
	return provider.Refusal(cause)
}
