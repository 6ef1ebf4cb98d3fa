package store

import (
	"context"
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// NotActive are the states that the status index knows.
var NotActive = []Status{NeedsReauth, Revoked, Failed}

// InStatus returns the refs that the status index has in that status, whatever
// their tenant, sorted by their bytes. They are hints: the record says.
func (s *Store) InStatus(ctx context.Context, status Status) ([]tenant.Ref, error) {
	hints, err := s.storage.List(ctx, statusPrefix+string(status)+"/")
	if err != nil {
		return nil, err
	}
	refs := make([]tenant.Ref, 0, len(hints))
	for _, hint := range hints {
		if ref, err := tenant.ParseFlat(hint); err == nil {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, compareRefs)
	return refs, nil
}

func compareRefs(a, b tenant.Ref) int { return strings.Compare(a.String(), b.String()) }

// DropStatus deletes the hint that ref's credential has the status, if it has
// not.
func (s *Store) DropStatus(ctx context.Context, ref tenant.Ref, status Status) error {
	return s.dropHint(ctx, ref, statusKey(status, ref))
}
