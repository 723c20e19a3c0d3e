package trust

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// Request is what this box says to be let in with t. It may be said again, with the same token.
func (n *Node) Request(t Token, version, address string) (Request, error) {
	csr, err := n.ask()
	return Request{TokenID: t.ID, Secret: t.secret, CSR: csr, Version: version, Address: address}, err
}

// Renewal is what this box sends to have its certificate renewed, in DER: see Desk.Renew.
func (n *Node) Renewal() ([]byte, error) { return n.ask() }

// Take takes an answer to Request over. It believes nothing that does not hang on the authority that t names. When it
// returns In, all is written down, and the token can be forgotten; when it broke off, the same answer can be taken again.
func (n *Node) Take(a Answer, t Token) (State, error) {
	for _, der := range a.Bundle.Roots {
		if Fingerprint(der) != t.CA {
			continue
		}
		pinned, err := pool([][]byte{der})
		if err != nil {
			return "", fmt.Errorf("joining: %w", err)
		}
		return n.take(a, pinned)
	}
	return "", fmt.Errorf("joining: %w: the authority is not the one that the token names", ErrAuthority)
}

// TakeRenewal takes an answer to Renewal over.
func (n *Node) TakeRenewal(a Answer) error {
	_, err := n.take(a, n.held.Load().roots)
	return err
}

// take writes the cluster key before the certificate: a node that has one has the other.
func (n *Node) take(a Answer, believed *x509.CertPool) (State, error) {
	if a.State != In {
		return a.State, nil
	}
	roots, err := pool(a.Bundle.Roots)
	if err != nil {
		return "", fmt.Errorf("joining: %w", err)
	}
	leaf, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return "", fmt.Errorf("joining: %w: the certificate cannot be read", ErrInvalid)
	}
	h := n.held.Load()
	if !h.private.PublicKey.Equal(leaf.PublicKey) {
		return "", fmt.Errorf("joining: %w: the certificate is for another box's key", ErrInvalid)
	}
	if name, err := nameIn(leaf); err != nil || name != h.name {
		return "", fmt.Errorf("joining: %w: the certificate is for another name", ErrInvalid)
	}
	// Either use will do: it has both.
	if err := verify(leaf, a.Bundle.Crosses, x509.VerifyOptions{Roots: believed, DNSName: ServerName(h.name), CurrentTime: n.now()}); err != nil {
		return "", fmt.Errorf("joining: %w", err)
	}
	own, err := n.sealKey()
	if err != nil {
		return "", err
	}
	raw, err := own.open(forCluster, a.SealedKey)
	if err != nil {
		return "", fmt.Errorf("joining: the cluster's key: %w", err)
	}
	key, err := parseKey(raw, "the answer")
	if err != nil {
		return "", fmt.Errorf("joining: %w", err)
	}
	if err := write(n.dir, clusterFile, key.file()); err != nil {
		return "", err
	}
	// The bundle is taken as it came, other authorities in it too: who said it had to show a certificate of one that is believed, and
	// whoever has such a certificate holds the cluster key, with which they could sign whatever the others would vouch for.
	err = n.change(func(h *held) error {
		h.leaf, h.bundle, h.roots = leaf, a.Bundle, roots
		return nil
	})
	if err != nil {
		return "", err
	}
	return In, remove(n.dir, pendingFile)
}

// ClusterKey reads the key that approved nodes have.
func (n *Node) ClusterKey() (ClusterKey, error) {
	raw, err := read(n.dir, clusterFile)
	if err != nil {
		return ClusterKey{}, fmt.Errorf("the cluster's key: %w", err)
	}
	return parseKey(raw, filepath.Join(n.dir, clusterFile))
}

// Pending is a join that waits for its answer. It holds the token: it is written for this box's owner alone, and is
// gone when the box is in.
type Pending struct {
	URL   string
	Token Token
}

type pendingText struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Remember writes down where this box asks to be let in, so that it goes on after a restart.
func (n *Node) Remember(p Pending) error {
	raw, err := json.Marshal(pendingText{p.URL, p.Token.Reveal()})
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	return write(n.dir, pendingFile, raw)
}

// Pending returns what was remembered; ok is false where nothing is.
func (n *Node) Pending() (p Pending, ok bool, err error) {
	raw, err := read(n.dir, pendingFile)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	var text pendingText
	if err == nil {
		err = json.Unmarshal(raw, &text)
	}
	if err == nil {
		p.URL = text.URL
		p.Token, err = ParseToken(text.Token)
	}
	if err != nil {
		return Pending{}, false, fmt.Errorf("going on with joining: %w", err)
	}
	return p, true, nil
}

// Forget gives up a join that waits.
func (n *Node) Forget() error { return remove(n.dir, pendingFile) }

// Leave forgets this box's identity and the cluster's key: it can join anew, with a key of its own that nobody knows.
// It does not tell the cluster: that is Desk.Remove.
func Leave(dir string) error {
	// The identity goes last: until it is gone, leaving can be said again.
	for _, name := range []string{clusterFile, pendingFile, foundingFile, rootsFile, deniedFile, crlFile, sealFile, nodeFile} {
		if err := remove(dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Founding is what a new cluster begins with, until it is on the shelf.
type Founding struct {
	Authority Authority `json:"authority"`
	Record    Record    `json:"record"` // of the first node
}

// Found makes a new cluster with this box, name, as its first node: authority, cluster key, certificate. All of it is
// below dir, since there is no etcd before there are certificates; Desk.Begin puts it on the shelf. After a crash it is
// said again and goes on.
func Found(dir, name string, now func() time.Time) (*Node, error) {
	n, err := Create(dir, name, now)
	if err != nil {
		return nil, err
	}
	if _, _, in := n.Certified(); in {
		if _, ok, err := n.Founding(); err != nil || ok {
			return n, err
		}
		return nil, hinted("see it with: palisade cluster status", "this box is in a cluster already: %w", ErrTaken)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	id, err := newSerial()
	if err != nil {
		return nil, err
	}
	authority, err := NewAuthority(hex.EncodeToString(id.Bytes())[:16], key, now())
	if err != nil {
		return nil, err
	}
	csr, err := n.ask()
	if err != nil {
		return nil, err
	}
	who, err := checkCSR(csr)
	if err != nil {
		return nil, err
	}
	record := Record{Name: name, Key: who.key, Asked: now(), By: "cluster init"}
	if err := record.admit(authority, key, who, now()); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(Founding{authority, record})
	if err != nil {
		return nil, fmt.Errorf("founding a cluster: %w", err)
	}
	if err := write(dir, foundingFile, raw); err != nil {
		return nil, err
	}
	pinned, err := pool(authority.Bundle().Roots)
	if err != nil {
		return nil, err
	}
	_, err = n.take(record.answer(authority), pinned)
	return n, err
}

// Founding returns what is not yet known to be on the shelf; ok is false where all is.
func (n *Node) Founding() (f Founding, ok bool, err error) {
	raw, err := read(n.dir, foundingFile)
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil {
		return Founding{}, false, fmt.Errorf("going on with founding a cluster: %w", err)
	}
	return f, true, nil
}

// Founded says that all is on the shelf.
func (n *Node) Founded() error { return remove(n.dir, foundingFile) }
