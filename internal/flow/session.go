package flow

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Session returns the tenant's session as it is now: expired if its time is over, failed
// if the request that redeemed its code was interrupted.
func (f *Flow) Session(ctx context.Context, id tenant.ID, sessionID string) (store.Session, error) {
	if !isSessionID(sessionID) {
		return store.Session{}, errNoSession
	}
	s, err := f.Store.Sessions.Read(ctx, sessionID)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && s.Ref.Tenant != id:
		return store.Session{}, errNoSession
	case err != nil:
		return store.Session{}, err
	case s.Status == store.SessionRedeeming && f.redeemer.running(s.ID) == nil:
		// The redemption may have ended after the session was read.
		if s, err = f.Store.Sessions.Read(ctx, sessionID); err == nil && s.Status == store.SessionRedeeming && f.redeemer.running(s.ID) == nil {
			err = f.redeemer.resolve(ctx, &s)
		}
	}
	if unfinished(s) && expired(s, f.Now()) {
		s.Status = store.SessionExpired
	}
	return s, err
}

// Cancel ends the tenant's session, if it has not ended yet. Its record stays until Expire
// deletes it.
func (f *Flow) Cancel(ctx context.Context, id tenant.ID, sessionID string) error {
	if !isSessionID(sessionID) {
		return errNoSession
	}
	_, err := f.sessions.take(ctx, sessionID, func(s *store.Session) error {
		switch {
		case s.Ref.Tenant != id:
			return errNoSession
		case f.redeemer.running(s.ID) != nil:
			return oauth.Errorf(oauth.Pending, "the session is being completed right now; read it to see how it ended")
		case s.Status == store.SessionRedeeming:
			if err := f.redeemer.resolve(ctx, s); err != nil || !unfinished(*s) {
				return err
			}
		case !unfinished(*s) && !s.Denied:
			return errRepeated
		}
		s.Fail(oauth.Cancelled, "the session was cancelled; begin again")
		return nil
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errNoSession
	case errors.Is(err, errRepeated):
		return nil
	}
	return err
}

// sessions changes the records of sessions.
type sessions struct{ Options }

// take is [store.Sessions.Take], and calls Ended if the step has ended the session.
func (ss sessions) take(ctx context.Context, id string, step func(*store.Session) error) (store.Session, error) {
	before := store.Session{}
	s, err := ss.Store.Sessions.Take(ctx, id, func(s *store.Session) error {
		before = *s
		return step(s)
	})
	if err == nil && !before.Ended() && s.Ended() {
		ss.Ended(s.Ref.Provider, s.Error)
	}
	return s, err
}

// Expire is the due work at a session: it deletes one whose time is over, some time after
// it has ended.
func (f *Flow) Expire(ctx context.Context, entry due.Entry) error {
	if f.redeemer.running(entry.ID) != nil {
		return nil
	}
	return f.Store.Sessions.Expire(ctx, entry)
}
