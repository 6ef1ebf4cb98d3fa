package store

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Suspend has nothing of the tenant be served or connected any more, or lifts
// that. The grants stay, and are kept alive. ErrNotFound is returned if there
// is no such tenant, or if it is being deleted.
//
// Nothing is sealed meanwhile: whoever stores a connection has done so before,
// or is told by [Store.Admit].
func (s *Store) Suspend(ctx context.Context, id tenant.ID, suspended bool) error {
	defer s.tenants.lock(string(id))()
	defer s.records.lock(tenantKey(id))()
	t, err := s.standingTenant(ctx, id)
	if err != nil || suspended == !t.SuspendedAt.IsZero() {
		return err
	}
	event := Event{At: s.now().UTC(), Type: TenantResumed, Ref: string(id)}
	t.SuspendedAt = time.Time{}
	if suspended {
		event.Type, t.SuspendedAt = TenantSuspended, event.At
	}
	if err := s.putTenant(ctx, id, t); err != nil {
		return err
	}
	s.Note(event)
	return nil
}

// Serving returns an error for the caller if nothing of the tenant may be served
// or connected.
func (s *Store) Serving(ctx context.Context, id tenant.ID) error {
	t, err := s.Tenant(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case !t.SuspendedAt.IsZero():
		return oauth.Errorf(oauth.Suspended, "tenant %s is suspended since %s; write tenants/%s suspended=false to lift that", id, t.SuspendedAt.Format(time.RFC3339), id)
	}
	return nil
}
