package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// replan moves the credential's entry in the due index to when c is next due.
func (s *Credentials) replan(ctx context.Context, ref tenant.Ref, old, c *Credential) error {
	next := c.NextDue()
	if old != nil && old.Due != "" && old.NextDue().Equal(next) && old.Token.ExpiresAt.Equal(c.Token.ExpiresAt) {
		c.Due = old.Due
		return nil
	}
	c.Due = ""
	if next.IsZero() {
		return nil
	}
	entry, err := s.due.Schedule(ctx, next, c.Token.ExpiresAt, DueCredential, ref.Flat())
	if err != nil {
		return err
	}
	c.Due = entry.Key()
	return nil
}

// putNewEntries writes the index entries that c needs and old had not, and returns the
// stale ones: those that old had and c does not need.
func (s *Credentials) putNewEntries(ctx context.Context, ref tenant.Ref, old, c *Credential) (stale []string, err error) {
	have, err := s.entries(ctx, ref, old, true)
	if err != nil {
		return nil, err
	}
	want, err := s.entries(ctx, ref, c, true)
	if err != nil {
		return nil, err
	}
	for _, key := range want {
		// The due entry was written when it was planned.
		if !slices.Contains(have, key) && key != c.Due {
			if err := s.putEntry(ctx, key); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(have, func(key string) bool { return slices.Contains(want, key) }), nil
}

// entries returns the keys of every index entry that leads to c, which may be
// nil.
func (s *Credentials) entries(ctx context.Context, ref tenant.Ref, c *Credential, create bool) ([]string, error) {
	if c == nil {
		return nil, nil
	}
	var keys []string
	for _, account := range accountsOf(*c) {
		name, err := s.keyrings.accountName(ctx, ref.Provider, account, create)
		if err != nil {
			return nil, err
		}
		keys = append(keys, accountDir(ref.Provider, name)+ref.Flat())
	}
	if c.Status != Active {
		keys = append(keys, statusKey(c.Status, ref))
	}
	if c.Due != "" {
		keys = append(keys, c.Due)
	}
	return keys, nil
}

// deleteUnlessNeeded deletes an index entry that leads to ref's credential, if that does not
// need it.
func (s *Credentials) deleteUnlessNeeded(ctx context.Context, ref tenant.Ref, key string) error {
	defer s.locks.lock(credentialKey(ref))()
	c, err := s.stored(ctx, ref)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil {
		needed, err := s.entries(ctx, ref, &c, false)
		if err != nil || slices.Contains(needed, key) {
			return err
		}
	}
	return s.storage.Delete(ctx, key)
}

// scheduleStale has the worker delete the stale entries if one of them names an account:
// those of the other indexes are met, and deleted then. It returns the key of the entry in
// the due index, or "", for deleteStaleEntries. It is called before the record is changed.
func (s *Credentials) scheduleStale(ctx context.Context, ref tenant.Ref, stale []string) (entry string, err error) {
	if !slices.ContainsFunc(stale, func(key string) bool { return strings.HasPrefix(key, accountPrefix) }) {
		return "", nil
	}
	scheduled, err := s.due.ScheduleValue(ctx, s.now(), time.Time{}, DueIndexEntry, ref.Flat(), strings.Join(stale, "\n"))
	return scheduled.Key(), err
}

// deleteStaleEntries deletes the stale entries, and then the one in the due index that
// would have the worker do so, which does if this fails. It is called after the record is
// changed.
func (s *Credentials) deleteStaleEntries(ctx context.Context, stale []string, entry string) {
	if s.deleteEntries(ctx, stale) == nil && entry != "" {
		s.tryDelete(ctx, entry)
	}
}

// DeleteUnusedEntries is the due work at a credential that was deleted, or that has another
// account: it deletes the index entries that do not lead to it any more, should that not
// have been done at once.
func (s *Credentials) DeleteUnusedEntries(ctx context.Context, d due.Entry) error {
	ref, err := tenant.ParseFlat(d.ID)
	if err != nil {
		return s.due.Delete(ctx, d)
	}
	keys, err := s.due.Value(ctx, d)
	if err != nil || keys == "" {
		return err
	}
	for key := range strings.SplitSeq(keys, "\n") {
		if err := s.deleteUnlessNeeded(ctx, ref, key); err != nil && !errors.Is(err, ErrCorrupt) {
			return err
		}
	}
	return s.due.Delete(ctx, d)
}
