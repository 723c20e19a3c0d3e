package trust

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const nodesDomain = ".nodes.palisade"

// EtcdName is in every node's certificate: etcd's members check one name for all of them, for their addresses may
// change. Which member it is they tell by ids of their own.
const EtcdName = "etcd.members.palisade"

// ServerName is the name in the certificate of the node called name. It is in no DNS: it stands for the node wherever
// its address is.
func ServerName(name string) string { return name + nodesDomain }

var protocols = []string{"h2", "http/1.1"}

// DoorServer is the configuration of this box's door: TLS 1.3. Who shows no certificate gets in all the same, for a box
// that wants to join has none: ask Peer who it is. A certificate that is shown must be one of this cluster, and not of a
// node that was removed.
func (n *Node) DoorServer() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			h := n.held.Load()
			if h.leaf == nil {
				return nil, ErrNoIdentity
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS13, NextProtos: protocols, Time: n.now,
				Certificates: []tls.Certificate{h.certificate(true)},
				ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: h.roots,
				SessionTicketsDisabled: true, // every handshake looks anew at who was removed
				VerifyConnection: func(s tls.ConnectionState) error {
					if len(s.PeerCertificates) == 0 {
						return nil
					}
					return n.allowed(s.PeerCertificates[0])
				},
			}, nil
		},
	}
}

// Peer says which node is at the other end of a connection to the door: "" for none. Who was removed meanwhile is not
// one, though the connection was made before.
func (n *Node) Peer(s *tls.ConnectionState) (string, error) {
	if s == nil || len(s.PeerCertificates) == 0 {
		return "", nil
	}
	if len(s.VerifiedChains) == 0 {
		return "", fmt.Errorf("%w: its certificate was not verified", ErrAuthority)
	}
	if err := n.allowed(s.PeerCertificates[0]); err != nil {
		return "", err
	}
	return nameIn(s.PeerCertificates[0])
}

// DoorClient is the configuration for a connection to the door of the node called name: another node is refused there,
// be it ever so much of this cluster. This box shows its own certificate.
func (n *Node) DoorClient(name string) *tls.Config { return n.client(ServerName(name)) }

// EtcdClient is the configuration for connections to etcd's members.
func (n *Node) EtcdClient() *tls.Config { return n.client(EtcdName) }

func (n *Node) client(serverName string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: serverName, Time: n.now,
		// Go's own check knows the authorities of the time when the configuration was made. VerifyConnection does the
		// same with those of now.
		InsecureSkipVerify: true, //nolint:gosec // see above
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h := n.held.Load()
			if h.leaf == nil {
				return &tls.Certificate{}, nil
			}
			c := h.certificate(false)
			return &c, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return fmt.Errorf("%w: it shows no certificate", ErrAuthority)
			}
			opts := x509.VerifyOptions{
				Roots: n.held.Load().roots, DNSName: serverName, CurrentTime: n.now(),
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			}
			if err := verify(s.PeerCertificates[0], raws(s.PeerCertificates[1:]), opts); err != nil {
				return err
			}
			return n.allowed(s.PeerCertificates[0])
		},
	}
}

// Pinned is the configuration with which a box that wants to join says its first words: to whoever shows a certificate
// that hangs on the very authority that the token names, and to nobody else. There is no trust on first use.
func Pinned(t Token, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: EtcdName, Time: now,
		InsecureSkipVerify: true, //nolint:gosec // the authority comes with the connection, and VerifyConnection compares it with the token
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, c := range s.PeerCertificates {
				if Fingerprint(c.Raw) != t.CA {
					continue
				}
				roots, err := pool([][]byte{c.Raw})
				if err != nil {
					return err
				}
				opts := x509.VerifyOptions{Roots: roots, DNSName: EtcdName, CurrentTime: now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
				return verify(s.PeerCertificates[0], raws(s.PeerCertificates[1:]), opts)
			}
			return hinted("is the URL the one of a box of this cluster? A token is good for one cluster alone, and something between may be answering in its place",
				"%w: it does not show the authority that the token names", ErrAuthority)
		},
	}
}

// EtcdFiles are where etcd finds what is its own. It reads the certificate and the list of who was removed anew at each
// handshake; the authorities when it starts. A new authority is believed all the same: an older one vouches for it.
type EtcdFiles struct {
	Certificate string // and key
	Roots       string
	Removed     string // a revocation list in DER
	ServerName  string
}

// Etcd returns the files.
func (n *Node) Etcd() EtcdFiles {
	return EtcdFiles{
		Certificate: filepath.Join(n.dir, nodeFile), Roots: filepath.Join(n.dir, rootsFile),
		Removed: filepath.Join(n.dir, crlFile), ServerName: EtcdName,
	}
}

// certificate is what the node shows: its own, and what vouches for who issued it. Who joins also needs to see the
// authorities themselves.
func (h *held) certificate(withRoots bool) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{h.leaf.Raw}, PrivateKey: h.private, Leaf: h.leaf}
	c.Certificate = append(c.Certificate, h.bundle.Crosses...)
	if withRoots {
		c.Certificate = append(c.Certificate, h.bundle.Roots...)
	}
	return c
}

func (n *Node) allowed(c *x509.Certificate) error {
	for _, d := range n.held.Load().denied {
		if d.denies(c) {
			return fmt.Errorf("node %s: %w", d.Name, ErrRemoved)
		}
	}
	return nil
}

// nameIn is the node's name in its certificate.
func nameIn(c *x509.Certificate) (string, error) {
	for _, u := range c.URIs {
		name, ok := strings.CutPrefix(u.Path, "/nodes/")
		if u.Scheme == scheme && ok && CheckName(name) == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: its certificate names no node", ErrAuthority)
}

func raws(certificates []*x509.Certificate) [][]byte {
	var out [][]byte
	for _, c := range certificates {
		out = append(out, c.Raw)
	}
	return out
}

// verify is x509's, with words for people. An error is ErrAuthority.
func verify(leaf *x509.Certificate, between [][]byte, opts x509.VerifyOptions) error {
	opts.Intermediates = x509.NewCertPool()
	for _, der := range between {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: a certificate cannot be read", ErrAuthority)
		}
		if !bytes.Equal(c.RawIssuer, c.RawSubject) { // roots are believed, never shown into belief
			opts.Intermediates.AddCert(c)
		}
	}
	_, err := leaf.Verify(opts)
	if err == nil {
		return nil
	}
	invalid, is := errors.AsType[x509.CertificateInvalidError](err)
	if is && invalid.Reason == x509.Expired {
		return hinted("set both boxes' clocks, and look at whether the other one renews its certificate: palisade cluster status",
			"%w: by this box's clock (%s) its certificate, of %s to %s, is not in time", ErrAuthority,
			opts.CurrentTime.UTC().Format(time.DateTime), leaf.NotBefore.UTC().Format(time.DateTime), leaf.NotAfter.UTC().Format(time.DateTime))
	}
	if wrong, is := errors.AsType[x509.HostnameError](err); is {
		other, _ := nameIn(leaf)
		return fmt.Errorf("%w: %s was meant, %q answers", ErrAuthority, strings.TrimSuffix(wrong.Host, nodesDomain), other)
	}
	return fmt.Errorf("%w: %w", ErrAuthority, err)
}
