package store

import (
	"context"
	"slices"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// replan moves the credential's entry in the due index to when c is next due.
func (s *Store) replan(ctx context.Context, ref tenant.Ref, old, c *Credential) error {
	next := c.NextDue()
	if old != nil && old.Due != "" && old.NextDue().Equal(next) && old.Token.ExpiresAt.Equal(c.Token.ExpiresAt) {
		c.Due = old.Due
		return nil
	}
	c.Due = ""
	if next.IsZero() {
		return nil
	}
	due, err := s.schedule(ctx, next, c.Token.ExpiresAt, DueCredential, ref.Flat())
	if err != nil {
		return err
	}
	c.Due = due.key()
	return nil
}

// putNewHints writes the hints that c needs and old had not, and returns those
// that old had and c does not need.
func (s *Store) putNewHints(ctx context.Context, ref tenant.Ref, old, c *Credential) (outdated []string, err error) {
	have, err := s.hints(ctx, ref, old, true)
	if err != nil {
		return nil, err
	}
	want, err := s.hints(ctx, ref, c, true)
	if err != nil {
		return nil, err
	}
	for _, key := range want {
		// The due entry was written when it was planned.
		if !slices.Contains(have, key) && key != c.Due {
			if err := s.putHint(ctx, key); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(have, func(key string) bool { return slices.Contains(want, key) }), nil
}

// hints returns the keys of every index entry that leads to c, which may be
// nil.
func (s *Store) hints(ctx context.Context, ref tenant.Ref, c *Credential, create bool) ([]string, error) {
	if c == nil {
		return nil, nil
	}
	var keys []string
	for _, account := range accountsOf(*c) {
		name, err := s.accountName(ctx, ref.Provider, account, create)
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

func (s *Store) deleteHints(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := s.storage.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
