package store

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Indexed is like [Store.Refs], and yields what the status index names too:
// hints may be left of what is gone. It is what a reindex visits. Outdated
// hints of accounts are not looked for: an account's directory is its HMAC, so
// those of one tenant are found by listing those of all. They are dropped by
// who follows them, as are outdated entries of the due index.
func (s *Store) Indexed(ctx context.Context, id tenant.ID, after string) iter.Seq2[tenant.Ref, error] {
	return func(yield func(tenant.Ref, error) bool) {
		hinted, err := s.hinted(ctx, id, after)
		if err != nil {
			yield(tenant.Ref{}, err)
			return
		}
		for ref, err := range s.Refs(ctx, id, after) {
			for err == nil && len(hinted) > 0 && compareRefs(hinted[0], ref) <= 0 {
				if hinted[0] != ref && !yield(hinted[0], nil) {
					return
				}
				hinted = hinted[1:]
			}
			if !yield(ref, err) || err != nil {
				return
			}
		}
		for _, ref := range hinted {
			if !yield(ref, nil) {
				return
			}
		}
	}
}

// hinted returns the refs of the tenant after the ref after that the status
// index names, sorted, each once.
func (s *Store) hinted(ctx context.Context, id tenant.ID, after string) ([]tenant.Ref, error) {
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

// Reindex writes those hints that lead to ref's credential and are missing,
// and deletes those of the status index that say something else. If there is
// no credential, none is left to say so. It writes nothing where all is well.
//
// A credential that lost its due entry is given another. Its generation and
// revision stay, for nothing has changed that the answer to a call could be
// outdated by: a refresh that is under way is still stored.
func (s *Store) Reindex(ctx context.Context, ref tenant.Ref) error {
	defer s.records.lock(credentialKey(ref))()
	// Not sealing: of a tenant that is being deleted the keyring must not come
	// back.
	defer s.tenants.rlock(string(ref.Tenant))()
	c, err := s.storedCredential(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return s.correctStatus(ctx, ref, "")
	}
	if err != nil {
		return err
	}
	if err := s.putMissingHints(ctx, ref, c); err != nil {
		return err
	}
	return s.correctStatus(ctx, ref, c.Status)
}

func (s *Store) putMissingHints(ctx context.Context, ref tenant.Ref, c Credential) error {
	before := c.Due
	if err := s.reschedule(ctx, ref, &c); err != nil {
		return err
	}
	needed, err := s.hints(ctx, ref, &c, true)
	if err != nil {
		return err
	}
	for _, key := range needed {
		switch b, err := s.get(ctx, key); {
		case err != nil:
			return err
		case b == nil:
			if err := s.putHint(ctx, key); err != nil {
				return err
			}
		}
	}
	if c.Due == before {
		return nil
	}
	if err := s.putCredential(ctx, ref, c); err != nil {
		return err
	}
	if before != "" {
		_ = s.storage.Delete(ctx, before) // a hint, as in UpdateCredential
	}
	return nil
}

// reschedule gives c another entry in the due index if no sweep will find the
// one that it names.
func (s *Store) reschedule(ctx context.Context, ref tenant.Ref, c *Credential) error {
	next := c.NextDue()
	if next.IsZero() {
		return nil
	}
	if found, err := s.willBeFound(ctx, c.Due); found || err != nil {
		return err
	}
	due, err := s.schedule(ctx, next, c.Token.ExpiresAt, DueCredential, ref.Flat())
	c.Due = due.key()
	return err
}

// willBeFound reports whether a sweep will come to the due entry under key: it
// is in storage, and at a minute that was not passed or is looked at again.
func (s *Store) willBeFound(ctx context.Context, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	if b, err := s.get(ctx, key); b == nil || err != nil {
		return false, err
	}
	if err := s.loadWatermark(ctx, true); err != nil {
		return false, err
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(key, duePrefix), "/")
	minute, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return false, corrupt(key, err)
	}
	s.due.mu.RLock()
	defer s.due.mu.RUnlock()
	return minute > s.due.passed || s.due.stuck[minute], nil
}

// correctStatus deletes the hints that ref has another status than this one.
func (s *Store) correctStatus(ctx context.Context, ref tenant.Ref, status Status) error {
	for _, other := range NotActive {
		if other == status {
			continue
		}
		key := statusKey(other, ref)
		switch b, err := s.get(ctx, key); {
		case err != nil:
			return err
		case b != nil:
			if err := s.storage.Delete(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// RescheduleWork gives the tenant's removals, its rotation and the next one another
// entry in the due index where no sweep will find their own.
func (s *Store) RescheduleWork(ctx context.Context, id tenant.ID) error {
	t, err := s.Tenant(ctx, id)
	if err != nil {
		return err
	}
	for provider := range t.Removals {
		err := s.UpdateRemoval(ctx, tenant.Ref{Tenant: id, Provider: provider}, func(old *Removal) (Removal, time.Time, error) {
			if old == nil {
				return Removal{}, time.Time{}, errFound
			}
			found, err := s.willBeFound(ctx, old.Due)
			if found {
				err = errFound
			}
			return *old, s.now(), err
		})
		if err != nil && !errors.Is(err, errFound) {
			return err
		}
	}
	if found, err := s.willBeFound(ctx, t.NextRotation.Due); !found {
		if err == nil {
			err = s.PlanRotation(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	_, err = s.UpdateWalk(ctx, id, DueRotation, func(old *Walk) (Walk, time.Time, error) {
		if old == nil || !old.FinishedAt.IsZero() {
			return Walk{}, time.Time{}, errFound
		}
		found, err := s.willBeFound(ctx, old.Due)
		if found {
			err = errFound
		}
		return *old, s.now(), err
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}

// errFound says that there is nothing to reschedule.
var errFound = errors.New("a sweep will find it")
