package store

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
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

// newRecord returns what is recorded of the tenant. The until of a value that cannot be
// read is the latest that keepNew may have recorded.
func (t *Tenants) newRecord(ctx context.Context, id tenant.ID) (newTenant, error) {
	b, err := t.get(ctx, newTenantKey(id))
	if b == nil || err != nil {
		return newTenant{}, err
	}
	text, due, _ := strings.Cut(string(b), " ")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return newTenant{until: t.now().Add(SessionKept)}, nil
	}
	return newTenant{time.Unix(seconds, 0), due}, nil
}

// keepNew records that the keyring of a tenant without a record is needed until
// then, at least, and has the worker come back then. It is called while sealing, before the
// keyring is created.
func (t *Tenants) keepNew(ctx context.Context, id tenant.ID, until time.Time) error {
	defer t.locks.lock(newTenantKey(id))()
	old, err := t.newRecord(ctx, id)
	if err != nil {
		return err
	}
	if old.until.IsZero() {
		switch _, err := t.keyrings.of(ctx, id); {
		case err == nil: // sessions of a version that recorded nothing may need it
			if kept := t.now().Add(SessionKept); kept.After(until) {
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
	return t.putNew(ctx, id, until, old.due)
}

// putNew records until, and moves the entry in the due index.
func (t *Tenants) putNew(ctx context.Context, id tenant.ID, until time.Time, former string) error {
	return t.putWithDue(ctx, work{DueNewTenant, string(id), until, former}, func(due string) error {
		return t.records.put(ctx, newTenantKey(id), []byte(strconv.FormatInt(until.Unix(), 10)+" "+due))
	})
}

// deleteNew deletes what is recorded, when the tenant has a record or no keyring.
func (t *Tenants) deleteNew(ctx context.Context, id tenant.ID) error {
	known, err := t.newRecord(ctx, id)
	if err != nil || known.until.IsZero() {
		return err
	}
	if err := t.storage.Delete(ctx, newTenantKey(id)); err != nil || known.due == "" {
		return err
	}
	return t.storage.Delete(ctx, known.due)
}

// purge deletes the tenant's keyring, and what is recorded of it as a new tenant. It is
// called with the tenant locked.
func (t *Tenants) purge(ctx context.Context, id tenant.ID) error {
	if err := t.keyrings.purge(ctx, id); err != nil {
		return err
	}
	return t.deleteNew(ctx, id)
}

// EndNewTenant is the due work at a tenant without a record: it deletes the keyring, if the
// tenant still has neither a record nor sessions. Nothing is sealed meanwhile: a session
// that is begun later creates another keyring.
func (r *Removals) EndNewTenant(ctx context.Context, d due.Entry) error {
	id, err := tenant.ParseID(d.ID)
	if err != nil {
		return r.due.Delete(ctx, d)
	}
	defer r.tenantLocks.lock(string(id))()
	known, err := r.tenants.newRecord(ctx, id)
	switch now := r.now(); {
	case err != nil:
		return err
	case known.until.After(now) && known.due != "" && known.due != d.Key():
		// Another session has moved the entry.
	case known.until.After(now): // the clock was set back, or what was recorded could not be read
		until := known.until
		if last := now.Add(SessionKept); until.After(last) {
			until = last
		}
		if err := r.tenants.putNew(ctx, id, until, ""); err != nil {
			return err
		}
		if now, err := r.tenants.newRecord(ctx, id); err != nil || now.due == d.Key() {
			return err // it is at the same minute
		}
	default:
		if err := r.endNew(ctx, id); err != nil {
			return err
		}
	}
	return r.due.Delete(ctx, d)
}

func (r *Removals) endNew(ctx context.Context, id tenant.ID) error {
	switch _, err := r.tenants.stored(ctx, id); {
	case errors.Is(err, ErrNotFound):
		for _, err := range r.credentials.Refs(ctx, id, "") {
			return err // the tenant's record was lost: its credentials need the keyring
		}
		return r.tenants.purge(ctx, id)
	case err == nil, errors.Is(err, ErrCorrupt):
		return r.tenants.deleteNew(ctx, id)
	default:
		return err
	}
}
