package store

import (
	"context"
	"errors"
	"fmt"

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
	// record returns the record that names the entry with the ID. Nil: the kind's work
	// deletes its entries itself, whatever the records say.
	record func(s *Store, id string) dueRecord
	// endsWithTenant says that entries whose ID is a tenant's or one of its refs have no
	// use once the tenant's deletion comes to its end.
	endsWithTenant bool
}

// A dueRecord is a record that names its entry in the due index.
type dueRecord struct {
	// key is the record's storage key.
	key string
	// due reads the key of its entry from storage. Nil: there is no such record.
	due func(context.Context) (string, error)
}

var dueKinds = map[string]dueKind{
	DueCredential:   {record: credentialDue, endsWithTenant: true},
	DueSession:      {},
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

func dataDeletionDue(s *Store, id string) dueRecord {
	return dueRecord{dataDeletionKey(id), func(ctx context.Context) (string, error) {
		deletion, err := s.Mount.DataDeletion(ctx, id)
		return deletion.Due, err
	}}
}

func credentialDue(s *Store, id string) dueRecord {
	ref, err := tenant.ParseFlat(id)
	if err != nil {
		return dueRecord{}
	}
	return dueRecord{credentialKey(ref), func(ctx context.Context) (string, error) {
		c, err := s.Credentials.stored(ctx, ref)
		return c.Due, err
	}}
}

// tenantDue is the record of the tenant with that id, which names the entry's key.
func tenantDue(s *Store, id tenant.ID, key func(Tenant) string) dueRecord {
	return dueRecord{tenantKey(id), func(ctx context.Context) (string, error) {
		t, err := s.Tenants.stored(ctx, id)
		if err != nil {
			return "", err
		}
		return key(t), nil
	}}
}

func removalDue(s *Store, id string) dueRecord {
	ref, err := tenant.ParseFlat(id)
	if err != nil {
		return dueRecord{}
	}
	return tenantDue(s, ref.Tenant, func(t Tenant) string { return t.Removals[ref.Provider].Due })
}

func scanDue(kind string) func(*Store, string) dueRecord {
	return func(s *Store, id string) dueRecord {
		return tenantDue(s, tenant.ID(id), func(t Tenant) string { return t.Scans[kind].Due })
	}
}

func keyAgeDue(s *Store, id string) dueRecord {
	return tenantDue(s, tenant.ID(id), func(t Tenant) string { return t.NextRotation.Due })
}

func deletionDue(s *Store, id string) dueRecord {
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
		return false, fmt.Errorf("no record names due entries of kind %q", d.Kind)
	}
	record := kind.record(s, d.ID)
	if record.due == nil {
		return true, s.Due.Delete(ctx, d)
	}
	defer s.records.locks.lock(record.key)()
	key, err := record.due(ctx)
	gone := errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) // what does not open cannot be done
	if err != nil && !gone || d.Key() == key {
		return false, err
	}
	return true, s.Due.Delete(ctx, d)
}
