package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// SessionKept is how long after its beginning, at the most, a session is of use:
// an hour until it expires, a quarter more while its end can be read, and what the
// sweep takes. The key that it was sealed with is kept as long.
const SessionKept = 90 * time.Minute

// Sessions reads and writes sessions, and what leads to them.
type Sessions struct {
	*records
	keyrings *keyrings
	tenants  *Tenants
}

// Create schedules the session's end for expireAt and stores it. Its index
// entry stands in its due entry, which is written first.
func (s *Sessions) Create(ctx context.Context, session Session, expireAt time.Time) error {
	id := session.Ref.Tenant
	unlock, err := s.tenants.sealing(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if session.Open, err = s.openKey(ctx, session); err != nil {
		return err
	}
	entry, err := s.due.ScheduleValue(ctx, expireAt, session.ExpiresAt, DueSession, session.ID, session.Open)
	if err != nil {
		return err
	}
	session.Due = entry.Key()
	switch _, err := s.tenants.Read(ctx, id); {
	case errors.Is(err, ErrNotFound):
		if err := s.tenants.keepNew(ctx, id, expireAt); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if err := s.keyrings.ensure(ctx, id); err != nil {
		return err
	}
	if err := s.putEntry(ctx, session.Open); err != nil {
		return err
	}
	return s.put(ctx, session)
}

// Read returns the session with that id, or ErrNotFound. A tenant that is being
// deleted, or was since, has none.
func (s *Sessions) Read(ctx context.Context, id string) (Session, error) {
	key := sessionKey(id)
	b, err := s.get(ctx, key)
	if err != nil {
		return Session{}, err
	}
	if b == nil {
		return Session{}, ErrNotFound
	}
	owner, sealed, ok := cutTenant(b)
	if !ok {
		return Session{}, corrupt(key, errVersion)
	}
	count := s.tenants.DeletionCount(owner)
	if err := s.tenants.Deleting(ctx, owner); err != nil {
		return Session{}, cmp.Or(notDeleting(err), ErrNotFound)
	}
	var r sessionAtRest
	switch err := s.keyrings.open(ctx, owner, key, sealed, &r); {
	case errors.Is(err, ErrCorrupt):
		// It lies there from before its tenant was deleted.
		return Session{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	case err != nil:
		return Session{}, err
	}
	session := r.Session
	session.DeletionCount = count
	session.Verifier, session.ConnectKey, session.Code = oauth.NewSecret(r.Verifier), oauth.NewSecret(r.ConnectKey), oauth.NewSecret(r.Code)
	session.Token.AccessToken, session.Nonce = oauth.NewSecret(r.AccessToken), oauth.NewSecret(r.Nonce)
	session.Token.RefreshToken = oauth.NewSecret(r.RefreshToken)
	return session, nil
}

// Take stores what take makes of the session, under the session's lock: of two
// callers that would take the same step, one finds it taken. The session is
// returned as it then is. If take returns an error nothing is stored; it is
// returned with the session as it was.
func (s *Sessions) Take(ctx context.Context, id string, take func(*Session) error) (Session, error) {
	defer s.locks.lock(sessionKey(id))()
	session, err := s.Read(ctx, id)
	if err != nil {
		return Session{}, err
	}
	taken := session
	if err := take(&taken); err != nil {
		return session, err
	}
	unlock, err := s.tenants.sealing(ctx, taken.Ref.Tenant)
	if err != nil {
		return session, err
	}
	defer unlock()
	if taken.DeletionCount != s.tenants.DeletionCount(taken.Ref.Tenant) {
		return session, ErrNotFound // its tenant was deleted in between
	}
	if err := s.put(ctx, taken); err != nil {
		return session, err
	}
	if taken.Open != "" && !session.closed() && taken.closed() {
		s.tryDelete(ctx, taken.Open)
	}
	return taken, nil
}

// Expire deletes the session's index entry, the records of the codes that it
// owns, the session, and then its entry in the due index.
func (s *Sessions) Expire(ctx context.Context, d due.Entry) error {
	defer s.locks.lock(sessionKey(d.ID))()
	if err := s.deleteOpenOf(ctx, d); err != nil {
		return err
	}
	if err := s.deleteCodes(ctx, d.ID); err != nil {
		return err
	}
	if err := s.storage.Delete(ctx, sessionKey(d.ID)); err != nil {
		return err
	}
	return s.due.Delete(ctx, d)
}

// put is called while sealing.
func (s *Sessions) put(ctx context.Context, session Session) error {
	owner := string(session.Ref.Tenant)
	head := append([]byte{formatVersion, byte(len(owner))}, owner...)
	b, err := s.keyrings.sealed(ctx, session.Ref.Tenant, sessionKey(session.ID), head, sessionAtRest{
		session, session.Verifier.Reveal(), session.Nonce.Reveal(), session.ConnectKey.Reveal(), session.Code.Reveal(), session.Token.AccessToken.Reveal(),
		session.Token.RefreshToken.Reveal(),
	})
	if err != nil {
		return err
	}
	return s.records.put(ctx, sessionKey(session.ID), b)
}

// cutTenant splits a stored session: version ‖ length ‖ tenant ‖ sealed. The
// callback brings a state and no tenant, so the record must name it.
func cutTenant(b []byte) (owner tenant.ID, sealed []byte, ok bool) {
	if len(b) < 2 || b[0] != formatVersion || len(b) < 2+int(b[1]) {
		return "", nil, false
	}
	end := 2 + int(b[1])
	return tenant.ID(b[2:end]), b[end:], true
}
