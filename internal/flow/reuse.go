package flow

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
)

// A reuseError is returned by a step that was brought a code of the session
// owner.
type reuseError struct{ owner string }

func (e *reuseError) Error() string { return "the code belongs to another session" }

// claim records that the answer's code belongs to s, whatever the state of s: a
// code that comes too late for its session is still good at the provider, and
// may have been logged. The error is a [*reuseError] if the engine first saw the
// code in another session.
func (f *Flow) claim(ctx context.Context, s *store.Session, a Answer) error {
	if a.Code.IsZero() || s.CallbackHash != nil && string(s.CallbackHash) == string(a.hash()) {
		return nil
	}
	owner, err := f.Store.Sessions.ClaimCode(ctx, *s, a.Code)
	if err == nil && owner != s.ID {
		err = &reuseError{owner}
	}
	return err
}

// foreign returns a reuseError if another session owns the code in a. It records
// nothing.
func (f *Flow) foreign(ctx context.Context, s *store.Session, a Answer) error {
	if a.Code.IsZero() {
		return nil
	}
	owner, err := f.Store.Sessions.CodeOwner(ctx, s.Ref.Provider, a.Code)
	if err == nil && owner != "" && owner != s.ID {
		err = &reuseError{owner}
	}
	return err
}

// reused fails the session owner, whose code the answer a brought to the
// session id, and then that session, and returns the latter. What is completed
// stays. The owner comes first: after a crash between the two, the next try
// finds both again.
func (f *Flow) reused(ctx context.Context, id, owner string, a Answer) (store.Session, error) {
	victim, newVictim, err := f.markReused(ctx, owner, "its code was presented in another session; begin again", nil)
	if err != nil && !gone(err) {
		return store.Session{}, err
	}
	session, newThief, err := f.markReused(ctx, id, "the code that came for it belongs to another session; begin again", a.hash())
	if err != nil || !newVictim && !newThief {
		return session, err
	}
	f.Log.Warn("a code was presented in a session that it does not belong to", "ref", session.Ref.String(), "session", id, "owner", owner)
	now := f.Now().UTC()
	f.Store.Events.Add(event.Event{At: now, Type: event.SessionCodeReused, Ref: session.Ref.String(), Reason: "session " + id + " was brought a code of another session"})
	if victim.ID != "" {
		f.Store.Events.Add(event.Event{At: now, Type: event.SessionCodeReused, Ref: victim.Ref.String(), Reason: "the code of session " + owner + " was presented in another session"})
	}
	if err := f.Store.Events.Flush(context.WithoutCancel(ctx)); err != nil { // a callback is a read, after which they would wait
		f.Log.Warn("the events of a code that was presented twice could not be stored yet", "error", err)
	}
	return session, nil
}

// markReused marks the session and fails it if it has not ended. It reports
// whether the mark is new. Of a session that is being redeemed the mark alone is
// stored: it cannot be tried again if the provider does not answer. A session
// that waited for an answer is given hash, so that the same answer again gets
// the same result.
func (f *Flow) markReused(ctx context.Context, id, message string, hash []byte) (s store.Session, isNew bool, err error) {
	s, err = f.take(context.WithoutCancel(ctx), id, func(s *store.Session) error {
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
