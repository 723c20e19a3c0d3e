package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Denied is a node that was removed. It is kept until the last of its certificates has ended.
type Denied struct {
	Name    string    `json:"name"`
	Key     string    `json:"key"`               // id of its public key
	Serials []string  `json:"serials,omitempty"` // hexadecimal
	At      time.Time `json:"at"`
	Until   time.Time `json:"until"`
}

// serial is how serial numbers are written down.
func serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// denies says whether a certificate is one of d's. The key counts as well: a certificate that was being issued while
// the node was removed has a serial number that nobody wrote down.
func (d Denied) denies(c *x509.Certificate) bool {
	return d.Key == keyID(c) || slices.Contains(d.Serials, serial(c))
}

// revocations is what etcd reads: it has no other way to refuse a certificate that is signed and in time. It looks at
// the serial numbers alone, not at who signed the list, so each node makes its own with a key that it throws away.
func revocations(denied []Denied, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("listing removed nodes: %w", err)
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "removed nodes"}, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
	list := &x509.RevocationList{Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-backDated), NextUpdate: now.Add(authorityLife)}
	for _, d := range denied {
		for _, text := range d.Serials {
			n, ok := new(big.Int).SetString(text, 16)
			if !ok || n.Sign() <= 0 {
				return nil, fmt.Errorf("listing removed nodes: %w: the serial number %.40q of %s", ErrInvalid, text, d.Name)
			}
			list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: d.At})
		}
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, issuer, key)
	if err != nil {
		return nil, fmt.Errorf("listing removed nodes: %w", err)
	}
	return der, nil
}
