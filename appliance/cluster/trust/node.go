package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Node is this box's identity in a cluster: its key, its certificate, and whom it believes. It is safe for concurrent
// use. Its TLS configurations follow every change without being made anew.
type Node struct {
	dir string
	now func() time.Time

	mu   sync.Mutex // one change at a time, files and memory alike
	held atomic.Pointer[held]
}

// held is what a node has at one time. It is never changed: a new one takes its place.
type held struct {
	name    string
	private *ecdsa.PrivateKey
	leaf    *x509.Certificate // nil until the cluster let it in
	bundle  Bundle
	roots   *x509.CertPool
	denied  []Denied
}

// Create makes this box's identity below dir, which is made: a key, and the name that it wants. Where there is one with
// that name already, it is that one: a join that broke off goes on. Another name is refused once the box is in.
func Create(dir, name string, now func() time.Time) (*Node, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	n, err := Open(dir, now)
	switch {
	case err == nil && n.Name() == name:
		return n, nil
	case err == nil && n.held.Load().leaf != nil:
		return nil, hinted("leave that one first: palisade cluster remove "+n.Name(), "this box is a node already, with the name %s: %w", n.Name(), ErrTaken)
	case err != nil && !errors.Is(err, ErrNoIdentity):
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making an identity: %w", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an identity: %w", err)
	}
	sealKey, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := write(dir, sealFile, sealKey.file()); err != nil {
		return nil, err
	}
	n = &Node{dir: dir, now: now}
	n.held.Store(&held{name: name, private: private, roots: x509.NewCertPool()})
	return n, n.save(n.held.Load()) // the last file: until it is there, there is no identity
}

// Open reads the identity below dir; ErrNoIdentity where there is none.
func Open(dir string, now func() time.Time) (*Node, error) {
	raw, err := read(dir, nodeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted("palisade cluster init, or palisade join URL TOKEN", "%w", ErrNoIdentity)
	}
	if err != nil {
		return nil, fmt.Errorf("this box's identity: %w", err)
	}
	h, err := parseHeld(raw)
	if err != nil {
		return nil, fmt.Errorf("this box's identity, %s: %w", filepath.Join(dir, nodeFile), err)
	}
	roots, err := read(dir, rootsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this box's identity: %w", err)
	}
	blocks, ok := decode(roots)
	if !ok {
		return nil, fmt.Errorf("this box's identity: %s: %w: it was cut", filepath.Join(dir, rootsFile), ErrInvalid)
	}
	for _, block := range blocks {
		h.bundle.Roots = append(h.bundle.Roots, block.Bytes)
	}
	if h.roots, err = pool(h.bundle.Roots); err != nil {
		return nil, fmt.Errorf("this box's identity: %w", err)
	}
	raw, err = read(dir, deniedFile)
	if err == nil {
		err = json.Unmarshal(raw, &h.denied)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // without the list, who was removed would be let in
		return nil, fmt.Errorf("this box's identity: %s: %w", deniedFile, err)
	}
	n := &Node{dir: dir, now: now}
	n.held.Store(h)
	return n, nil
}

// decode returns the blocks of a file; ok is false where there is something else in it.
func decode(raw []byte) (blocks []*pem.Block, ok bool) {
	for {
		block, rest := pem.Decode(raw)
		if block == nil {
			return blocks, len(bytes.TrimSpace(raw)) == 0
		}
		blocks, raw = append(blocks, block), rest
	}
}

func pool(roots [][]byte) (*x509.CertPool, error) {
	out := x509.NewCertPool()
	for _, der := range roots {
		c, err := x509.ParseCertificate(der)
		if err != nil || !c.IsCA {
			return nil, fmt.Errorf("a bundle of authorities: %w: not a certificate of one", ErrInvalid)
		}
		out.AddCert(c)
	}
	return out, nil
}

// parseHeld reads nodeFile: the key, then the node's own certificate where it has one, then what authorities signed for
// each other. The name is a header of the key's block.
func parseHeld(raw []byte) (*held, error) {
	var h held
	blocks, ok := decode(raw)
	if !ok {
		return nil, fmt.Errorf("%w: it was cut", ErrInvalid)
	}
	for _, block := range blocks {
		switch {
		case block.Type == "PRIVATE KEY" && h.private == nil:
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			private, ok := parsed.(*ecdsa.PrivateKey)
			if err != nil || !ok {
				return nil, fmt.Errorf("%w: its key cannot be read", ErrInvalid)
			}
			h.private, h.name = private, block.Headers["Node"]
		case block.Type == "CERTIFICATE" && h.leaf == nil && len(h.bundle.Crosses) == 0:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%w: its certificate cannot be read", ErrInvalid)
			}
			h.leaf = c
		case block.Type == "CERTIFICATE":
			h.bundle.Crosses = append(h.bundle.Crosses, block.Bytes)
		}
	}
	if h.private == nil || CheckName(h.name) != nil {
		return nil, fmt.Errorf("%w: it holds no key with a name", ErrInvalid)
	}
	if h.leaf != nil && !h.private.PublicKey.Equal(h.leaf.PublicKey) {
		return nil, fmt.Errorf("%w: its certificate is for another key", ErrInvalid)
	}
	return &h, nil
}

