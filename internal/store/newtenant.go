package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A tenant exists from its first credential. The sessions before that are sealed
// with its keyring as well, which goes with the last of them if none is completed:
// nobody else would ever delete it.

// A sessionDue is what a session's entry in the due index says beside its key. The
// session's record may not open any more when it is reaped.
type sessionDue struct {
	// open is the key of the session's entry among the open ones. "": a version
	// wrote it that had none.
	open string
	// newTenant is the session's tenant if it had no record when the session was
	// begun. "": it had.
	newTenant tenant.ID
}

func (d sessionDue) value() string {
	if d.newTenant == "" {
		return d.open
	}
	return d.open + "\x00" + string(d.newTenant)
}

func (s *Store) sessionDueOf(ctx context.Context, due Due) (sessionDue, error) {
	b, err := s.get(ctx, due.key())
	if err != nil || len(b) < 2 {
		return sessionDue{}, err
	}
	open, id, _ := strings.Cut(string(b[1:]), "\x00")
	if !strings.HasPrefix(open, openPrefix) {
		return sessionDue{}, nil
	}
	return sessionDue{open, tenant.ID(id)}, nil
}

func (s *Store) isNewTenant(ctx context.Context, id tenant.ID) (bool, error) {
	_, err := s.Tenant(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	return false, err
}

// keepNewTenant records that the keyring of a tenant without a record is needed
// until then, at least.
func (s *Store) keepNewTenant(ctx context.Context, id tenant.ID, until time.Time) error {
	defer s.records.lock(newTenantKey(id))()
	recorded, err := s.newTenantUntil(ctx, id)
	if err != nil || !until.After(recorded) {
		return err
	}
	return s.put(ctx, newTenantKey(id), []byte(strconv.FormatInt(until.Unix(), 10)))
}

// newTenantUntil returns what keepNewTenant has recorded, or the zero time.
func (s *Store) newTenantUntil(ctx context.Context, id tenant.ID) (time.Time, error) {
	b, err := s.get(ctx, newTenantKey(id))
	if b == nil || err != nil {
		return time.Time{}, err
	}
	seconds, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return time.Time{}, nil // the next session writes it anew
	}
	return time.Unix(seconds, 0), nil
}

// endNewTenant destroys the keyring of a tenant that has neither a record nor
// sessions any more. Nothing is sealed meanwhile: a session that is begun later
// makes another keyring.
func (s *Store) endNewTenant(ctx context.Context, id tenant.ID) error {
	defer s.tenants.lock(string(id))()
	until, err := s.newTenantUntil(ctx, id)
	if err != nil || until.After(s.now()) {
		return err
	}
	switch _, err := s.storedTenant(ctx, id); {
	case errors.Is(err, ErrNotFound):
		for _, err := range s.Refs(ctx, id, "") {
			return err // its record was lost: what it has is not thrown away unseen
		}
		return s.destroyKeyring(ctx, id)
	case err != nil:
		return err
	}
	return s.storage.Delete(ctx, newTenantKey(id))
}
