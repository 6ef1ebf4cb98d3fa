// Package openpgp stands in for OpenPGP, with which Vault encrypts the shares of a key for their holders.
package openpgp

import (
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

var errPGP = without.Error("PGP")

// An Entity is a key.
type Entity struct{ PrimaryKey *packet.PublicKey }

// Serialize returns an error.
func (*Entity) Serialize(io.Writer) error { return errPGP }

// An EntityList is a list of keys.
type EntityList []*Entity

// ReadEntity returns an error. Vault calls it for each of the pgp_keys.
func ReadEntity(*packet.Reader) (*Entity, error) { return nil, errPGP }

// ReadArmoredKeyRing returns an error. The CLI calls it for -pgp-keys, and then lets the server look at the key.
func ReadArmoredKeyRing(io.Reader) (EntityList, error) { return nil, errPGP }

// Encrypt returns an error.
func Encrypt(_ io.Writer, to []*Entity, signer *Entity, hints, config any) (io.WriteCloser, error) {
	return nil, errPGP
}

// MessageDetails is what [ReadMessage] would return.
type MessageDetails struct{ UnverifiedBody io.Reader }

// ReadMessage returns an error.
func ReadMessage(_ io.Reader, keys *EntityList, prompt, config any) (*MessageDetails, error) {
	return nil, errPGP
}
