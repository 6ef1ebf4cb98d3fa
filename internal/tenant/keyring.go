package tenant

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// A Keyring seals the records of one tenant: a Tink keyset of AES-256-GCM
// keys, the newest of which seals and all of which open. It is safe for
// concurrent use.
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

// Bytes returns the keyset in the clear, as Tink's binary protobuf. It belongs
// behind Vault's barrier and nowhere else.
func (k *Keyring) Bytes() ([]byte, error) { return writeKeyset(k.handle) }

// Seal encrypts plaintext and binds it to place, which must be told again to
// open it (the associated data of RFC 5116).
func (k *Keyring) Seal(plaintext, place []byte) ([]byte, error) {
	return k.aead.Encrypt(plaintext, place)
}

// Open decrypts what Seal returned for the same place. It fails for any other
// place, another tenant's keyring, or a changed byte.
func (k *Keyring) Open(sealed, place []byte) ([]byte, error) {
	return k.aead.Decrypt(sealed, place)
}

// An AccountKey turns a provider's account ids into names that tell nothing
// without the key, so that an account can be looked up in storage but not
// read there: HMAC-SHA256, as a Tink PRF keyset.
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
