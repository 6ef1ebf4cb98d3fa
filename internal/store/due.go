package store

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// The kinds of work in the due index.
const (
	DueCredential   = "credential"    // ID is a flat ref: refresh or check it
	DueSession      = "session"       // ID is a session id: expire it
	DueRemoval      = "removal"       // ID is a flat ref of an installation: remove what is under it
	DueReindex      = "reindex"       // ID is a tenant's: go on with its scan
	DueRecheck      = "recheck"       // likewise
	DueRotation     = "rotation"      // likewise
	DueKeyAge       = "key-age"       // ID is a tenant's: begin a rotation of its key
	DueKeyAges      = "key-ages"      // ID is a tenant's, or empty: plan the rotations of those after it
	DueNewTenant    = "new-tenant"    // ID is a tenant's: delete its keyring if it has nothing else
	DueIndexEntry   = "index-entry"   // ID is a flat ref: delete its stale index entries
	DueDeletion     = "deletion"      // ID is a tenant's: remove all that it has, and the tenant itself
	DueRedaction    = "forgetting"    // ID is a tenant's or a flat ref: redact its events
	DueDataDeletion = "data-deletion" // ID is a data deletion's: carry it out, or delete it
)

// A dueKind is how the store handles entries of one kind.
type dueKind struct {
	// record returns the record that names its entry: its lock's key, and what reads the
	// entry's key from storage. Nil: the kind's work deletes its entries itself, whatever
	// the records say.
	record func(s *Store, id string) (lock string, current func(context.Context) (string, error))
	// endsWithTenant says that entries whose ID is a tenant's or one of its refs have no
	// use once the tenant's deletion comes to its end.
	endsWithTenant bool
}

var dueKinds = map[string]dueKind{
	DueCredential:   {record: credentialDue, endsWithTenant: true},
	DueSession:      {record: sessionDue},
	DueRemoval:      {record: removalDue, endsWithTenant: true},
	DueReindex:      {record: scanDue(DueReindex), endsWithTenant: true},
	DueRecheck:      {record: scanDue(DueRecheck), endsWithTenant: true},
	DueRotation:     {record: scanDue(DueRotation), endsWithTenant: true},
	DueKeyAge:       {record: keyAgeDue, endsWithTenant: true},
	DueKeyAges:      {},
	DueNewTenant:    {},
	DueIndexEntry:   {endsWithTenant: true},
	DueDeletion:     {record: deletionDue},
	DueRedaction:    {},
	DueDataDeletion: {record: dataDeletionDue},
}

func sessionDue(s *Store, id string) (string, func(context.Context) (string, error)) {
	return sessionKey(id), func(ctx context.Context) (string, error) {
		session, err := s.Sessions.Read(ctx, id)
		return session.Due, err
	}
}

func dataDeletionDue(s *Store, id string) (string, func(context.Context) (string, error)) {
	return dataDeletionKey(id), func(ctx context.Context) (string, error) {
		deletion, err := s.Mount.DataDeletion(ctx, id)
		return deletion.Due, err
	}
}

func credentialDue(s *Store, id string) (string, func(context.Context) (string, error)) {
	ref, err := tenant.ParseFlat(id)
	if err != nil {
		return id, func(context.Context) (string, error) { return "", nil }
	}
	return credentialKey(ref), func(ctx context.Context) (string, error) {
		c, err := s.Credentials.stored(ctx, ref)
		return c.Due, err
	}
}

// tenantDue is the record of the tenant with that id, which names the entry's key.
func tenantDue(s *Store, id tenant.ID, key func(Tenant) string) (string, func(context.Context) (string, error)) {
	return tenantKey(id), func(ctx context.Context) (string, error) {
		t, err := s.Tenants.stored(ctx, id)
		if err != nil {
			return "", err
		}
		return key(t), nil
	}
}

func removalDue(s *Store, id string) (string, func(context.Context) (string, error)) {
	ref, err := tenant.ParseFlat(id)
	if err != nil {
		return id, func(context.Context) (string, error) { return "", nil }
	}
	return tenantDue(s, ref.Tenant, func(t Tenant) string { return t.Removals[ref.Provider].Due })
}

func scanDue(kind string) func(*Store, string) (string, func(context.Context) (string, error)) {
	return func(s *Store, id string) (string, func(context.Context) (string, error)) {
		return tenantDue(s, tenant.ID(id), func(t Tenant) string { return t.Scans[kind].Due })
	}
}

func keyAgeDue(s *Store, id string) (string, func(context.Context) (string, error)) {
	return tenantDue(s, tenant.ID(id), func(t Tenant) string { return t.NextRotation.Due })
}

func deletionDue(s *Store, id string) (string, func(context.Context) (string, error)) {
	return tenantDue(s, tenant.ID(id), func(t Tenant) string {
		if t.Deletion == nil {
			return ""
		}
		return t.Deletion.Due
	})
}

// DeleteIfStale deletes the due entry d if the record that it leads to is gone, does
// not open or names another entry, and reports whether it did.
func (s *Store) DeleteIfStale(ctx context.Context, d due.Entry) (bool, error) {
	kind := dueKinds[d.Kind]
	if kind.record == nil {
		return false, nil
	}
	lock, current := kind.record(s, d.ID)
	defer s.records.locks.lock(lock)()
	key, err := current(ctx)
	gone := errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) // what does not open cannot be done
	if err != nil && !gone || d.Key() == key {
		return false, err
	}
	return true, s.Due.Delete(ctx, d)
}
