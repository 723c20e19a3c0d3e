package trust_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

func TestFilesAreTheirOwnersAlone(t *testing.T) {
	c := &clock{start}
	dir := filepath.Join(t.TempDir(), "cluster")
	if _, err := trust.Found(dir, "first", c.now); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", file, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node.pem", "removed.json", "ca.pem"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := trust.Open(dir, c.now); err == nil || !strings.Contains(err.Error(), "640") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBrokenFilesAreSaid(t *testing.T) {
	c := found(t)
	for _, name := range []string{"node.pem", "ca.pem", "removed.json", "cluster.key", "founding.json", "joining.json", "node.age"} {
		for what, broken := range map[string]func([]byte) []byte{
			"cut":     func(b []byte) []byte { return b[:len(b)/2] },
			"rubbish": func([]byte) []byte { return []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				dir := t.TempDir()
				n, err := trust.Found(dir, "first", c.clock.now)
				if err != nil {
					t.Fatal(err)
				}
				if err := n.Remember(trust.Pending{URL: "https://x", Token: c.token(trust.Asked{Uses: 1, For: day})}); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, name)
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, broken(bytes.Clone(raw)), 0o600); err != nil {
					t.Fatal(err)
				}
				n, err = trust.Open(dir, c.clock.now)
				if err == nil {
					switch name {
					case "cluster.key":
						_, err = n.ClusterKey()
					case "founding.json":
						_, _, err = n.Founding()
					case "joining.json":
						_, _, err = n.Pending()
					case "node.age":
						_, err = n.Renewal()
					case "ca.pem": // half of it holds no whole certificate: nobody is believed
						_, _, err = meet(t, c.first.DoorServer(), n.DoorClient("first"))
					}
				}
				if err == nil {
					t.Error("nobody noticed")
				} else if strings.Contains(err.Error(), "AGE-SECRET") || strings.Contains(err.Error(), "PRIVATE") {
					t.Errorf("a secret shows itself: %v", err)
				}
			})
		}
	}
}

func TestCreate(t *testing.T) {
	c := &clock{start}
	for _, name := range []string{"", "-a", "a-", "A", "a.b", "../x", "a b", strings.Repeat("a", 64), "ä"} {
		_, err := trust.Create(t.TempDir(), name, c.now)
		is(t, err, trust.ErrInvalid, true)
	}
	for _, name := range []string{"a", "1", "box-2", strings.Repeat("a", 63)} {
		if _, err := trust.Create(t.TempDir(), name, c.now); err != nil {
			t.Error(err)
		}
	}
	_, err := trust.Open(t.TempDir(), c.now)
	is(t, err, trust.ErrNoIdentity, true)

	dir := t.TempDir()
	if _, err := trust.Create(dir, "one", c.now); err != nil {
		t.Fatal(err)
	}
	n, err := trust.Found(dir, "two", c.now) // the name was not final yet
	if err != nil || n.Name() != "two" {
		t.Fatal(err)
	}
	for range 2 { // init that was said again, before all was on the shelf
		if _, err := trust.Found(dir, "two", c.now); err != nil {
			t.Error(err)
		}
	}
	_, err = trust.Create(dir, "three", c.now)
	is(t, err, trust.ErrTaken, true)
	if err := n.Founded(); err != nil {
		t.Fatal(err)
	}
	_, err = trust.Found(dir, "two", c.now)
	is(t, err, trust.ErrTaken, true)
}
