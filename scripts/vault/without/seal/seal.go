// Package seal has the wrapper that stands in for those of the cloud KMS seals.
package seal

import (
	"context"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// A Wrapper returns [without.Error] from all that encrypts, decrypts or configures.
type Wrapper struct{ kind wrapping.WrapperType }

var _ wrapping.Wrapper = (*Wrapper)(nil)

// Refuse returns the wrapper for a kind of seal.
func Refuse(kind wrapping.WrapperType) *Wrapper { return &Wrapper{kind} }

func (w *Wrapper) err() error { return without.Error("seal " + w.kind.String()) }

// Type implements [wrapping.Wrapper].
func (w *Wrapper) Type(context.Context) (wrapping.WrapperType, error) { return w.kind, nil }

// KeyId implements [wrapping.Wrapper].
func (w *Wrapper) KeyId(context.Context) (string, error) { return "", w.err() }

// SetConfig implements [wrapping.Wrapper]. Vault calls it first: its error ends the server before it starts.
func (w *Wrapper) SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error) {
	return nil, w.err()
}

// Encrypt implements [wrapping.Wrapper].
func (w *Wrapper) Encrypt(context.Context, []byte, ...wrapping.Option) (*wrapping.BlobInfo, error) {
	return nil, w.err()
}

// Decrypt implements [wrapping.Wrapper].
func (w *Wrapper) Decrypt(context.Context, *wrapping.BlobInfo, ...wrapping.Option) ([]byte, error) {
	return nil, w.err()
}
