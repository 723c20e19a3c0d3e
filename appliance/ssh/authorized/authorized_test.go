package authorized

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func line(t testing.TB, public any, comment string) string {
	t.Helper()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + comment
}

func ed(t testing.TB, comment string) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return line(t, public, comment)
}

func TestParse(t *testing.T) {
	good := ed(t, " ada@laptop")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ text, wrong string }{
		"ed25519":          {good + "\n", ""},
		"rsa":              {line(t, &large.PublicKey, ""), ""},
		"ecdsa":            {line(t, &curve.PublicKey, " x"), ""},
		"weak":             {line(t, &small.PublicKey, ""), "1024 bits"},
		"nothing":          {" \n", "no key"},
		"a private one":    {string(pem.EncodeToMemory(block)), "private key"},
		"RFC 4716":         {"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n", "RFC 4716"},
		"two":              {good + "\n" + good, "several lines"},
		"with options":     {`command="ls",no-pty ` + good, "options"},
		"no key at all":    {"hello world", "no public key"},
		"cut off":          {good[:40], "no public key"},
		"endless":          {good + strings.Repeat("x", 10_000), "allowed"},
		"a DSA key":        {"ssh-dss AAAAB3NzaC1kc3MAAAAA", "no public key"},
		"of another world": {"\x00\xff", "no public key"},
	} {
		key, _, err := Parse(tt.text)
		if tt.wrong == "" && (err != nil || key == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if tt.wrong != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.wrong)) {
			t.Errorf("%s: %v, want %q", name, err, tt.wrong)
		}
		if hinted, ok := errors.AsType[*mistake](err); err != nil && (!ok || hinted.Hint() == "") {
			t.Errorf("%s: no hint", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(ed(f, " x"))
	f.Add("ssh-rsa AAAA")
	f.Add("sk-ssh-ed25519@openssh.com AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		key, _, err := Parse(text)
		if (key == nil) == (err == nil) {
			t.Error(key, err)
		}
		if err == nil {
			if again, _, err := Parse(string(ssh.MarshalAuthorizedKey(key))); err != nil || ssh.FingerprintSHA256(again) != ssh.FingerprintSHA256(key) {
				t.Error("what was read is not what is kept", err)
			}
		}
	})
}

type rows struct {
	keys map[string]Key
	down error
}

func (r *rows) SSHKeys(context.Context) (out []Key, err error) {
	for _, k := range r.keys {
		out = append(out, k)
	}
	return out, r.down
}

func (r *rows) SaveSSHKey(_ context.Context, k Key) error {
	if r.down == nil {
		r.keys[k.ID] = k
	}
	return r.down
}

func (r *rows) DeleteSSHKey(_ context.Context, id string) error {
	if r.down == nil {
		delete(r.keys, id)
	}
	return r.down
}

func TestBook(t *testing.T) {
	store, now := &rows{keys: map[string]Key{}}, time.Unix(1e9, 0).UTC()
	var gone []string
	b, err := Open(t.Context(), store, func() time.Time { return now }, func(id string) { gone = append(gone, id) })
	if err != nil {
		t.Fatal(err)
	}
	text := ed(t, " ada@laptop")
	k, err := b.Add(t.Context(), Wish{Text: text, Owner: "ada", Project: "research"})
	if err != nil || k.Name != "ada@laptop" || !k.Opens("research") || k.Opens("default") || !strings.HasPrefix(text, k.Line) {
		t.Fatalf("%+v %v", k, err)
	}
	if _, err := b.Add(t.Context(), Wish{Text: text, Owner: "eve"}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "ada@laptop of ada") {
		t.Errorf("the same key again: %v", err)
	}
	if _, err := b.Add(t.Context(), Wish{Text: ed(t, ""), Name: "ada@laptop", Owner: "ada"}); !errors.Is(err, ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	if _, err := b.Add(t.Context(), Wish{Text: ed(t, ""), Name: "a/b", Owner: "ada"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a name that is none: %v", err)
	}
	other, err := b.Add(t.Context(), Wish{Text: ed(t, ` "; rm -rf`), Owner: "ada"})
	if err != nil || !strings.HasPrefix(other.Name, "key-") || !other.Opens("anything") {
		t.Errorf("a comment that is no name: %+v %v", other, err)
	}
	public, _, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if found, known := b.Find(public); !known || found.ID != k.ID {
		t.Errorf("%+v %v", found, known)
	}

	if err := b.Used(t.Context(), k.ID); err != nil || !store.keys[k.ID].LastUsed.Equal(now) {
		t.Errorf("%v %v", store.keys[k.ID].LastUsed, err)
	}
	now = now.Add(30 * time.Second)
	if err := b.Used(t.Context(), k.ID); err != nil || store.keys[k.ID].LastUsed.Equal(now) {
		t.Errorf("written twice in a minute, %v", err)
	}
	now, store.down = now.Add(time.Hour), errors.New("the disk is full")
	if err := b.Used(t.Context(), k.ID); err == nil {
		t.Error("nothing is wrong")
	}
	if err := b.Remove(t.Context(), "ada", k.ID); err == nil || len(gone) > 0 {
		t.Errorf("removed in spite of it: %v %v", err, gone)
	}
	store.down = nil

	same, err := b.Add(t.Context(), Wish{Text: ed(t, ""), Name: "ada@laptop", Owner: "eve"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), "root", "ada@laptop"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), same.ID+" of eve") {
		t.Errorf("one of two: %v", err)
	}
	for _, ref := range []struct{ by, ref string }{{"eve", "ada@laptop"}, {"root", "ada@laptop"}, {"root", other.Fingerprint}} {
		if err := b.Remove(t.Context(), ref.by, ref.ref); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(gone, []string{same.ID, k.ID, other.ID}) || len(b.List()) > 0 {
		t.Errorf("%v are gone, %v left", gone, b.List())
	}
	if err := b.Remove(t.Context(), "ada", "laptop"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, known := b.Find(public); known {
		t.Error("it opens still")
	}
}
