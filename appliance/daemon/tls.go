package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	selfMadeLife  = 397 * 24 * time.Hour // what browsers accept at most
	selfMadeRenew = 30 * 24 * time.Hour
)

// certificateFiles loads a certificate that the owner gave.
func certificateFiles(certFile, keyFile string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, hinted{fmt.Errorf("loading the certificate: %w", err), "tls.cert and tls.key must be PEM files that belong together"}
	}
	return tlsConfig(cert), nil
}

// selfMade serves with the appliance's own certificate from dir. One is made for hosts where there is none,
// it is about to expire, or it is not for one of them; also while the daemon runs, which may be for years.
func selfMade(dir string, hosts []string, now func() time.Time) (*tls.Config, error) {
	cert, err := ownCertificate(dir, hosts, now())
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	secure := tlsConfig()
	secure.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if !stillGood(cert.Leaf, hosts, now()) {
			// Where none can be made (the disk is full) the old one is better than nothing: it has a month left.
			if next, err := ownCertificate(dir, hosts, now()); err == nil {
				cert = next
			}
		}
		return cert, nil
	}
	return secure, nil
}

// ownCertificate loads the certificate in dir, or makes it.
func ownCertificate(dir string, hosts []string, now time.Time) (*tls.Certificate, error) {
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if cert, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil && stillGood(cert.Leaf, hosts, now) {
		return &cert, nil
	}
	certPEM, keyPEM, err := makeCertificate(hosts, now)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keeping the certificate: %w", err)
	}
	if err := os.WriteFile(keyFile, keyPEM, 0o600); err != nil {
		return nil, fmt.Errorf("keeping the certificate: %w", err)
	}
	if err := os.WriteFile(certFile, certPEM, 0o644); err != nil {
		return nil, fmt.Errorf("keeping the certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return &cert, nil
}

// stillGood reports whether a certificate can go on serving hosts.
func stillGood(cert *x509.Certificate, hosts []string, now time.Time) bool {
	if cert == nil || !now.Add(selfMadeRenew).Before(cert.NotAfter) {
		return false
	}
	for _, host := range hosts {
		ip := net.ParseIP(host)
		if !slices.Contains(cert.DNSNames, host) && !slices.ContainsFunc(cert.IPAddresses, func(a net.IP) bool { return a.Equal(ip) }) {
			return false
		}
	}
	return true
}

// certificateHosts are the names under which the appliance is reached: where it listens, the box, and with
// a domain each service's own.
func certificateHosts(listen, box, domain string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if ip := net.ParseIP(listen); ip == nil || !ip.IsUnspecified() {
		hosts = append(hosts, listen)
	}
	hosts = append(hosts, box)
	if domain = strings.Trim(domain, "."); domain != "" {
		hosts = append(hosts, domain, "*."+domain)
	}
	return slices.DeleteFunc(hosts, func(h string) bool { return h == "" })
}

func tlsConfig(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: certs, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}

func makeCertificate(hosts []string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "palisade"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfMadeLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
