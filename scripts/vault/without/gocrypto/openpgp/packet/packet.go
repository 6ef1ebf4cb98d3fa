// Package packet stands in for the packets of OpenPGP.
package packet

import "io"

// A Reader reads packets.
type Reader struct{}

// NewReader returns a Reader.
func NewReader(io.Reader) *Reader { return &Reader{} }

// A PublicKey is a key of OpenPGP.
type PublicKey struct{ Fingerprint []byte }
