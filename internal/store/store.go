// Package store keeps the engine's records in Vault's storage. With the small
// packages below it, it is the only room that knows storage keys and the bytes at rest:
//
//	config/<provider>            the client, sealed under the mount keyring
//	keyring/mount                the mount's keyring, a Tink keyset
//	keyring/account              the key of the account index, a Tink keyset
//	keyring/tenant/<tenant>      a tenant's keyring, a Tink keyset
//	tenant/<tenant>              dates, suspended, removals, scans, rotation or
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
//	                             which credentials hold this account
//	status/<status>/<flat ref>   what is not active
//	due/<minute>/<expiry minute>,<kind>,<flat ref or id>
//	                             what must happen, and when: see package due
//	watermark                    the last minute of due/ that was emptied
//	provider/<provider>          why the provider's circuit is open
//	settings                     those of the mount, in the clear
//	event/<slot>                 a page of events, in a ring: see package event
//	deletion/<hash of the code>  version ‖ AEAD under the mount's keyring: what
//	                             became of a person's request to be deleted
//
// A sealed record's associated data is its version and its storage key: moved
// to another key or tenant, it does not open. Keysets lie in the clear under
// Vault's barrier. Those of tenants have a folder of their own, since a tenant
// may be called "mount".
//
// One Put makes a thing true, that of the record. Index entries are written
// before the record that needs them, and stale ones deleted after it, so that a
// crash leaves an entry too many and never one too few. A reader that follows an
// entry reads the record.
//
// The types of this package stand above one another: [Mount], the keyrings,
// [Tenants], [Credentials], [Sessions], [Rotations], [Removals]. Each uses only
// those before it.
//
// Errors of storage are returned as they are: Vault recognizes [ErrReadOnly]
// by identity and forwards the request to the node that may write.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/cache"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
)

var (
	// ErrReadOnly is returned if this node's storage may not be written to.
	ErrReadOnly = logical.ErrReadOnly
	// ErrNotFound is returned if there is no such record.
	ErrNotFound = errors.New("record not found")
	// ErrRemoving is returned if the installation that a ref stands under is
	// being removed, with everything under it.
	ErrRemoving = errors.New("installation is being removed")
	// ErrDeleting is returned if a ref's tenant is being deleted. The error is then
	// of code not_found, for the caller of the API.
	ErrDeleting = errors.New("tenant is being deleted")
	// ErrCorrupt is returned if a record does not open: its bytes were changed
	// or moved, or its tenant's keyring is another than it was.
	ErrCorrupt = errors.New("record does not open")
)

// A Store reads and writes the records of one mount. It is safe for concurrent
// use.
type Store struct {
	// Mount has what belongs to no tenant.
	Mount       *Mount
	Tenants     *Tenants
	Credentials *Credentials
	Sessions    *Sessions
	Rotations   *Rotations
	Removals    *Removals
	// Due is the index of later work, Events what has happened.
	Due    *due.Index
	Events *event.Ring

	records  *records
	keyrings *keyrings
}

// Options are what a Store needs.
type Options struct {
	// Storage need not be ready before the first call.
	Storage logical.Storage
	Now     func() time.Time
	// Writable reports whether this node may write. It is called at every read and
	// must return fast. Nil: it may.
	Writable func() bool
	// Fallbacks are what each provider's configuration falls back on, field by
	// field.
	Fallbacks map[string]Config
	// Wrote is called with events once they are written, and must return fast. Nil:
	// no function is called.
	Wrote func([]event.Event)
}

// New returns a Store.
func New(o Options) *Store {
	if o.Wrote == nil {
		o.Wrote = func([]event.Event) {}
	}
	c := cache.New(o.Now, o.Writable, openedBy)
	storage := c.Storage(o.Storage)
	r := &records{storage: storage, now: o.Now, cache: c}
	r.due = due.New(storage, o.Now, c.Standby)
	r.events = event.New(storage, o.Now, c.Epoch, o.Wrote)

	keys := newKeyrings(r)
	mount := newMount(r, keys, o.Fallbacks)
	tenants := newTenants(r, keys, mount)
	credentials := newCredentials(r, keys, tenants)
	sessions := &Sessions{records: r, keyrings: keys, tenants: tenants}
	return &Store{
		Mount: mount, Tenants: tenants, Credentials: credentials, Sessions: sessions,
		Rotations: &Rotations{records: r, keyrings: keys, tenants: tenants, credentials: credentials},
		Removals:  &Removals{records: r, keyrings: keys, tenants: tenants, credentials: credentials},
		Due:       r.due, Events: r.events, records: r, keyrings: keys,
	}
}

// Invalidate removes from memory what another node has written under key.
func (s *Store) Invalidate(key string) {
	s.records.cache.Remove(key)
	if strings.HasPrefix(key, event.Prefix) {
		s.Events.Invalidate()
	}
	if key == due.WatermarkKey {
		s.Due.Invalidate()
	}
}

// CacheStats returns those of each kind of record in the cache.
func (s *Store) CacheStats() []cache.Stats { return s.records.cache.Stats() }

// WithoutCaching returns a context for work that reads very many credentials once
// each: they are not cached in place of those that are read again and again.
func WithoutCaching(ctx context.Context) context.Context { return cache.Uncached(ctx) }

func corrupt(key string, err error) error {
	return fmt.Errorf("opening %s: %w: %v", key, ErrCorrupt, err) // not %w: a keyring that is not found is no record that is not found
}
