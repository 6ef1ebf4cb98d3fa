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

// sealing keeps the tenant's keyring as it is until unlock is called, and makes
// one if the tenant has none. Whoever calls putSealed does so in between.
func (s *Store) sealing(ctx context.Context, id tenant.ID) (unlock func(), err error) {
	if err := s.ensureKeyring(ctx, id); err != nil {
		return nil, err
	}
	return s.tenants.rlock(string(id)), nil
}

// putSealed seals record under the tenant's keyring and puts it under key
// after the bytes of head.
func (s *Store) putSealed(ctx context.Context, id tenant.ID, key string, head []byte, record any) error {
	k, err := s.keyring(ctx, id)
	if err != nil {
		return err
	}
	sealed, err := seal(k, key, record)
	if err != nil {
		return err
	}
	return s.put(ctx, key, append(head, sealed...))
}

// openSealed opens what putSealed put under key, without its head.
func (s *Store) openSealed(ctx context.Context, id tenant.ID, key string, b []byte, record any) error {
	k, err := s.keyring(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return corrupt(key, err)
	}
	if err != nil {
		return err
	}
	return open(k, key, b, record)
}

// keyring returns the tenant's keyring, or ErrNotFound.
func (s *Store) keyring(ctx context.Context, id tenant.ID) (*tenant.Keyring, error) {
	if k, ok := s.keyrings.Get(id); ok {
		return k, nil
	}
	b, err := s.get(ctx, tenantKeyringKey(id))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, ErrNotFound
	}
	k, err := tenant.ParseKeyring(b)
	if err != nil {
		return nil, corrupt(tenantKeyringKey(id), err)
	}
	s.keyrings.Add(id, k)
	return k, nil
}

// ensureKeyring makes the tenant's keyring if it has none. The keyring is in
// storage before anything is sealed under it.
func (s *Store) ensureKeyring(ctx context.Context, id tenant.ID) error {
	if _, err := s.keyring(ctx, id); !errors.Is(err, ErrNotFound) {
		return err
	}
	defer s.tenants.lock(string(id))()
	if _, err := s.keyring(ctx, id); !errors.Is(err, ErrNotFound) {
		return err
	}
	k, err := tenant.NewKeyring()
	if err != nil {
		return err
	}
	if err := s.putKeyset(ctx, tenantKeyringKey(id), k.Bytes); err != nil {
		return err
	}
	s.keyrings.Add(id, k)
	return nil
}

func (s *Store) putKeyset(ctx context.Context, key string, keyset func() ([]byte, error)) error {
	b, err := keyset()
	if err != nil {
		return err
	}
	return s.storage.Put(ctx, &logical.StorageEntry{Key: key, Value: b, SealWrap: true})
}

// mountKeyring returns the keyring of what belongs to no tenant. If there is
// none it is made, or, on a read, ErrNotFound is returned.
func (s *Store) mountKeyring(ctx context.Context, create bool) (*tenant.Keyring, error) {
	s.mount.mu.Lock()
	defer s.mount.mu.Unlock()
	if s.mount.keyring == nil {
		k, err := loadKeyset(ctx, s, mountKeyringKey, create, tenant.ParseKeyring, tenant.NewKeyring)
		if err != nil {
			return nil, err
		}
		s.mount.keyring = k
	}
	return s.mount.keyring, nil
}

// accountKey is like mountKeyring, for the key of the account index.
func (s *Store) accountKey(ctx context.Context, create bool) (*tenant.AccountKey, error) {
	s.mount.mu.Lock()
	defer s.mount.mu.Unlock()
	if s.mount.account == nil {
		k, err := loadKeyset(ctx, s, accountKeyKey, create, tenant.ParseAccountKey, tenant.NewAccountKey)
		if err != nil {
			return nil, err
		}
		s.mount.account = k
	}
	return s.mount.account, nil
}

func loadKeyset[K interface{ Bytes() ([]byte, error) }](ctx context.Context, s *Store, key string, create bool, parse func([]byte) (K, error), make func() (K, error)) (k K, err error) {
	b, err := s.get(ctx, key)
	switch {
	case err != nil:
		return k, err
	case b != nil:
		if k, err = parse(b); err != nil {
			return k, corrupt(key, err)
		}
		return k, nil
	case !create:
		return k, ErrNotFound
	}
	if k, err = make(); err != nil {
		return k, err
	}
	return k, s.putKeyset(ctx, key, k.Bytes)
}
