package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"
)

// Authority is the cluster's own: who it was, is and will be. It may be shown to everybody, for its keys are sealed.
type Authority struct {
	Cluster     string       `json:"cluster"`     // the cluster's id
	Generations []Generation `json:"generations"` // newest first; never empty
}

// Generation is one authority in the line.
type Generation struct {
	Certificate []byte    `json:"certificate"`       // DER, signed by itself
	Crosses     [][]byte  `json:"crosses,omitempty"` // DER: the keys of its neighbours in the line, signed by it
	SealedKey   []byte    `json:"sealed_key"`
	SignsFrom   time.Time `json:"signs_from"`
}

// Bundle is what a node must know to believe others, and to be believed by those who know one generation alone.
type Bundle struct {
	Roots   [][]byte `json:"roots"`             // DER
	Crosses [][]byte `json:"crosses,omitempty"` // DER
}

// NewAuthority makes the first of its line.
func NewAuthority(cluster string, key ClusterKey, now time.Time) (Authority, error) {
	g, _, err := newGeneration(cluster, key, now)
	if err != nil {
		return Authority{}, err
	}
	g.SignsFrom = now
	return Authority{Cluster: cluster, Generations: []Generation{g}}, nil
}

func newGeneration(cluster string, key ClusterKey, now time.Time) (Generation, *ecdsa.PrivateKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Generation{}, nil, fmt.Errorf("making an authority: %w", err)
	}
	template, err := authorityTemplate(cluster, now, now.Add(authorityLife))
	if err != nil {
		return Generation{}, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return Generation{}, nil, fmt.Errorf("making an authority: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Generation{}, nil, fmt.Errorf("making an authority: %w", err)
	}
	sealed, err := seal(key.identity.Recipient(), forAuthority, raw)
	return Generation{Certificate: der, SealedKey: sealed}, private, err
}

func authorityTemplate(cluster string, now, until time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	name := serial.Text(16)
	return &x509.Certificate{
		SerialNumber: serial,
		// Generations have different names: an issuer is looked for by its name first.
		Subject:   pkix.Name{CommonName: "Palisade cluster " + cluster, SerialNumber: name},
		NotBefore: now.Add(-backDated), NotAfter: until,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
		MaxPathLen: 1, // one neighbour that it vouches for
	}, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

// Fingerprint is what a certificate is pinned by: SHA-256 of its DER.
func Fingerprint(der []byte) [sha256.Size]byte { return sha256.Sum256(der) }

// Bundle returns what nodes must know of a.
func (a Authority) Bundle() Bundle {
	var b Bundle
	for _, g := range a.Generations {
		b.Roots = append(b.Roots, g.Certificate)
		b.Crosses = append(b.Crosses, g.Crosses...)
	}
	return b
}

// signer is the generation that signs at a time.
func (a Authority) signer(now time.Time) (Generation, error) {
	for _, g := range a.Generations {
		if !now.Before(g.SignsFrom) {
			return g, nil
		}
	}
	if n := len(a.Generations); n > 0 { // a clock that is behind
		return a.Generations[n-1], nil
	}
	return Generation{}, fmt.Errorf("the cluster's authority: %w: there is none", ErrInvalid)
}

// tended returns a with an heir where its time has come, and without generations that nothing hangs on any more;
// changed is false where there was nothing to do. Old and new vouch for each other: who knows one of them believes what
// the other one signed.
//  1. What ended, or what the last certificate of has ended, is forgotten.
//  2. An heir is made when two years are left.
func (a Authority) tended(key ClusterKey, now time.Time) (next Authority, changed bool, err error) {
	next = Authority{Cluster: a.Cluster, Generations: slices.Clone(a.Generations)}
	for i := len(next.Generations) - 1; i > 0; i-- { // 1
		if now.Before(next.Generations[i-1].SignsFrom.Add(nodeLife + bequest)) {
			break
		}
		next.Generations, changed = next.Generations[:i], true
	}
	if len(next.Generations) == 0 {
		return a, false, fmt.Errorf("the cluster's authority: %w: there is none", ErrInvalid)
	}
	newest, err := x509.ParseCertificate(next.Generations[0].Certificate)
	if err != nil {
		return a, false, fmt.Errorf("the cluster's authority: %w: %w", ErrInvalid, err)
	}
	if now.Before(newest.NotAfter.Add(-renewAuthority)) { // 2
		return next, changed, nil
	}
	heir, private, err := newGeneration(a.Cluster, key, now)
	if err != nil {
		return a, false, err
	}
	heir.SignsFrom = now.Add(heirWaits)
	old := &next.Generations[0]
	if err := vouch(&heir, private, old, key); err != nil {
		return a, false, err
	}
	next.Generations = append([]Generation{heir}, next.Generations...)
	return next, true, nil
}

// vouch has two generations sign each other's keys.
func vouch(heir *Generation, heirKey *ecdsa.PrivateKey, old *Generation, key ClusterKey) error {
	oldKey, err := old.key(key)
	if err != nil {
		return err
	}
	one, err := cross(old.Certificate, heir.Certificate, heirKey)
	if err != nil {
		return err
	}
	other, err := cross(heir.Certificate, old.Certificate, oldKey)
	if err != nil {
		return err
	}
	heir.Crosses = append(slices.Clone(heir.Crosses), one)
	old.Crosses = append(slices.Clone(old.Crosses), other)
	return nil
}

// cross is a certificate for the key of subject, signed by another generation.
func cross(subject, by []byte, key crypto.Signer) ([]byte, error) {
	s, err := x509.ParseCertificate(subject)
	if err != nil {
		return nil, fmt.Errorf("the cluster's authority: %w: %w", ErrInvalid, err)
	}
	issuer, err := x509.ParseCertificate(by)
	if err != nil {
		return nil, fmt.Errorf("the cluster's authority: %w: %w", ErrInvalid, err)
	}
	template, err := authorityTemplate("", s.NotBefore, s.NotAfter)
	if err != nil {
		return nil, err
	}
	template.Subject, template.RawSubject, template.SubjectKeyId = s.Subject, s.RawSubject, s.SubjectKeyId
	if issuer.NotAfter.Before(template.NotAfter) {
		template.NotAfter = issuer.NotAfter
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, s.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("vouching for an authority: %w", err)
	}
	return der, nil
}

func (g Generation) key(key ClusterKey) (*ecdsa.PrivateKey, error) {
	raw, err := key.open(forAuthority, g.SealedKey)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", ErrInvalid) // its words may hold the key
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the authority's key: %w: not one of ECDSA", ErrInvalid)
	}
	return private, nil
}

// issue makes a node's certificate. What its owner asked for beside the name is not taken over.
func (a Authority) issue(key ClusterKey, public crypto.PublicKey, name string, now time.Time) ([]byte, error) {
	g, err := a.signer(now)
	if err != nil {
		return nil, err
	}
	private, err := g.key(key)
	if err != nil {
		return nil, err
	}
	issuer, err := x509.ParseCertificate(g.Certificate)
	if err != nil {
		return nil, fmt.Errorf("the cluster's authority: %w: %w", ErrInvalid, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	until := now.Add(nodeLife)
	if issuer.NotAfter.Before(until) {
		until = issuer.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backDated), NotAfter: until,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{ServerName(name), EtcdName},
		URIs:        []*url.URL{{Scheme: scheme, Host: a.Cluster, Path: "/nodes/" + name}}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, private)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate for %s: %w", name, err)
	}
	return der, nil
}

// keyID names a public key: hex of SHA-256 of its DER.
func keyID(c *x509.Certificate) string { return publicID(c.RawSubjectPublicKeyInfo) }

func publicID(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}
