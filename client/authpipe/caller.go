package authpipe

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// A caller holds the state of the client's own Vault token. Vault answers 403 both where a policy refuses and where the token has
// ended. The first takes a credential out of service; the second says nothing about a credential. Vault adds "invalid token" in the
// second case, but not in all versions, so the client looks the token up.
type caller struct {
	mu    sync.Mutex
	token [sha256.Size]byte // the token that was looked up
	dead  bool
	until time.Duration // by the client's clock, how long that is believed
	works bool          // a lookup has succeeded: policies allow it, so a refused lookup means that the token has ended
}

// lookedUp is how long the result of a lookup is believed. Many credentials that are refused at once make one lookup.
const lookedUp = 5 * time.Second

// markDeadToken marks a refusal by Vault that is due to the client's token.
func (c *Client) markDeadToken(ctx context.Context, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Code == ErrPermissionDenied && !e.deadToken {
		e.deadToken = c.tokenIsDead(ctx)
	}
	return err
}

// tokenIsDead looks the client's token up. If the lookup fails for another reason than a refusal, it also returns true: Vault is out
// of reach then, which is no reason to drop a credential.
func (c *Client) tokenIsDead(ctx context.Context) bool {
	k := &c.caller
	k.mu.Lock()
	defer k.mu.Unlock()
	token := sha256.Sum256([]byte(c.vault.Token()))
	if token == k.token && c.now() < k.until {
		return k.dead
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	resp, err := c.vault.Logical().ReadRawWithContext(ctx, "auth/token/lookup-self")
	if resp != nil {
		_ = resp.Body.Close()
	}
	var e *Error
	switch {
	case err == nil:
		k.dead, k.works = false, true
	case errors.As(failure("looking up the own token", err), &e) && e.Code == ErrPermissionDenied:
		k.dead = e.deadToken || k.works
	case ctx.Err() != nil:
		return true // the caller gave up, or Vault took too long: the next caller asks anew
	default:
		k.dead = true
	}
	k.token, k.until = token, c.now()+lookedUp
	return k.dead
}
