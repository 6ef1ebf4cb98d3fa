package store

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// ErrTooManyCodes is returned if more codes are presented in a session than
// [Sessions.ClaimCode] records for one session.
var ErrTooManyCodes = errors.New("too many codes were presented in the session")

// maxCodes is how many codes are recorded for one session, whatever its status. A
// second one comes when a person goes back and approves again; a third hardly
// ever. It bounds what a caller that knows a state can store, and is so large that
// made-up codes crowd out the person's own only in a flood that no quota stops.
const maxCodes = 1000

// ClaimCode records that the authorization code belongs to the session, unless
// another session owns it, and returns the id of the session that does. It is
// called under the session's lock, before anything is done with the code.
//
// The session's index entry is written first and deleted last, so that
// [Sessions.Expire] finds every code that the session owns.
func (s *Sessions) ClaimCode(ctx context.Context, session Session, code oauth.Secret) (owner string, err error) {
	name, err := s.keyrings.accountName(ctx, session.Ref.Provider, "code:"+code.Reveal(), true)
	if err != nil {
		return "", err
	}
	defer s.locks.lock(codeKey(name))()
	if owner, err = s.codeOwner(ctx, name); owner != "" || err != nil {
		return owner, err
	}
	if session.CallbackHash != nil || session.Status != SessionPending || !s.now().Before(session.ExpiresAt) { // else it is the first
		names, err := s.storage.List(ctx, sessionCodeDir(session.ID))
		if err != nil {
			return "", err
		}
		if len(names) >= maxCodes {
			return "", ErrTooManyCodes
		}
	}
	if err := s.putEntry(ctx, sessionCodeDir(session.ID)+name); err != nil {
		return "", err
	}
	return session.ID, s.records.put(ctx, codeKey(name), append([]byte{formatVersion}, session.ID...))
}

// CodeOwner returns the id of the session that owns the authorization code, or "".
func (s *Sessions) CodeOwner(ctx context.Context, provider string, code oauth.Secret) (string, error) {
	name, err := s.keyrings.accountName(ctx, provider, "code:"+code.Reveal(), false)
	if errors.Is(err, ErrNotFound) {
		return "", nil // no code was recorded yet
	}
	if err != nil {
		return "", err
	}
	return s.codeOwner(ctx, name)
}

// codeOwner returns the id of the session that owns the code called name, or "".
func (s *Sessions) codeOwner(ctx context.Context, name string) (string, error) {
	b, err := s.get(ctx, codeKey(name))
	switch {
	case b == nil || err != nil:
		return "", err
	case len(b) < 2 || b[0] != formatVersion:
		return "", corrupt(codeKey(name), errVersion)
	}
	return string(b[1:]), nil
}

// deleteCodes deletes the records of the codes that the session owns. It is called
// under the session's lock.
func (s *Sessions) deleteCodes(ctx context.Context, session string) error {
	names, err := s.storage.List(ctx, sessionCodeDir(session))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.deleteCode(ctx, session, name); err != nil {
			return err
		}
	}
	return nil
}

// deleteCode leaves the record alone if another session owns the code: a crash
// may have left the index entry without it. A record that does not open is
// deleted.
func (s *Sessions) deleteCode(ctx context.Context, session, name string) error {
	defer s.locks.lock(codeKey(name))()
	owner, err := s.codeOwner(ctx, name)
	if owner == session || errors.Is(err, ErrCorrupt) {
		err = s.storage.Delete(ctx, codeKey(name))
	}
	if err != nil {
		return err
	}
	return s.storage.Delete(ctx, sessionCodeDir(session)+name)
}
