// Package store keeps the engine's records in Vault's storage. It is the only
// room that knows storage keys and the bytes at rest:
//
//	config/<provider>            the client, sealed under the mount keyring
//	keyring/mount                the mount's keyring, a Tink keyset
//	keyring/account              the key of the account index, a Tink keyset
//	keyring/tenant/<tenant>      a tenant's keyring, a Tink keyset
//	tenant/<tenant>              dates, suspended, removals, walks, rotation or
//	                             deletion in progress; lists are made from it
//	new-tenant/<tenant>          until when the sessions of a tenant that has no
//	                             record may need its keyring
//	cred/<ref>                   version ‖ AEAD under the tenant's keyring
//	session/<session id>         version ‖ tenant in the clear ‖ AEAD likewise
//	open/<HMAC of ref and actor>/<begun>,<expiry>,<session id>
//	                             which sessions are open for an actor and ref
//	code/<HMAC of the code>      version ‖ id of the session that owns the code
//	session-code/<session id>/<HMAC of the code>
//	                             which codes a session owns
//	account/<provider>/<HMAC of the account>/<flat ref>
//	                             who holds this account
//	status/<status>/<flat ref>   what is not active
//	due/<minute>/<expiry minute>,<kind>,<flat ref or id>
//	                             what must happen, and when
//	watermark                    the last minute of due/ that was emptied
//	provider/<provider>          why the provider is left alone
//	settings                     those of the mount, in the clear
//	event/<slot>                 a page of events, in a ring
//	deletion/<hash of the code>  version ‖ AEAD under the mount's keyring: what
//	                             became of a person's request to be deleted
//
// A sealed record's associated data is its version and its storage key: moved
// to another key or tenant, it does not open. Keysets lie in the clear under
// Vault's barrier. Those of tenants have a folder of their own, since a tenant
// may be called "mount".
//
// One Put makes a thing true, that of the record. An index entry is a hint: it
// is written before the record that it tells of, and the outdated one deleted
// after it, so that a crash leaves a hint too many and never one too few.
// Whoever follows a hint reads the record.
//
// Errors of storage are returned as they are: Vault recognizes [ErrReadOnly]
// by identity and forwards the request to the node that may write.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var (
	// ErrReadOnly is returned if this node's storage may not be written to.
	ErrReadOnly = logical.ErrReadOnly
	// ErrNotFound is returned if there is no such record.
	ErrNotFound = errors.New("record not found")
	// ErrRemoving is returned if the installation that a ref stands under is
	// being removed, and all under it along.
	ErrRemoving = errors.New("installation is being removed")
	// ErrDeleting is returned if a ref's tenant is being deleted. The error is then
	// of code not_found, for whoever asked.
	ErrDeleting = errors.New("tenant is being deleted")
	// ErrCorrupt is returned if a record does not open: its bytes were changed
	// or moved, or its tenant's keyring is another than it was.
	ErrCorrupt = errors.New("record does not open")
)

// A Store reads and writes the records of one mount. Its locks live in memory:
// Vault lets one node write. It is safe for concurrent use.
type Store struct {
	storage   watched
	now       func() time.Time
	fallbacks map[string]Config
	wrote     func([]Event)

	records  keyedLocks // by storage key: around read, compare and put
	tenants  keyedLocks // by tenant: sealing and putting share it; what must not fall between is done under it alone
	accounts keyedLocks // by account name: around "who else holds it" and what follows from that

	memory        *memory
	credentials   *kind[Credential]
	tenantRecords *kind[Tenant]
	configs       *kind[Config]
	settings      *kind[Settings]
	keyrings      *kind[*tenant.Keyring]
	accountKeys   *kind[*tenant.AccountKey]

	// lives counts how often each tenant's end has begun in this process. What
	// was begun in one life is not stored in the next.
	lives lives

	mounts sync.Mutex // while a keyset that belongs to no tenant is made
	due    dueIndex
	events eventLog
}

// Options are what a Store needs.
type Options struct {
	// Storage need not be ready before the first call.
	Storage logical.Storage
	Now     func() time.Time
	// Writable reports whether this node may write. It is asked at every read and
	// must not take long. Nil: it may.
	Writable func() bool
	// Fallbacks are what each provider's configuration falls back on, field by
	// field.
	Fallbacks map[string]Config
	// Wrote is told of events once they are written, and must not take long. Nil:
	// nobody is.
	Wrote func([]Event)
}

// New returns a Store.
func New(o Options) *Store {
	if o.Wrote == nil {
		o.Wrote = func([]Event) {}
	}
	m := newMemory(o.Now, o.Writable)
	s := &Store{
		storage: watched{o.Storage, m}, now: o.Now, fallbacks: o.Fallbacks, wrote: o.Wrote,
		memory:        m,
		credentials:   newKind[Credential](m, "credential", credentialsKept),
		tenantRecords: newKind[Tenant](m, "tenant", tenantsKept),
		configs:       newKind[Config](m, "config", configsKept),
		settings:      newKind[Settings](m, "settings", 1),
		keyrings:      newKind[*tenant.Keyring](m, "keyring", keyringsKept),
		accountKeys:   newKind[*tenant.AccountKey](m, "account_key", 1),
	}
	s.credentials.many = true
	return s
}

// Invalidate forgets what is remembered of the record under key, which another
// node has written.
func (s *Store) Invalidate(key string) {
	s.memory.forget(key)
	if strings.HasPrefix(key, eventPrefix) {
		s.events.mu.Lock()
		s.events.loaded = false
		s.events.mu.Unlock()
	}
	if key == watermarkKey {
		s.due.mu.Lock()
		s.due.loaded = false
		s.due.mu.Unlock()
	}
}

// get returns the bytes under key, or nil.
func (s *Store) get(ctx context.Context, key string) ([]byte, error) {
	e, err := s.storage.Get(ctx, key)
	if e == nil || err != nil {
		return nil, err
	}
	return e.Value, nil
}

func (s *Store) put(ctx context.Context, key string, value []byte) error {
	return s.storage.Put(ctx, &logical.StorageEntry{Key: key, Value: value})
}

// putHint writes an index entry. What it says is in its key; some storage
// backends refuse an empty value.
func (s *Store) putHint(ctx context.Context, key string) error {
	return s.put(ctx, key, []byte{formatVersion})
}

func corrupt(key string, err error) error {
	return fmt.Errorf("opening %s: %w: %v", key, ErrCorrupt, err) // not %w: a keyring that is not found is no record that is not found
}
