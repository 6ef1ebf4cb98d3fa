package authpipe

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// A caller is what is known about the client's token of Vault. Vault answers 403 both where a policy refuses and where the token
// has ended. The first takes a credential out of service; the second says nothing about a credential. Vault names an invalid token,
// but not in all versions, so the token is looked up.
type caller struct {
	mu    sync.Mutex
	token [sha256.Size]byte // the token that was looked up
	dead  bool
	until time.Duration // by the client's clock, how long that is believed
	works bool          // a token was looked up with success: the policies allow it, so that a refusal tells of the token
}

// lookedUp is how long the result of a lookup is believed. Many credentials that are refused at once make one lookup.
const lookedUp = 5 * time.Second

// toldApart marks a refusal by Vault that is due to the client's token.
func (c *Client) toldApart(ctx context.Context, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Code == ErrPermissionDenied && !e.deadToken {
		e.deadToken = c.tokenIsDead(ctx)
	}
	return err
}

// tokenIsDead looks the client's token up. Where that fails for another reason than a refusal, Vault cannot be asked, which is no
// reason to drop a credential either.
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
	default:
		return true
	}
	k.token, k.until = token, c.now()+lookedUp
	return k.dead
}
