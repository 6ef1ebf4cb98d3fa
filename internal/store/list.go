package store

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// List returns the names one level below dir, which is "" or a prefix of refs
// that ends in a slash, sorted by bytes. Names that end in a slash have more
// below them.
func (s *Store) List(ctx context.Context, dir string) ([]string, error) {
	prefix := credentialPrefix + dir
	if dir == "" {
		prefix = tenantPrefix
	}
	names, err := s.storage.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		names = slices.Clone(names)
		for i := range names {
			names[i] = strings.TrimSuffix(names[i], "/") + "/"
		}
	}
	slices.Sort(names)
	return names, nil
}

// Under yields the refs of all that stands under an installation and comes
// after the ref after, as [Store.Refs] does: users before the pages that are
// reached through them.
func (s *Store) Under(ctx context.Context, installation tenant.Ref, after string) iter.Seq2[tenant.Ref, error] {
	dir := string(installation.Tenant) + "/" + installation.Provider + "/"
	return func(yield func(tenant.Ref, error) bool) {
		_ = s.refs(ctx, dir+"pages/", after, yield) && s.refs(ctx, dir+"users/", after, yield)
	}
}

// Bare reports whether nothing stands under an installation. That costs the
// same whatever does.
func (s *Store) Bare(ctx context.Context, installation tenant.Ref) (bool, error) {
	for _, err := range s.Under(ctx, installation, "") {
		return false, err
	}
	return true, nil
}
