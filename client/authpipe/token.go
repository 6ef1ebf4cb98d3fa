package authpipe

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// A tokenState is the state of the client's own Vault token. Vault responds with 403 both if a policy refuses and if the token has
// ended. The first takes a credential out of service; the second says nothing about a credential. Vault adds "invalid token" in the
// second case, but not in all versions, so the client looks the token up.
type tokenState struct {
	mu    sync.Mutex
	token [sha256.Size]byte // the token that was looked up
	dead  bool
	until time.Duration // by the client's clock, how long dead holds
	works bool          // a lookup has succeeded: policies allow it, so a refused lookup means that the token has ended
}

// lookupAge is how long the result of a lookup holds. Many credentials that are refused at once make one lookup.
const lookupAge = 5 * time.Second

// markDeadToken marks a refusal by Vault that is due to the client's token.
func (m *mount) markDeadToken(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Code == ErrPermissionDenied && !e.deadToken {
		e.deadToken = m.tokenIsDead()
	}
	return err
}

// tokenIsDead looks the client's token up. If the lookup fails for another reason than a refusal, it also returns true: Vault is out
// of reach then, which is no reason to drop a credential.
func (m *mount) tokenIsDead() bool {
	s := &m.token
	s.mu.Lock()
	defer s.mu.Unlock()
	token := sha256.Sum256([]byte(m.vault.Token()))
	if token == s.token && m.now() < s.until {
		return s.dead
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.timeout)
	defer cancel()
	resp, err := m.vault.Logical().ReadRawWithContext(ctx, "auth/token/lookup-self")
	if resp != nil {
		_ = resp.Body.Close()
	}
	var e *Error
	switch {
	case err == nil:
		s.dead, s.works = false, true
	case errors.As(failure("looking up the own token", err), &e) && e.Code == ErrPermissionDenied:
		s.dead = e.deadToken || s.works
	case ctx.Err() != nil:
		return true // the client was closed, or Vault took too long: the next refusal repeats the lookup
	default:
		s.dead = true
	}
	s.token, s.until = token, m.now()+lookupAge
	return s.dead
}
