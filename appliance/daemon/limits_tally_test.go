package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/router/quota/tally"
)

// authority writes one, and a certificate for 127.0.0.1 that it has signed with its key, into a directory.
func authority(t *testing.T, dir string) {
	t.Helper()
	keys := map[string]*ecdsa.PrivateKey{}
	for _, name := range []string{"ca", "redis"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = key
	}
	of := func(name string, more func(*x509.Certificate)) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			BasicConstraintsValid: true,
		}
		more(c)
		return c
	}
	ca := of("ca", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	for name, c := range map[string]*x509.Certificate{"ca": ca, "redis": of("redis", func(c *x509.Certificate) {
		c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})} {
		der, err := x509.CreateCertificate(rand.Reader, c, ca, keys[name].Public(), keys["ca"])
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(keys[name])
		if err != nil {
			t.Fatal(err)
		}
		for ext, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
			if err := os.WriteFile(filepath.Join(dir, name+ext), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A Redis behind TLS with an authority of its own, for a user with a password from a file: that is all it takes, and without one of
// them the reason is said, and no password.
func TestRedisBehindTLS(t *testing.T) {
	dir, strange := t.TempDir(), t.TempDir()
	authority(t, dir)
	authority(t, strange)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	settings := fmt.Sprintf(`port 0
tls-port %s
bind 127.0.0.1
tls-cert-file %[2]s/redis.pem
tls-key-file %[2]s/redis.key
tls-ca-cert-file %[2]s/ca.pem
tls-auth-clients no
user default off
user palisade on >right ~{house}:* &* +@all
save ""
dir %[2]s
`, port, dir)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := exec.Command("redis-server", write("redis.conf", settings))
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatalf("%v: .ci/deps test installs it", err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	right, wrong := write("right", "right\n"), write("wrong", "wr0ng-secret\n")
	at := func(user string) string { return "rediss://" + user + "@127.0.0.1:" + port }
	good := config.Redis{URL: at("palisade"), PasswordFile: right, CA: filepath.Join(dir, "ca.pem"), Prefix: "house", Bound: time.Second}
	for name, tt := range map[string]struct {
		change func(c *config.Redis)
		why    string // "": it is had
	}{
		"all is right":           {func(*config.Redis) {}, ""},
		"the password in it":     {func(c *config.Redis) { c.URL, c.PasswordFile = at("palisade:right"), "" }, ""},
		"another password":       {func(c *config.Redis) { c.PasswordFile = wrong }, "WRONGPASS"},
		"another user":           {func(c *config.Redis) { c.URL = at("nobody") }, "WRONGPASS"},
		"another authority":      {func(c *config.Redis) { c.CA = filepath.Join(strange, "ca.pem") }, "unknown authority"},
		"the system's authority": {func(c *config.Redis) { c.CA = "" }, "unknown authority"},
		"another name":           {func(c *config.Redis) { c.URL = strings.Replace(c.URL, "127.0.0.1", "localhost", 1) }, "localhost"},
		"keys of others":         {func(c *config.Redis) { c.Prefix = "other" }, "NOPERM"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tt.change(&c)
			o, err := tallyOptions(c)
			if err != nil {
				t.Fatal(err)
			}
			counter, err := tally.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { counter.Run(ctx) })
			defer running.Wait()
			defer stop()
			said := func() string { return counter.Status().Cause }
			patience := time.Now().Add(20 * time.Second) // the server may be starting still
			for counter.Status().Mode != tally.Together && (tt.why == "" || !strings.Contains(said(), tt.why)) {
				if time.Now().After(patience) {
					t.Fatalf("%+v, want %q", counter.Status(), tt.why)
				}
				waiting, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				_ = counter.Ready(waiting)
				cancel()
			}
			if together := counter.Status().Mode == tally.Together; together != (tt.why == "") || strings.Contains(said(), "wr0ng") {
				t.Errorf("%+v, want %q", counter.Status(), tt.why)
			}
		})
	}
	for name, c := range map[string]config.Redis{
		"no such password file": {URL: good.URL, PasswordFile: filepath.Join(dir, "none")}, "no such authority": {URL: good.URL, CA: filepath.Join(dir, "none")},
		"an authority that is none": {URL: good.URL, CA: right},
	} {
		if _, err := tallyOptions(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// One that was never counted with leaves nothing behind.
	o, err := tallyOptions(good)
	if err != nil {
		t.Fatal(err)
	}
	idle, err := tally.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
}
