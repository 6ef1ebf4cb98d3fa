// Package crypto stands in for OpenPGP, with which Vault verifies the signatures of plugins that HashiCorp publishes as archives.
package crypto

import "github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"

var errPGP = without.Error("the signature of a plugin's archive")

// Armor is an encoding.
const Armor = int8(1)

// A Key is a key of OpenPGP.
type Key struct{}

// NewKeyFromArmored returns an error. Vault calls it before it verifies.
func NewKeyFromArmored(string) (*Key, error) { return nil, errPGP }

// ToPublic returns an error.
func (*Key) ToPublic() (*Key, error) { return nil, errPGP }

// Armor returns an error.
func (*Key) Armor() (string, error) { return "", errPGP }

// Handle is OpenPGP.
type Handle struct{}

// PGP returns OpenPGP.
func PGP() *Handle { return &Handle{} }

// Verify returns a builder.
func (*Handle) Verify() *VerifyBuilder { return &VerifyBuilder{} }

// VerifyBuilder makes a PGPVerify.
type VerifyBuilder struct{}

// VerificationKey returns the builder.
func (b *VerifyBuilder) VerificationKey(*Key) *VerifyBuilder { return b }

// New returns an error.
func (*VerifyBuilder) New() (PGPVerify, error) { return nil, errPGP }

// PGPVerify verifies signatures.
type PGPVerify interface {
	VerifyDetached(data, signature []byte, encoding int8) (*VerifyResult, error)
}

// VerifyResult is what PGPVerify would return.
type VerifyResult struct{}

// SignatureError returns an error.
func (*VerifyResult) SignatureError() error { return errPGP }

// Sign returns a builder. Only Vault's own tests use it.
func (*Handle) Sign() *SignBuilder { return &SignBuilder{} }

// SignBuilder makes a Signer.
type SignBuilder struct{}

// SigningKey returns the builder.
func (b *SignBuilder) SigningKey(*Key) *SignBuilder { return b }

// Detached returns the builder.
func (b *SignBuilder) Detached() *SignBuilder { return b }

// New returns an error.
func (*SignBuilder) New() (*Signer, error) { return nil, errPGP }

// Signer signs nothing.
type Signer struct{}

// Sign returns an error.
func (*Signer) Sign([]byte, int8) ([]byte, error) { return nil, errPGP }

// ClearPrivateParams does nothing.
func (*Signer) ClearPrivateParams() {}

// KeyGeneration returns a builder. Only Vault's own tests use it.
func (*Handle) KeyGeneration() *KeyBuilder { return &KeyBuilder{} }

// KeyBuilder makes keys.
type KeyBuilder struct{}

// AddUserId returns the builder.
func (b *KeyBuilder) AddUserId(name, email string) *KeyBuilder { return b }

// New returns the builder.
func (b *KeyBuilder) New() *KeyBuilder { return b }

// GenerateKey returns an error.
func (*KeyBuilder) GenerateKey() (*Key, error) { return nil, errPGP }
