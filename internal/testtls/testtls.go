// Package testtls signs certificates for the servers of tests.
package testtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Issuer signs certificates for this machine into two files, Cert and Key.
// Authority is the file with its own certificate.
type Issuer struct {
	Cert, Key, Authority string

	t      *testing.T
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

// New makes an issuer and its first certificate. All of them are good for an hour.
func New(t *testing.T) *Issuer {
	t.Helper()
	dir := t.TempDir()
	i := &Issuer{
		Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), Authority: filepath.Join(dir, "ca.crt"),
		t: t, key: newKey(t), serial: 1,
	}
	i.ca = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der := i.sign(i.ca, i.key)
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	i.ca = ca
	i.write(i.Authority, "CERTIFICATE", der)
	i.Renew()
	return i
}

// Renew writes a new certificate and its key.
func (i *Issuer) Renew() {
	i.t.Helper()
	i.serial++
	key := newKey(i.t)
	der := i.sign(&x509.Certificate{
		SerialNumber: big.NewInt(i.serial), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, key)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		i.t.Fatal(err)
	}
	i.write(i.Cert, "CERTIFICATE", der)
	i.write(i.Key, "PRIVATE KEY", private)
}

// Client trusts the issuer.
func (i *Issuer) Client() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(i.ca)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (i *Issuer) sign(c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	i.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, i.ca, &key.PublicKey, i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	return der
}

func (i *Issuer) write(name, kind string, der []byte) {
	i.t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		i.t.Fatal(err)
	}
}
