package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// getTLS opens an address of the simulator at base, whatever its host, and trusts the certificate in a file.
func getTLS(t *testing.T, base, address, certificate string) string {
	t.Helper()
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate: %s", text)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(base, "https://"))
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestSelfSignedCertificateCoversFacebooksHosts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "certificate.pem")
	base := start(t, "-tls-self-signed", file, "-issuer", "https://localhost")
	for _, host := range []string{base, "https://www.facebook.com", "https://graph.facebook.com"} {
		got := getTLS(t, base, host+"/.well-known/openid-configuration/", file)
		if !strings.Contains(got, `"jwks_uri":"`+host+`/`) || !strings.Contains(got, `"issuer":"https://localhost"`) {
			t.Errorf("%s: %s", host, got)
		}
	}
}

func TestCommandServesWithGivenCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := start(t, "-tls-cert", cert, "-tls-key", keyFile)
	if got := getTLS(t, base, base+"/", cert); !strings.Contains(got, "Simulated Facebook") {
		t.Errorf("the index: %s", got)
	}
}

func TestOldAppFlagAllowsSeveralIDs(t *testing.T) {
	_, refused := get(t, start(t)+"/v27.0/?ids=1,2")
	_, allowed := get(t, start(t, "-old-app")+"/v27.0/?ids=1,2")
	if !strings.Contains(refused, "multi-ID requests") || strings.Contains(allowed, "multi-ID requests") {
		t.Errorf("a new app: %s; an old one: %s", refused, allowed)
	}
}
