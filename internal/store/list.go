package store

import (
	"context"
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

// Under returns the refs of all that stands under an installation, pages
// before the users that they are reached through.
func (s *Store) Under(ctx context.Context, installation tenant.Ref) ([]tenant.Ref, error) {
	dir := string(installation.Tenant) + "/" + installation.Provider + "/"
	users, err := s.List(ctx, dir+"users/")
	if err != nil {
		return nil, err
	}
	dirs := []string{dir + "pages/"}
	var refs []tenant.Ref
	for _, user := range users {
		if name, ok := strings.CutSuffix(user, "/"); ok {
			dirs = append(dirs, dir+"users/"+name+"/pages/")
			continue
		}
		refs = append(refs, tenant.Ref{Tenant: installation.Tenant, Provider: installation.Provider, User: user})
	}
	var pages []tenant.Ref
	for _, dir := range dirs {
		names, err := s.List(ctx, dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			ref, err := tenant.ParseRef(dir + name)
			if err != nil {
				return nil, corrupt(credentialPrefix+dir+name, err)
			}
			pages = append(pages, ref)
		}
	}
	return append(pages, refs...), nil
}
