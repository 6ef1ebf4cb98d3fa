// Package plan decides when the engine next does something with a credential, and for
// how long the readers of a token rely on it. Its functions set fields of a credential
// and call nothing.
package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const (
	// sweepLag is how late due work may be done: its minute has to end, the next tick
	// to come, and the work before it to be done.
	sweepLag = 4 * time.Minute
	// retryExhausted is when a refresh is repeated that gave no longer life.
	// A provider may extend a token at most once a day.
	retryExhausted = 24 * time.Hour
	// RetryRefused is when a refresh or a check is repeated after the provider refused
	// the client for this credential alone, or if there is no client. The provider works
	// otherwise: a probe has just succeeded.
	RetryRefused = 6 * time.Hour
	// checkSlots is the number of slots of a check interval, ten minutes of a day.
	// Checks come at the beginning of one, so that they fill batches.
	checkSlots = 144
)

// Set plans the refresh, the check and the notice of a new token. A refresh comes
// between 50 and 80 % of the token's remaining life: early enough that the provider may be
// down for weeks, late enough that it gives more life. A check comes within the check
// interval. The ref decides where between, so that credentials that were connected on one
// day do not come due on one day.
func Set(ref tenant.Ref, c *store.Credential, config store.Config, now time.Time) {
	Refresh(ref, c, now)
	Check(ref, c, config, now)
	Notice(c, now)
}

// Refresh plans the next refresh. A token that does not expire has none.
func Refresh(ref tenant.Ref, c *store.Credential, now time.Time) {
	c.NextRefresh = time.Time{}
	if c.Token.ExpiresAt.IsZero() {
		return
	}
	life := max(c.Token.ExpiresAt.Sub(now), 0)
	at := time.Duration(float64(life) * (0.5 + 0.3*Fraction(ref)))
	at = min(at, max(life-sweepLag, 0))
	if c.Exhausted {
		at = min(retryExhausted, at)
	}
	if life == 0 && !c.Token.Refreshable() {
		at = RetryRefused // this node's clock may be ahead: not at each tick
	}
	c.NextRefresh = now.UTC().Add(at)
	if c.Token.RefreshAfter.After(c.NextRefresh) {
		c.NextRefresh = c.Token.RefreshAfter
	}
}

// Check plans the next check. It does not plan the refresh anew: with a check each day,
// half of the remaining life would always end later.
func Check(ref tenant.Ref, c *store.Credential, config store.Config, now time.Time) {
	c.NextCheck = time.Time{}
	if config.CheckInterval != nil && *config.CheckInterval > 0 {
		in := time.Duration(float64(*config.CheckInterval) * (0.7 + 0.3*Fraction(ref)))
		c.NextCheck = now.UTC().Add(in).Truncate(*config.CheckInterval / checkSlots)
	}
}

// Fraction maps a ref to a number in [0, 1), always the same one.
func Fraction(ref tenant.Ref) float64 {
	sum := sha256.Sum256([]byte(ref.String())) // a simpler hash puts refs with the same end side by side
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// backoff is the wait after each consecutive failure: a minute for a hiccup of the
// network, an hour for a provider's bad hour, and no longer than six hours.
var backoff = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour}

// Backoff returns how long to wait after the nth consecutive failure, counted from 1.
func Backoff(n int) time.Duration { return backoff[min(n, len(backoff))-1] }
