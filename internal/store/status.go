package store

import (
	"context"
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// NotActive are the states that the status index has entries for.
var NotActive = []Status{NeedsReauth, Revoked, Failed}

// InStatus returns the refs that the status index has in that status, whatever
// their tenant, sorted by their bytes. An entry may be stale: the record says.
func (s *Credentials) InStatus(ctx context.Context, status Status) ([]tenant.Ref, error) {
	entries, err := s.storage.List(ctx, statusPrefix+string(status)+"/")
	if err != nil {
		return nil, err
	}
	refs := make([]tenant.Ref, 0, len(entries))
	for _, entry := range entries {
		if ref, err := tenant.ParseFlat(entry); err == nil {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, compareRefs)
	return refs, nil
}

func compareRefs(a, b tenant.Ref) int { return strings.Compare(a.String(), b.String()) }

// DeleteStaleStatus deletes the index entry that ref's credential has the status, if it
// has not.
func (s *Credentials) DeleteStaleStatus(ctx context.Context, ref tenant.Ref, status Status) error {
	return s.deleteUnlessNeeded(ctx, ref, statusKey(status, ref))
}

// correctStatus deletes ref's entries in the status index, except that of status.
func (s *Credentials) correctStatus(ctx context.Context, ref tenant.Ref, status Status) error {
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