// save writes files, then shows h. n.mu is held, or nobody has n yet. Roots come first: a certificate of an authority
// that is not known yet would be of no use.
func (n *Node) save(h *held) error {
	raw, err := x509.MarshalPKCS8PrivateKey(h.private)
	if err != nil {
		return fmt.Errorf("writing this box's identity: %w", err)
	}
	var roots, node bytes.Buffer
	for _, der := range h.bundle.Roots {
		roots.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	node.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Headers: map[string]string{"Node": h.name}, Bytes: raw}))
	if h.leaf != nil {
		node.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.leaf.Raw}))
		for _, der := range h.bundle.Crosses {
			node.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
	}
	if err := write(n.dir, rootsFile, roots.Bytes()); err != nil {
		return err
	}
	if err := n.saveDenied(h.denied); err != nil {
		return err
	}
	if err := write(n.dir, nodeFile, node.Bytes()); err != nil {
		return err
	}
	n.held.Store(h)
	return nil
}

func (n *Node) saveDenied(denied []Denied) error {
	list, err := json.Marshal(denied)
	if err != nil {
		return fmt.Errorf("listing removed nodes: %w", err)
	}
	crl, err := revocations(denied, n.now())
	if err != nil {
		return err
	}
	if err := write(n.dir, deniedFile, list); err != nil {
		return err
	}
	return write(n.dir, crlFile, crl)
}

// change makes a new held of the one that is there.
func (n *Node) change(f func(h *held) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := *n.held.Load()
	if err := f(&h); err != nil {
		return err
	}
	return n.save(&h)
}

// Name is the name that this box has, or wants.
func (n *Node) Name() string { return n.held.Load().name }

// Certified is when this box's certificate began (an hour before it was issued) and ends; ok is false before it has one.
func (n *Node) Certified() (from, until time.Time, ok bool) {
	leaf := n.held.Load().leaf
	if leaf == nil {
		return time.Time{}, time.Time{}, false
	}
	return leaf.NotBefore, leaf.NotAfter, true
}

// RenewAt is when this box's certificate should be renewed: when a third of its life is left.
func (n *Node) RenewAt() time.Time {
	from, until, _ := n.Certified()
	return until.Add(-until.Sub(from) / 3)
}

// ask makes what this box signs: its name, its key, and what to seal to.
func (n *Node) ask() ([]byte, error) {
	h := n.held.Load()
	key, err := n.sealKey()
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: h.name},
		URIs:    []*url.URL{{Scheme: scheme, Opaque: recipientPrefix + key.identity.Recipient().String()}},
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, h.private)
	if err != nil {
		return nil, fmt.Errorf("asking to join: %w", err)
	}
	return der, nil
}

func (n *Node) sealKey() (ClusterKey, error) {
	raw, err := read(n.dir, sealFile)
	if err != nil {
		return ClusterKey{}, fmt.Errorf("this box's identity: %w", err)
	}
	return parseKey(raw, filepath.Join(n.dir, sealFile))
}

// Believe takes over who is in the cluster's line of authorities, and who was removed from the cluster. It takes effect
// at the next handshake of each connection: connections that are open stay open.
func (n *Node) Believe(b Bundle, denied []Denied) error {
	roots, err := pool(b.Roots)
	if err != nil {
		return err
	}
	if len(b.Roots) == 0 {
		return fmt.Errorf("a bundle of authorities: %w: it is empty", ErrInvalid)
	}
	old := n.held.Load()
	if same(old.bundle.Roots, b.Roots) && same(old.bundle.Crosses, b.Crosses) && slices.EqualFunc(old.denied, denied, sameDenied) {
		return nil // it is called now and then: no write for nothing
	}
	return n.change(func(h *held) error {
		h.bundle, h.roots, h.denied = b, roots, denied
		return nil
	})
}

func same(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func sameDenied(a, b Denied) bool {
	return a.Name == b.Name && a.Key == b.Key && slices.Equal(a.Serials, b.Serials)
}
