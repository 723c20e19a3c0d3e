package daemon

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func selfMadeBytes(t *testing.T, dir string, hosts []string, now time.Time) []byte {
	t.Helper()
	c, err := ownCertificate(dir, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	return c.Certificate[0]
}

// A daemon that runs for longer than its certificate goes on with a new one.
func TestSelfMadeIsRenewedWhileItServes(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	secure, err := selfMade(dir, []string{"localhost"}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	serves := func() *tls.Certificate {
		t.Helper()
		c, err := secure.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := serves()
	now = now.Add(24 * time.Hour)
	if serves() != first {
		t.Error("a good one was replaced")
	}
	now = first.Leaf.NotAfter.Add(-24 * time.Hour)
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if serves() != first {
		t.Error("where no new one can be kept, the old one should go on")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if next := serves(); next == first || !next.Leaf.NotAfter.After(now.Add(300*24*time.Hour)) {
		t.Errorf("the certificate served ends %s, and it is %s", next.Leaf.NotAfter, now)
	}
}

func TestSelfMadeIsKeptWhileItIsGood(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	hosts := certificateHosts("10.0.0.1", "box_1", "models.example.com")
	for name, tc := range map[string]struct {
		later time.Duration
		hosts []string
		kept  bool
	}{
		"a day later":                {24 * time.Hour, hosts, true},
		"a day before it is renewed": {selfMadeLife - selfMadeRenew - 24*time.Hour, hosts, true},
		"when it ends soon":          {selfMadeLife - selfMadeRenew, hosts, false},
		"when it has ended":          {selfMadeLife + time.Hour, hosts, false},
		"listening elsewhere":        {0, certificateHosts("10.0.0.2", "box_1", "models.example.com"), false},
		"with another domain":        {0, certificateHosts("10.0.0.1", "box_1", "example.org"), false},
		"for fewer names than it is": {0, certificateHosts("0.0.0.0", "", ""), true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tls")
			first := selfMadeBytes(t, dir, hosts, now)
			if kept := bytes.Equal(first, selfMadeBytes(t, dir, tc.hosts, now.Add(tc.later))); kept != tc.kept {
				t.Errorf("kept: %v, want %v", kept, tc.kept)
			}
		})
	}
}

// A crash between the two files, or somebody's hand, leaves what does not belong together.
func TestSelfMadeIsMadeAgainWhenBroken(t *testing.T) {
	now := time.Now()
	for _, file := range []string{"key.pem", "cert.pem"} {
		dir := t.TempDir()
		first := selfMadeBytes(t, dir, []string{"localhost"}, now)
		if err := os.WriteFile(filepath.Join(dir, file), []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
		second := selfMadeBytes(t, dir, []string{"localhost"}, now)
		if bytes.Equal(first, second) {
			t.Errorf("with a broken %s the old one came", file)
		}
		if !bytes.Equal(second, selfMadeBytes(t, dir, []string{"localhost"}, now)) {
			t.Errorf("what was made in place of a broken %s is not kept", file)
		}
		if st, err := os.Stat(filepath.Join(dir, "key.pem")); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the key is %v, %v", st.Mode(), err)
		}
	}
}

func TestSelfMadeServesItsNames(t *testing.T) {
	secure, err := selfMade(t.TempDir(), certificateHosts("0.0.0.0", "box", "models.example.com."), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := listenTCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = tls.NewListener(l, secure)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "x") // completes the handshake
			_ = conn.Close()
		}
	}()
	cert, err := secure.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	for name, good := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "::1": true, "box": true, "models.example.com": true, "chat.models.example.com": true,
		"a.b.models.example.com": false, "0.0.0.0": false, "example.com": false,
	} {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	old := &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", l.Addr().String(), old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 was spoken")
	}
}

func TestCertificateHosts(t *testing.T) {
	for _, listen := range []string{"0.0.0.0", "::", ""} {
		if got := certificateHosts(listen, "", ""); slices.Contains(got, listen) || len(got) != 3 {
			t.Errorf("listening on %q: %q", listen, got)
		}
	}
}

func TestGivenCertificateThatIsNone(t *testing.T) {
	_, err := certificateFiles(filepath.Join(t.TempDir(), "none.pem"), "none.key")
	if !errors.Is(err, os.ErrNotExist) || adviceOf(err) == "" {
		t.Errorf("got %v, hint %q", err, adviceOf(err))
	}
}
