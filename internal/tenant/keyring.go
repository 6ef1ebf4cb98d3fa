package tenant

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/core/cryptofmt"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// A Keyring seals the records of one tenant: a Tink keyset of AES-256-GCM keys.
// The newest key seals, and all keys open. It is safe for concurrent use.
type Keyring struct {
	handle *keyset.Handle
	aead   tink.AEAD
}

// NewKeyring returns a Keyring with one new random key.
func NewKeyring() (*Keyring, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a keyset: %w", err)
	}
	return newKeyring(h)
}

// ParseKeyring returns the Keyring that b, from [Keyring.Bytes], holds.
func ParseKeyring(b []byte) (*Keyring, error) {
	h, err := readKeyset(b)
	if err != nil {
		return nil, err
	}
	return newKeyring(h)
}

func newKeyring(h *keyset.Handle) (*Keyring, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("reading a keyset: %w", err)
	}
	return &Keyring{h, a}, nil
}

// Bytes returns the keyset in the clear, as Tink's binary protobuf. It must be
// stored only behind Vault's barrier.
func (k *Keyring) Bytes() ([]byte, error) { return writeKeyset(k.handle) }

// Seal encrypts plaintext and binds it to place, which Open must be called with
// (the associated data of RFC 5116).
func (k *Keyring) Seal(plaintext, place []byte) ([]byte, error) {
	return k.aead.Encrypt(plaintext, place)
}

// Open decrypts what Seal returned for the same place. It fails for any other
// place, another tenant's keyring, or a changed byte.
func (k *Keyring) Open(sealed, place []byte) ([]byte, error) {
	return k.aead.Decrypt(sealed, place)
}

// Primary returns the id of the key that seals, which is random.
func (k *Keyring) Primary() (uint32, error) {
	e, err := k.handle.Primary()
	if err != nil {
		return 0, fmt.Errorf("reading a keyset: %w", err)
	}
	return e.KeyID(), nil
}

// Rotate returns a Keyring that seals with a new random key and also opens the
// records of k.
func (k *Keyring) Rotate() (*Keyring, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return nil, fmt.Errorf("adding a key: %w", err)
	}
	return managed(m)
}

// Purge returns a Keyring with only the key that seals.
func (k *Keyring) Purge() (*Keyring, error) {
	primary, err := k.Primary()
	if err != nil {
		return nil, err
	}
	m := keyset.NewManagerFromHandle(k.handle)
	for i := range k.handle.Len() {
		e, err := k.handle.Entry(i)
		if err == nil && e.KeyID() != primary {
			err = m.Delete(e.KeyID())
		}
		if err != nil {
			return nil, fmt.Errorf("destroying a key: %w", err)
		}
	}
	return managed(m)
}

func managed(m *keyset.Manager) (*Keyring, error) {
	h, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("making a keyset: %w", err)
	}
	return newKeyring(h)
}

// Keys returns the number of keys.
func (k *Keyring) Keys() int { return k.handle.Len() }

// Current reports whether sealed, which Seal returned, was sealed with the
// current key. Tink prefixes the key's id
// (https://developers.google.com/tink/wire-format).
func (k *Keyring) Current(sealed []byte) bool {
	primary, err := k.Primary()
	return err == nil && len(sealed) >= cryptofmt.TinkPrefixSize && sealed[0] == cryptofmt.TinkStartByte &&
		binary.BigEndian.Uint32(sealed[1:cryptofmt.TinkPrefixSize]) == primary
}

// An AccountKey maps a provider's account ids to names that reveal nothing
// without the key, so that storage can be searched for an account, but does not
// show which accounts it has: HMAC-SHA256, as a Tink PRF keyset.
type AccountKey struct {
	handle *keyset.Handle
	set    *prf.Set
}

// NewAccountKey returns a new random AccountKey.
func NewAccountKey() (*AccountKey, error) {
	h, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a keyset: %w", err)
	}
	return newAccountKey(h)
}

// ParseAccountKey returns the AccountKey that b, from [AccountKey.Bytes],
// holds.
func ParseAccountKey(b []byte) (*AccountKey, error) {
	h, err := readKeyset(b)
	if err != nil {
		return nil, err
	}
	return newAccountKey(h)
}

func newAccountKey(h *keyset.Handle) (*AccountKey, error) {
	set, err := prf.NewPRFSet(h)
	if err != nil {
		return nil, fmt.Errorf("reading a keyset: %w", err)
	}
	return &AccountKey{h, set}, nil
}

// Bytes is like [Keyring.Bytes].
func (k *AccountKey) Bytes() ([]byte, error) { return writeKeyset(k.handle) }

// Name returns the hexadecimal name of account at provider.
func (k *AccountKey) Name(provider, account string) (string, error) {
	sum, err := k.set.ComputePrimaryPRF([]byte(provider+"\x00"+account), 32)
	if err != nil {
		return "", fmt.Errorf("naming an account: %w", err)
	}
	return hex.EncodeToString(sum), nil
}

func readKeyset(b []byte) (*keyset.Handle, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("reading a keyset: %w", err)
	}
	return h, nil
}

func writeKeyset(h *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewBinaryWriter(&b)); err != nil {
		return nil, fmt.Errorf("writing a keyset: %w", err)
	}
	return b.Bytes(), nil
}
