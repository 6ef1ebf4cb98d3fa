package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/cache"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// formatVersion is the first byte of every sealed record.
const formatVersion = 1

var errVersion = errors.New("unknown format version")

// place is the associated data that binds a record to its storage key.
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

// openedBy returns the prefix of the records that are opened with the keyring under
// key.
func openedBy(key string) (prefix string, ok bool) {
	if id, ok := strings.CutPrefix(key, tenantKeyringPrefix); ok {
		return credentialPrefix + id + "/", true
	}
	return configPrefix, key == mountKeyringKey
}

// keyrings has the keys that records are sealed under: one keyring a tenant, one for
// what belongs to no tenant, and the key of the account index.
type keyrings struct {
	*records
	cached      *cache.Records[*tenant.Keyring]
	accountKeys *cache.Records[*tenant.AccountKey]
	creating    sync.Mutex // while a keyset that belongs to no tenant is created
}

func newKeyrings(r *records) *keyrings {
	return &keyrings{
		records:     r,
		cached:      cache.NewRecords[*tenant.Keyring](r.storage, "keyring", keyringsCached, false),
		accountKeys: cache.NewRecords[*tenant.AccountKey](r.storage, "account_key", 1, false),
	}
}

// sealed returns record, sealed under the tenant's keyring, after the bytes of
// head.
func (k *keyrings) sealed(ctx context.Context, id tenant.ID, key string, head []byte, record any) ([]byte, error) {
	keyring, err := k.of(ctx, id)
	if err != nil {
		return nil, err
	}
	b, err := seal(keyring, key, record)
	return append(head, b...), err
}

// open opens what was sealed for key, without its head.
func (k *keyrings) open(ctx context.Context, id tenant.ID, key string, b []byte, record any) error {
	keyring, err := k.of(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return corrupt(key, err)
	}
	if err != nil {
		return err
	}
	err = open(keyring, key, b, record)
	if !errors.Is(err, ErrCorrupt) || !k.cache.Standby() {
		return err
	}
	// The node that may write may have created another key, and this one has not yet
	// been sent its storage key.
	if keyring, err := k.stored(ctx, id); err == nil {
		return open(keyring, key, b, record)
	}
	return err
}

// of returns the tenant's keyring, or ErrNotFound.
func (k *keyrings) of(ctx context.Context, id tenant.ID) (*tenant.Keyring, error) {
	return keyset(ctx, k.cached, tenantKeyringKey(id), tenant.ParseKeyring)
}

// stored is of for a read that decides a write.
func (k *keyrings) stored(ctx context.Context, id tenant.ID) (*tenant.Keyring, error) {
	key := tenantKeyringKey(id)
	return k.cached.Load(ctx, key, keysetOpener(key, tenant.ParseKeyring))
}

// existing is stored for a tenant that must have a keyring.
func (k *keyrings) existing(ctx context.Context, id tenant.ID) (*tenant.Keyring, error) {
	keyring, err := k.stored(ctx, id)
	if errors.Is(err, ErrNotFound) {
		err = corrupt(tenantKeyringKey(id), err)
	}
	return keyring, err
}

// save puts the tenant's keyring. It is called with the tenant locked.
func (k *keyrings) save(ctx context.Context, id tenant.ID, keyring *tenant.Keyring) error {
	b, err := keyring.Bytes()
	if err != nil {
		return err
	}
	return k.cached.Save(ctx, &logical.StorageEntry{Key: tenantKeyringKey(id), Value: b, SealWrap: true}, tenant.ParseKeyring)
}

// ensure creates the tenant's keyring if it has none. The keyring is in storage
// before anything is sealed under it. It is called while sealing, for what is new:
// no other work may bring a purged keyring back.
func (k *keyrings) ensure(ctx context.Context, id tenant.ID) error {
	key := tenantKeyringKey(id)
	if _, err := k.of(ctx, id); !errors.Is(err, ErrNotFound) {
		return err
	}
	defer k.locks.lock(key)()
	_, err := ensureKeyset(ctx, k.cached, key, tenant.ParseKeyring, tenant.NewKeyring)
	return err
}

