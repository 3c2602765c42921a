package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// ServerName is a DNS name of every orchestrator's certificate.
const ServerName = "orchestrator.freeflow.internal"

// Lifetimes of certificates. A clock that is a little behind must not refuse a new one.
const (
	AuthorityLifetime = 20 * 365 * 24 * time.Hour
	Lifetime          = 30 * 24 * time.Hour // of a router's and an orchestrator's
	AdminLifetime     = 365 * 24 * time.Hour
	leeway            = 10 * time.Minute
)

// Authority signs certificates. It is immutable.
type Authority struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// New makes an authority of its own key.
func New(now time.Time) (*Authority, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "FreeFlow cluster"},
		NotBefore: now.Add(-leeway), NotAfter: now.Add(AuthorityLifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	return newAuthority(der, key)
}

func newAuthority(der []byte, key *ecdsa.PrivateKey) (*Authority, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority's certificate: %w", err)
	}
	a := &Authority{Cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a, nil
}

// Parse reads what PEM made.
func Parse(text []byte) (*Authority, error) {
	var der []byte
	var key *ecdsa.PrivateKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			der = block.Bytes
		case "PRIVATE KEY":
			var err error
			if key, err = parseKey(block.Bytes); err != nil {
				return nil, err
			}
		}
	}
	if der == nil || key == nil {
		return nil, errors.New("authority: certificate or key is missing")
	}
	return newAuthority(der, key)
}

// PEM is certificate and private key.
func (a *Authority) PEM() []byte { return append(EncodeCert(a.Cert.Raw), EncodeKey(a.key)...) }

// Pool holds the authority's certificate alone. It is not to be changed.
func (a *Authority) Pool() *x509.CertPool { return a.pool }

// Subject is what a certificate is to say.
type Subject struct {
	Identity
	Names     []string     // further DNS names, of an orchestrator
	Addresses []netip.Addr // of an orchestrator
	Lifetime  time.Duration
}

// Sign makes a certificate for the holder of that key, DER.
func (a *Authority) Sign(s Subject, key crypto.PublicKey, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: s.Name, OrganizationalUnit: []string{string(s.Role)}},
		NotBefore:    now.Add(-leeway), NotAfter: now.Add(s.Lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{{Scheme: "freeflow", Host: string(s.Role), Path: "/" + s.Name}},
	}
	if s.Role == RoleOrchestrator {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.DNSNames = append([]string{ServerName}, s.Names...)
		for _, addr := range s.Addresses {
			template.IPAddresses = append(template.IPAddresses, net.IP(addr.AsSlice()))
		}
	}
	if s.Underlay.IsValid() {
		template.IPAddresses = append(template.IPAddresses, net.IP(s.Underlay.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", s.Name, err)
	}
	return der, nil
}

// Fingerprint is the hash by which a join token names the authority: of its certificate, hexadecimal.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// KeyHash names a public key: the SHA-256 of its SubjectPublicKeyInfo, hexadecimal.
func KeyHash(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// CertKeyHash is KeyHash of a certificate in DER.
func CertKeyHash(der []byte) (string, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	return KeyHash(cert), nil
}

// NewKey makes a private key of the kind that everybody here has.
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a private key: %w", err)
	}
	return key, nil
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
