package store

import (
	"context"
	"errors"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// PagesDir is the directory, for [Store.List], of the pages under the credential above.
func PagesDir(above tenant.Ref) string {
	above.Page = "x"
	return strings.TrimSuffix(above.String(), "x")
}

// DeletePages deletes the pages under the credential above.
func (s *Store) DeletePages(ctx context.Context, above tenant.Ref) error {
	names, err := s.List(ctx, PagesDir(above))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.DeletePage(ctx, above, name); err != nil {
			return err
		}
	}
	return nil
}

// DeletePage deletes one page under the credential above. A page that is not there is no
// error.
func (s *Store) DeletePage(ctx context.Context, above tenant.Ref, name string) error {
	ref := above
	ref.Page = name
	err := s.DeleteCredential(ctx, ref, func(Credential) error { return nil })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