// purge deletes the tenant's keyring, if it is there: no record of the tenant opens
// any more. It is called with the tenant locked.
func (k *keyrings) purge(ctx context.Context, id tenant.ID) error {
	key := tenantKeyringKey(id)
	b, err := k.get(ctx, key)
	if err == nil && b != nil {
		err = k.storage.Delete(ctx, key)
	}
	return err
}

// mount returns the keyring of what belongs to no tenant. If there is none it is
// created or, on a read, ErrNotFound is returned.
func (k *keyrings) mount(ctx context.Context, create bool) (*tenant.Keyring, error) {
	if keyring, err := keyset(ctx, k.cached, mountKeyringKey, tenant.ParseKeyring); !create || !errors.Is(err, ErrNotFound) {
		return keyring, err
	}
	k.creating.Lock()
	defer k.creating.Unlock()
	return ensureKeyset(ctx, k.cached, mountKeyringKey, tenant.ParseKeyring, tenant.NewKeyring)
}

// openMount opens what was sealed for key under the mount's keyring.
func (k *keyrings) openMount(ctx context.Context, key string, b []byte, record any) error {
	keyring, err := k.mount(ctx, false)
	if errors.Is(err, ErrNotFound) {
		return corrupt(key, err)
	}
	if err != nil {
		return err
	}
	return open(keyring, key, b, record)
}

// sealedMount returns record, sealed for key under the mount's keyring.
func (k *keyrings) sealedMount(ctx context.Context, key string, record any) ([]byte, error) {
	keyring, err := k.mount(ctx, true)
	if err != nil {
		return nil, err
	}
	return seal(keyring, key, record)
}

// accountName returns the name of the provider's account in the account index: its
// HMAC. If there is no key for it, it is created or, on a read, ErrNotFound is
// returned.
func (k *keyrings) accountName(ctx context.Context, provider, account string, create bool) (string, error) {
	key, err := k.accountKey(ctx, create)
	if err != nil {
		return "", err
	}
	return key.Name(provider, account)
}

func (k *keyrings) accountKey(ctx context.Context, create bool) (*tenant.AccountKey, error) {
	if key, err := keyset(ctx, k.accountKeys, accountKeyKey, tenant.ParseAccountKey); !create || !errors.Is(err, ErrNotFound) {
		return key, err
	}
	k.creating.Lock()
	defer k.creating.Unlock()
	return ensureKeyset(ctx, k.accountKeys, accountKeyKey, tenant.ParseAccountKey, tenant.NewAccountKey)
}

// keyset returns the keyset under key, or ErrNotFound.
func keyset[K any](ctx context.Context, cached *cache.Records[K], key string, parse func([]byte) (K, error)) (K, error) {
	if k, ok := cached.Cached(key); ok {
		return k, nil
	}
	return cached.Load(ctx, key, keysetOpener(key, parse))
}

func keysetOpener[K any](key string, parse func([]byte) (K, error)) func([]byte) (K, error) {
	return func(b []byte) (k K, err error) {
		if b == nil {
			return k, ErrNotFound
		}
		if k, err = parse(b); err != nil {
			err = corrupt(key, err)
		}
		return k, err
	}
}

// ensureKeyset is keyset, and creates the keyset if there is none. It is called under
// the lock that creating it takes.
func ensureKeyset[K interface{ Bytes() ([]byte, error) }](ctx context.Context, cached *cache.Records[K], key string, parse func([]byte) (K, error), create func() (K, error)) (k K, err error) {
	if k, err = keyset(ctx, cached, key, parse); !errors.Is(err, ErrNotFound) {
		return k, err
	}
	if k, err = create(); err != nil {
		return k, err
	}
	b, err := k.Bytes()
	if err != nil {
		return k, err
	}
	return k, cached.Save(ctx, &logical.StorageEntry{Key: key, Value: b, SealWrap: true}, parse)
}
