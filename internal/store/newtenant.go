package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A tenant exists from its first credential. What is sealed before that, its sessions
// above all, is sealed with its keyring too. The keyring is deleted with the last session
// if none is completed: no other work would ever delete it.

// A newTenant is what is recorded of a tenant without a record.
type newTenant struct {
	// until is when its keyring may be deleted. Zero: nothing is recorded.
	until time.Time
	// due is the key of its entry in the due index.
	due string
}

// newTenant returns what is recorded of the tenant. The until of a value that cannot be
// read is the latest that keepNewTenant may have recorded.
func (s *Store) newTenant(ctx context.Context, id tenant.ID) (newTenant, error) {
	b, err := s.get(ctx, newTenantKey(id))
	if b == nil || err != nil {
		return newTenant{}, err
	}
	text, due, _ := strings.Cut(string(b), " ")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return newTenant{until: s.now().Add(SessionKept)}, nil
	}
	return newTenant{time.Unix(seconds, 0), due}, nil
}

// keepNewTenant records that the keyring of a tenant without a record is needed until
// then, at least, and has the worker come back then. It is called while sealing, before the
// keyring is made.
func (s *Store) keepNewTenant(ctx context.Context, id tenant.ID, until time.Time) error {
	defer s.records.lock(newTenantKey(id))()
	old, err := s.newTenant(ctx, id)
	if err != nil {
		return err
	}
	if old.until.IsZero() {
		switch _, err := s.keyring(ctx, id); {
		case err == nil: // sessions of a version that recorded nothing may need it
			if kept := s.now().Add(SessionKept); kept.After(until) {
				until = kept
			}
		case !errors.Is(err, ErrNotFound):
			return err
		}
	}
	until = until.Add(time.Minute - time.Nanosecond).Truncate(time.Minute) // so that sessions of one minute record it once
	if !until.After(old.until) {
		return nil
	}
	return s.putNewTenant(ctx, id, until, old.due)
}

// putNewTenant records until, and moves the entry in the due index.
func (s *Store) putNewTenant(ctx context.Context, id tenant.ID, until time.Time, former string) error {
	due, err := s.schedule(ctx, until, time.Time{}, DueNewTenant, string(id))
	if err != nil {
		return err
	}
	if err := s.put(ctx, newTenantKey(id), []byte(strconv.FormatInt(until.Unix(), 10)+" "+due.key())); err != nil {
		return err
	}
	if former != "" && former != due.key() {
		_ = s.storage.Delete(ctx, former) // stale: see EndNewTenant
	}
	return nil
}

// forgetNewTenant deletes what is recorded, when the tenant has a record or no keyring.
func (s *Store) forgetNewTenant(ctx context.Context, id tenant.ID) error {
	known, err := s.newTenant(ctx, id)
	if err != nil || known.until.IsZero() {
		return err
	}
	if err := s.storage.Delete(ctx, newTenantKey(id)); err != nil || known.due == "" {
		return err
	}
	return s.storage.Delete(ctx, known.due)
}

// EndNewTenant is the due work at a tenant without a record: it deletes the keyring, if the
// tenant still has neither a record nor sessions. Nothing is sealed meanwhile: a session
// that is begun later makes another keyring.
func (s *Store) EndNewTenant(ctx context.Context, due Due) error {
	id, err := tenant.ParseID(due.ID)
	if err != nil {
		return s.Drop(ctx, due)
	}
	defer s.tenants.lock(string(id))()
	known, err := s.newTenant(ctx, id)
	switch now := s.now(); {
	case err != nil:
		return err
	case known.until.After(now) && known.due != "" && known.due != due.key():
		// Another session has moved the entry.
	case known.until.After(now): // the clock was set back, or what was recorded could not be read
		until := known.until
		if last := now.Add(SessionKept); until.After(last) {
			until = last
		}
		if err := s.putNewTenant(ctx, id, until, ""); err != nil {
			return err
		}
		if now, err := s.newTenant(ctx, id); err != nil || now.due == due.key() {
			return err // it is at the same minute
		}
	default:
		if err := s.deleteNewTenant(ctx, id); err != nil {
			return err
		}
	}
	return s.Drop(ctx, due)
}

func (s *Store) deleteNewTenant(ctx context.Context, id tenant.ID) error {
	switch _, err := s.storedTenant(ctx, id); {
	case errors.Is(err, ErrNotFound):
		for _, err := range s.Refs(ctx, id, "") {
			return err // the tenant's record was lost: its credentials need the keyring
		}
		return s.destroyKeyring(ctx, id)
	case err == nil, errors.Is(err, ErrCorrupt):
		return s.forgetNewTenant(ctx, id)
	default:
		return err
	}
}
