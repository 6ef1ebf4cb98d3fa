package flow

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// maxOpen is how many sessions are open at a time for an actor and ref.
const maxOpen = 100

// begin stores a session that has begun. If too many are open for its actor and ref, it
// cancels the oldest.
func (ss sessions) begin(ctx context.Context, s store.Session) error {
	defer ss.Store.Sessions.LockOpen(s.Ref, s.Actor)()
	open, err := ss.Store.Sessions.ListOpen(ctx, s.Ref, s.Actor, maxOpen)
	if err != nil {
		return err
	}
	for _, oldest := range open[:max(0, len(open)-maxOpen+1)] {
		if err := ss.cancelOpen(ctx, oldest); err != nil {
			return err
		}
	}
	if err := ss.Store.Sessions.Create(ctx, s, s.ExpiresAt.Add(afterlife)); err != nil {
		return err
	}
	ss.Begun(s.Ref.Provider)
	return nil
}

// cancelOpen cancels the session. One that is being redeemed is left to end by itself. If
// the session has ended already, its index entry is stale and is deleted.
func (ss sessions) cancelOpen(ctx context.Context, o store.OpenSession) error {
	stale := false
	_, err := ss.take(ctx, o.ID, func(s *store.Session) error {
		stale = !unfinished(*s) && !s.Denied && s.Status != store.SessionRedeeming
		if stale || s.Status == store.SessionRedeeming {
			return errRepeated
		}
		s.Fail(oauth.Cancelled, "more sessions were begun for its actor and ref than may be open at a time, and it was the oldest; begin again")
		return nil
	})
	switch {
	case stale, gone(err):
		return ss.Store.Sessions.DeleteOpen(ctx, o)
	case errors.Is(err, errRepeated):
		return nil
	}
	return err
}
