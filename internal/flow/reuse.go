package flow

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
)

// A reuseError is returned by a step whose answer has a code of the session owner.
type reuseError struct{ owner string }

func (e *reuseError) Error() string { return "the code belongs to another session" }

// claim records that the answer's code belongs to s, whatever the state of s: the provider
// still accepts a code that came too late for its session, and it may have been logged.
// The error is a [*reuseError] if the engine first saw the code in another session.
func (ss sessions) claim(ctx context.Context, s *store.Session, a Answer) error {
	if a.Code.IsZero() || s.CallbackHash != nil && string(s.CallbackHash) == string(a.hash()) {
		return nil
	}
	owner, err := ss.Store.Sessions.ClaimCode(ctx, *s, a.Code)
	if err == nil && owner != s.ID {
		err = &reuseError{owner}
	}
	return err
}

// checkOwner returns a reuseError if another session owns the code in a. It records
// nothing.
func (ss sessions) checkOwner(ctx context.Context, s *store.Session, a Answer) error {
	if a.Code.IsZero() {
		return nil
	}
	owner, err := ss.Store.Sessions.CodeOwner(ctx, s.Ref.Provider, a.Code)
	if err == nil && owner != "" && owner != s.ID {
		err = &reuseError{owner}
	}
	return err
}

// failReused fails the session owner, whose code the answer a has brought to the session
// id, and then that session, which it returns. A completed session stays completed. The
// owner is the first: after a crash between the two, the next request finds both again.
func (ss sessions) failReused(ctx context.Context, id, owner string, a Answer) (store.Session, error) {
	victim, newVictim, err := ss.markReused(ctx, owner, "its code was presented in another session; begin again", nil)
	if err != nil && !gone(err) {
		return store.Session{}, err
	}
	session, newThief, err := ss.markReused(ctx, id, "the code that came for it belongs to another session; begin again", a.hash())
	if err != nil || !newVictim && !newThief {
		return session, err
	}
	ss.Log.Warn("a code was presented in a session that it does not belong to", "ref", session.Ref.String(), "session", id, "owner", owner)
	now := ss.Now().UTC()
	ss.Store.Events.Add(event.Event{At: now, Type: event.SessionCodeReused, Ref: session.Ref.String(), Reason: "session " + id + " was brought a code of another session"})
	if victim.ID != "" {
		ss.Store.Events.Add(event.Event{At: now, Type: event.SessionCodeReused, Ref: victim.Ref.String(), Reason: "the code of session " + owner + " was presented in another session"})
	}
	// A callback is a read, after which no events are flushed.
	if err := ss.Store.Events.Flush(context.WithoutCancel(ctx)); err != nil {
		ss.Log.Warn("storing the events of a code that was presented twice failed", "error", err)
	}
	return session, nil
}

// markReused marks the session, and fails it if it has not ended. It reports whether the
// mark is new. A session that is being redeemed only gets the mark: because of it the
// redemption is not repeated if the provider does not answer. A session that waited for an
// answer gets hash, so that the same answer has the same result.
func (ss sessions) markReused(ctx context.Context, id, message string, hash []byte) (s store.Session, isNew bool, err error) {
	s, err = ss.take(context.WithoutCancel(ctx), id, func(s *store.Session) error {
		if s.CodeReused {
			return errRepeated
		}
		s.CodeReused = true
		if s.Status == store.SessionPending && hash != nil {
			s.CallbackHash = hash
		}
		if unfinished(*s) || s.Denied {
			s.Fail(oauth.SessionUsed, message)
		}
		return nil
	})
	if errors.Is(err, errRepeated) {
		return s, false, nil
	}
	return s, err == nil, err
}

// gone reports whether err says that a session was deleted, or its tenant.
func gone(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDeleting)
}
