package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// tlsFiles are the flags about TLS.
type tlsFiles struct {
	cert, key  string // PEM files to serve with
	selfSigned string // where to write the certificate that the command makes
}

// config returns nil if no flag about TLS is set.
func (f tlsFiles) config() (*tls.Config, error) {
	switch {
	case f.selfSigned != "" && (f.cert != "" || f.key != ""):
		return nil, errors.New("parsing arguments: -tls-self-signed does not go together with -tls-cert and -tls-key")
	case (f.cert == "") != (f.key == ""):
		return nil, errors.New("parsing arguments: -tls-cert and -tls-key need each other")
	case f.selfSigned != "":
		return selfSigned(f.selfSigned)
	case f.cert == "":
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("loading -tls-cert and -tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, nil
}

// selfSignedHosts include Facebook's own, for clients whose host cannot be configured: their transport connects to the
// simulator, and they still verify the name.
var selfSignedHosts = []string{"localhost", "www.facebook.com", "graph.facebook.com", "facebook.com"}

// selfSigned makes a certificate, writes it to the file, and keeps the key in memory.
func selfSigned(file string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		// unique, because some clients look a root up by its name and may trust several simulators
		Subject:   pkix.Name{CommonName: fmt.Sprintf("facebook-simulator %d", now.UnixNano())},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, // so that all clients accept it as a root
		DNSNames: selfSignedHosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, fmt.Errorf("writing -tls-self-signed: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
