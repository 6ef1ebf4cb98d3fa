package store

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Indexed is like [Credentials.Refs], and yields what the status index names too:
// entries may be left of deleted credentials. A reindex visits these. Stale
// entries of accounts are not looked for: an account's directory is its HMAC, so
// those of one tenant are found by listing those of all. They are deleted by the
// work that follows them, as are stale entries of the due index.
func (s *Credentials) Indexed(ctx context.Context, id tenant.ID, after string) iter.Seq2[tenant.Ref, error] {
	return func(yield func(tenant.Ref, error) bool) {
		indexed, err := s.inStatusIndex(ctx, id, after)
		if err != nil {
			yield(tenant.Ref{}, err)
			return
		}
		for ref, err := range s.Refs(ctx, id, after) {
			for err == nil && len(indexed) > 0 && compareRefs(indexed[0], ref) <= 0 {
				if indexed[0] != ref && !yield(indexed[0], nil) {
					return
				}
				indexed = indexed[1:]
			}
			if !yield(ref, err) || err != nil {
				return
			}
		}
		for _, ref := range indexed {
			if !yield(ref, nil) {
				return
			}
		}
	}
}

// inStatusIndex returns the refs of the tenant after the ref after that the status
// index names, sorted, each once.
func (s *Credentials) inStatusIndex(ctx context.Context, id tenant.ID, after string) ([]tenant.Ref, error) {
	var all []tenant.Ref
	for _, status := range NotActive {
		refs, err := s.InStatus(ctx, status)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			if ref.Tenant == id && ref.String() > after {
				all = append(all, ref)
			}
		}
	}
	slices.SortFunc(all, compareRefs)
	return slices.Compact(all), nil
}

// Reindex writes those index entries that lead to ref's credential and are missing,
// and deletes those of the status index that say something else. If there is
// no credential, no entry is left. It writes nothing where all is well.
//
// A credential that lost its due entry is given another. Its generation and
// revision stay, for nothing has changed that the result of a call depends on: a
// refresh that is under way is still stored.
func (s *Credentials) Reindex(ctx context.Context, ref tenant.Ref) error {
	defer s.locks.lock(credentialKey(ref))()
	// Not sealing: of a tenant that is being deleted the keyring must not come
	// back.
	defer s.tenantLocks.rlock(string(ref.Tenant))()
	c, err := s.stored(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return s.correctStatus(ctx, ref, "")
	}
	if err != nil {
		return err
	}
	if err := s.putMissingEntries(ctx, ref, c); err != nil {
		return err
	}
	return s.correctStatus(ctx, ref, c.Status)
}

func (s *Credentials) putMissingEntries(ctx context.Context, ref tenant.Ref, c Credential) error {
	before := c.Due
	if err := s.reschedule(ctx, ref, &c); err != nil {
		return err
	}
	needed, err := s.entries(ctx, ref, &c, true)
	if err != nil {
		return err
	}
	for _, key := range needed {
		switch b, err := s.get(ctx, key); {
		case err != nil:
			return err
		case b == nil:
			if err := s.putEntry(ctx, key); err != nil {
				return err
			}
		}
	}
	if c.Due == before {
		return nil
	}
	if err := s.put(ctx, ref, c); err != nil {
		return err
	}
	if before != "" {
		s.tryDelete(ctx, before)
	}
	return nil
}

// reschedule gives c another entry in the due index if no sweep will find the
// one that it names.
func (s *Credentials) reschedule(ctx context.Context, ref tenant.Ref, c *Credential) error {
	next := c.NextDue()
	if next.IsZero() {
		return nil
	}
	if found, err := s.due.WillBeFound(ctx, c.Due); found || err != nil {
		return err
	}
	entry, err := s.due.Schedule(ctx, next, c.Token.ExpiresAt, DueCredential, ref.Flat())
	c.Due = entry.Key()
	return err
}
