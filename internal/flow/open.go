package flow

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// maxOpen is how many sessions are open at a time for an actor and ref.
const maxOpen = 100

// newSession stores a session that has begun. Where too many are open for its
// actor and ref, the oldest is cancelled.
func (f *Flow) newSession(ctx context.Context, s store.Session) error {
	defer f.Store.Sessions.LockOpen(s.Ref, s.Actor)()
	open, err := f.Store.Sessions.ListOpen(ctx, s.Ref, s.Actor, maxOpen)
	if err != nil {
		return err
	}
	for _, oldest := range open[:max(0, len(open)-maxOpen+1)] {
		if err := f.cancelOpen(ctx, oldest); err != nil {
			return err
		}
	}
	if err := f.Store.Sessions.Create(ctx, s, s.ExpiresAt.Add(afterlife)); err != nil {
		return err
	}
	f.Begun(s.Ref.Provider)
	return nil
}

// cancelOpen cancels the session, unless it is being redeemed: that ends it by
// itself. An index entry that is left of a session that has ended is deleted.
func (f *Flow) cancelOpen(ctx context.Context, o store.OpenSession) error {
	stale := false
	_, err := f.take(ctx, o.ID, func(s *store.Session) error {
		stale = !unfinished(*s) && !s.Denied && s.Status != store.SessionRedeeming
		if stale || s.Status == store.SessionRedeeming {
			return errRepeated
		}
		s.Fail(oauth.Cancelled, "more sessions were begun for its actor and ref than may be open at a time, and it was the oldest; begin again")
		return nil
	})
	switch {
	case stale, gone(err):
		return f.Store.Sessions.DeleteOpen(ctx, o)
	case errors.Is(err, errRepeated):
		return nil
	}
	return err
}
