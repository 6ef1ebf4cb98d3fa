package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// formatVersion is the first byte of every sealed record.
const formatVersion = 1

var errVersion = errors.New("unknown format version")

// place is the associated data that binds a record to where it lies.
func place(key string) []byte { return append([]byte{formatVersion}, key...) }

// seal returns version ‖ AEAD(record as JSON).
func seal(k *tenant.Keyring, key string, record any) ([]byte, error) {
	plain, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	sealed, err := k.Seal(plain, place(key))
	if err != nil {
		return nil, err
	}
	return append([]byte{formatVersion}, sealed...), nil
}

// open is the inverse of seal. Its error wraps [ErrCorrupt].
func open(k *tenant.Keyring, key string, b []byte, record any) error {
	if len(b) == 0 || b[0] != formatVersion {
		return corrupt(key, errVersion)
	}
	plain, err := k.Open(b[1:], place(key))
	if err != nil {
		return corrupt(key, err)
	}
	if err := json.Unmarshal(plain, record); err != nil {
		return corrupt(key, err)
	}
	return nil
}

// sealing keeps the tenant's keyring as it is until unlock is called. What was
// sealed is put in between. Of a tenant that is being deleted nothing is sealed
// any more: the error wraps [ErrDeleting].
func (s *Store) sealing(ctx context.Context, id tenant.ID) (unlock func(), err error) {
	unlock = s.tenants.rlock(string(id))
	if err := s.deleting(ctx, s.storedTenant, id); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// sealed returns record, sealed under the tenant's keyring, after the bytes of
// head.
func (s *Store) sealed(ctx context.Context, id tenant.ID, key string, head []byte, record any) ([]byte, error) {
	k, err := s.keyring(ctx, id)
	if err != nil {
		return nil, err
	}
	b, err := seal(k, key, record)
	return append(head, b...), err
}

// openSealed opens what was sealed for key, without its head.
func (s *Store) openSealed(ctx context.Context, id tenant.ID, key string, b []byte, record any) error {
	k, err := s.keyring(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return corrupt(key, err)
	}
	if err != nil {
		return err
	}
	err = open(k, key, b, record)
	if !errors.Is(err, ErrCorrupt) || !s.memory.isStandby() {
		return err
	}
	// The node that may write may have made another key, and this one not have
	// heard of it yet.
	if k, err := s.storedKeyring(ctx, id); err == nil {
		return open(k, key, b, record)
	}
	return err
}

// keyring returns the tenant's keyring, or ErrNotFound.
func (s *Store) keyring(ctx context.Context, id tenant.ID) (*tenant.Keyring, error) {
	return keyset(ctx, s, s.keyrings, tenantKeyringKey(id), tenant.ParseKeyring)
}

// storedKeyring is keyring for who decides a write by it.
func (s *Store) storedKeyring(ctx context.Context, id tenant.ID) (*tenant.Keyring, error) {
	key := tenantKeyringKey(id)
	return load(ctx, s, s.keyrings, key, keysetOpener(key, tenant.ParseKeyring))
}

// saveKeyring puts the tenant's keyring. It is called with the tenant locked.
func (s *Store) saveKeyring(ctx context.Context, id tenant.ID, k *tenant.Keyring) error {
	b, err := k.Bytes()
	if err != nil {
		return err
	}
	return save(ctx, s, s.keyrings, &logical.StorageEntry{Key: tenantKeyringKey(id), Value: b, SealWrap: true}, tenant.ParseKeyring)
}

// ensureKeyring makes the tenant's keyring if it has none. The keyring is in
// storage before anything is sealed under it. It is called while sealing, for
// what is new: nothing else may bring a keyring back that was destroyed.
func (s *Store) ensureKeyring(ctx context.Context, id tenant.ID) error {
	key := tenantKeyringKey(id)
	if _, err := s.keyring(ctx, id); !errors.Is(err, ErrNotFound) {
		return err
	}
	defer s.records.lock(key)()
	_, err := ensureKeyset(ctx, s, s.keyrings, key, tenant.ParseKeyring, tenant.NewKeyring)
	return err
}

// mountKeyring returns the keyring of what belongs to no tenant. If there is
// none it is made, or, on a read, ErrNotFound is returned.
func (s *Store) mountKeyring(ctx context.Context, create bool) (*tenant.Keyring, error) {
	if k, err := keyset(ctx, s, s.keyrings, mountKeyringKey, tenant.ParseKeyring); !create || !errors.Is(err, ErrNotFound) {
		return k, err
	}
	s.mounts.Lock()
	defer s.mounts.Unlock()
	return ensureKeyset(ctx, s, s.keyrings, mountKeyringKey, tenant.ParseKeyring, tenant.NewKeyring)
}

// accountKey is like mountKeyring, for the key of the account index.
func (s *Store) accountKey(ctx context.Context, create bool) (*tenant.AccountKey, error) {
	if k, err := keyset(ctx, s, s.accountKeys, accountKeyKey, tenant.ParseAccountKey); !create || !errors.Is(err, ErrNotFound) {
		return k, err
	}
	s.mounts.Lock()
	defer s.mounts.Unlock()
	return ensureKeyset(ctx, s, s.accountKeys, accountKeyKey, tenant.ParseAccountKey, tenant.NewAccountKey)
}

// keyset returns the keyset under key, or ErrNotFound.
func keyset[K any](ctx context.Context, s *Store, kept *kind[K], key string, parse func([]byte) (K, error)) (K, error) {
	if k, ok := kept.recall(key); ok {
		return k, nil
	}
	return load(ctx, s, kept, key, keysetOpener(key, parse))
}

func keysetOpener[K any](key string, parse func([]byte) (K, error)) func([]byte) (K, error) {
	return func(b []byte) (K, error) {
		k, err := parse(b)
		if err != nil {
			err = corrupt(key, err)
		}
		return k, err
	}
}

// ensureKeyset is keyset for who holds the lock under which it is made if there
// is none.
func ensureKeyset[K interface{ Bytes() ([]byte, error) }](ctx context.Context, s *Store, kept *kind[K], key string, parse func([]byte) (K, error), make func() (K, error)) (k K, err error) {
	if k, err = keyset(ctx, s, kept, key, parse); !errors.Is(err, ErrNotFound) {
		return k, err
	}
	if k, err = make(); err != nil {
		return k, err
	}
	b, err := k.Bytes()
	if err != nil {
		return k, err
	}
	return k, save(ctx, s, kept, &logical.StorageEntry{Key: key, Value: b, SealWrap: true}, parse)
}
