package store

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// List returns the names one level below dir, a prefix of refs that ends in a slash,
// sorted by bytes. Names that end in a slash have more below them. [Tenants.List] is for
// the level above.
func (s *Credentials) List(ctx context.Context, dir string) ([]string, error) {
	names, err := s.storage.List(ctx, credentialPrefix+dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// Refs yields the refs of the tenant's records that come after the ref after,
// "" being before the first. They come in the order of their bytes, which is
// the same at each call, so that a scan can stop at any of them and go on
// there. Where a directory cannot be listed it yields that error and ends.
func (s *Credentials) Refs(ctx context.Context, id tenant.ID, after string) iter.Seq2[tenant.Ref, error] {
	return func(yield func(tenant.Ref, error) bool) {
		s.refs(ctx, string(id)+"/", after, yield)
	}
}

// Under yields the refs of all credentials under an installation that come after the ref
// after, as [Credentials.Refs] does: users before the pages that are reached through
// them.
func (s *Credentials) Under(ctx context.Context, installation tenant.Ref, after string) iter.Seq2[tenant.Ref, error] {
	dir := string(installation.Tenant) + "/" + installation.Provider + "/"
	return func(yield func(tenant.Ref, error) bool) {
		_ = s.refs(ctx, dir+"pages/", after, yield) && s.refs(ctx, dir+"users/", after, yield)
	}
}

// Bare reports whether there is no credential under an installation. That costs the
// same however many there are.
func (s *Credentials) Bare(ctx context.Context, installation tenant.Ref) (bool, error) {
	for _, err := range s.Under(ctx, installation, "") {
		return false, err
	}
	return true, nil
}

// refs yields what is below dir and reports whether more is wanted. Listed
// names end in a slash where they have more below them; sorted with it, what
// is below one name stands together, in the order of whole refs. To list a
// directory with more below costs a look at all of that, which a scan goes
// through anyway.
func (s *Credentials) refs(ctx context.Context, dir, after string, yield func(tenant.Ref, error) bool) bool {
	names, err := s.List(ctx, dir)
	if err != nil {
		yield(tenant.Ref{}, err)
		return false
	}
	for _, name := range names {
		path := dir + name
		switch below := strings.HasSuffix(path, "/"); {
		case path <= after && !(below && strings.HasPrefix(after, path)):
			continue
		case below:
			if !s.refs(ctx, path, after, yield) {
				return false
			}
			continue
		}
		ref, err := tenant.ParseRef(path)
		if err != nil {
			continue // no credential of this engine: there is no work at it
		}
		if !yield(ref, nil) {
			return false
		}
	}
	return true
}
