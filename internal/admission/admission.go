// Package admission decides what a caller may do at a tenant or credential as
// things stand: whether it may connect and be served, and with which error it is
// refused. It makes no call to a provider and writes nothing.
package admission

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Connect returns an error for the caller if ref cannot be connected as things
// stand: its tenant is suspended or being deleted, or its installation is being
// removed, or is required and missing.
func Connect(ctx context.Context, s *store.Store, ref tenant.Ref, requireInstallation bool) error {
	if err := s.Tenants.Deleting(ctx, ref.Tenant); err != nil {
		return err
	}
	if err := Serve(ctx, s, ref.Tenant); err != nil {
		return err
	}
	switch _, err := s.Tenants.Removal(ctx, ref); {
	case err == nil:
		return Removing(ref)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if ref.Kind() == tenant.Installation || !requireInstallation {
		return nil
	}
	_, err := s.Credentials.Read(ctx, ref.Installation())
	if errors.Is(err, store.ErrNotFound) {
		return oauth.Errorf(oauth.InstallationRequired, "%s has no installation; an admin installs first, with connect/%s", ref.Tenant, ref.Installation())
	}
	return err
}

// Serve returns an error for the caller if the tenant is suspended: nothing of it is
// served or connected.
func Serve(ctx context.Context, s *store.Store, id tenant.ID) error {
	t, err := s.Tenants.Read(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !t.SuspendedAt.IsZero():
		return oauth.Errorf(oauth.Suspended, "tenant %s is suspended since %s; write tenants/%s suspended=false to lift that", id, t.SuspendedAt.Format(time.RFC3339), id)
	}
	return nil
}

// Credential returns the credential that ref names. Its error for one that is not found,
// or is being removed, is for the caller.
func Credential(ctx context.Context, s *store.Store, ref tenant.Ref) (store.Credential, error) {
	c, err := s.Credentials.Connected(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		err = NoCredential(ref)
	}
	return c, err
}

// TenantNotFound returns the error of an id that names no tenant, or one that is being
// deleted.
func TenantNotFound(ctx context.Context, s *store.Store, id tenant.ID) error {
	if err := s.Tenants.Deleting(ctx, id); err != nil {
		return err
	}
	return NoTenant(id)
}

// NoCredential is the error of a ref that names no credential.
func NoCredential(ref tenant.Ref) error {
	if ref.Kind() == tenant.Static {
		return oauth.Errorf(oauth.NotFound, "there is no credential %s; write it to creds/%s", ref, ref)
	}
	return oauth.Errorf(oauth.NotFound, "there is no credential %s; connect it with connect/%s", ref, ref.Above())
}

// NoTenant is the error of an id that names no tenant.
func NoTenant(id tenant.ID) error {
	return oauth.Errorf(oauth.NotFound, "there is no tenant %s; a tenant exists from its first credential", id)
}

// Removing is the error of a connect under an installation that is being removed.
func Removing(ref tenant.Ref) error {
	return oauth.Errorf(oauth.Pending, "the installation of %s is still being removed; watch connections/%s and try again when it is gone", ref.Tenant, ref.Installation())
}
