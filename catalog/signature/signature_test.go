package signature_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/palisade-run/palisade/catalog/signature"
)

const message = "kind: palisade-catalog\nserial: 1\n"

// pair is a key made by the program that people use for it, with what it signed.
type pair struct {
	secret, public, sig []byte
}

// tool runs a program in dir.
func tool(t *testing.T, dir string, words ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), words[0], words[1:]...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

func read(t *testing.T, parts ...string) []byte {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// byMinisign lets Debian's minisign make a key and sign with it.
func byMinisign(t *testing.T, how ...string) pair {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "m"), []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "minisign", "-G", "-W", "-p", "k.pub", "-s", "k.key")
	tool(t, dir, append([]string{"minisign", "-S", "-s", "k.key", "-m", "m", "-t", "serial 1"}, how...)...)
	return pair{read(t, dir, "k.key"), read(t, dir, "k.pub"), read(t, dir, "m.minisig")}
}

// byOpenSSL does the same as cosign sign-blob, with a key that cosign would import.
func byOpenSSL(t *testing.T) pair {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "m"), []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "k.key")
	tool(t, dir, "openssl", "ec", "-in", "k.key", "-pubout", "-out", "k.pub")
	tool(t, dir, "openssl", "dgst", "-sha256", "-sign", "k.key", "-out", "m.der", "m")
	return pair{read(t, dir, "k.key"), read(t, dir, "k.pub"), []byte(base64.StdEncoding.EncodeToString(read(t, dir, "m.der")))}
}

func key(t *testing.T, src []byte) signature.Key {
	t.Helper()
	k, err := signature.ParseKey(src)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatOtherProgramsSignedIsBelieved(t *testing.T) {
	for name, made := range map[string]pair{"minisign": byMinisign(t), "cosign": byOpenSSL(t)} {
		t.Run(name, func(t *testing.T) {
			k := key(t, made.public)
			signed, err := signature.Verify([]signature.Key{k}, strings.NewReader(message), made.sig)
			if err != nil || !signed.Key.Equal(k) {
				t.Fatalf("Verify = %v, %v", signed, err)
			}
			if k.Kind() == signature.Minisign && signed.Comment != "serial 1" {
				t.Errorf("comment %q", signed.Comment)
			}
			if again := key(t, []byte(k.String())); !again.Equal(k) || again.ID() != k.ID() {
				t.Errorf("%s became %s on the way through its text", k.ID(), again.ID())
			}
		})
	}
}

func TestWhatIsSignedHereIsBelievedByOtherPrograms(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, src []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), src, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("m", []byte(message))
	made, err := signature.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := made.Sign(strings.NewReader(message), "serial 1")
	if err != nil {
		t.Fatal(err)
	}
	write("k.pub", []byte(made.Key().String()))
	write("m.minisig", sig)
	tool(t, dir, "minisign", "-V", "-p", "k.pub", "-m", "m")

	ssl := byOpenSSL(t)
	signer, err := signature.ParseSigner(ssl.secret, nobody(t))
	if err != nil {
		t.Fatal(err)
	}
	if sig, err = signer.Sign(strings.NewReader(message), ""); err != nil {
		t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(sig)))
	if err != nil {
		t.Fatal(err)
	}
	write("c.pub", ssl.public)
	write("m.der", der)
	tool(t, dir, "openssl", "dgst", "-sha256", "-verify", "c.pub", "-signature", "m.der", "m")
}

// nobody is the password of a key that has none.
func nobody(t *testing.T) func() (string, error) {
	return func() (string, error) {
		t.Error("a key without a password asked for one")
		return "", nil
	}
}

func TestSecretKeysComeBack(t *testing.T) {
	mini := byMinisign(t)
	signer, err := signature.ParseSigner(mini.secret, nobody(t))
	if err != nil || !signer.Key().Equal(key(t, mini.public)) {
		t.Fatalf("a key of minisign's: %v, %v", signer.Key().ID(), err)
	}
	open, err := signer.Marshal("")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := signature.ParseSigner(open, nobody(t)); err != nil || !again.Key().Equal(signer.Key()) {
		t.Errorf("written and read again: %v, %v", again.Key().ID(), err)
	}
	if _, err := signature.ParseKey(mini.secret); !errors.Is(err, signature.ErrInvalid) || !strings.Contains(err.Error(), "secret key") {
		t.Errorf("a secret key in place of the public one: %v", err)
	}
	if _, err := signature.ParseSigner(mini.public, nobody(t)); !errors.Is(err, signature.ErrInvalid) {
		t.Errorf("a public key in place of the secret one: %v", err)
	}
}

// TestCosignKeysAreOpenedByTheirPassword reads a key in the form of cosign 2, locked with "palisade".
func TestCosignKeysAreOpenedByTheirPassword(t *testing.T) {
	secret, public := read(t, "testdata", "cosign.key"), read(t, "testdata", "cosign.pub")
	signer, err := signature.ParseSigner(secret, func() (string, error) { return "palisade", nil })
	if err != nil || !signer.Key().Equal(key(t, public)) {
		t.Fatalf("%v, %v", signer.Key().ID(), err)
	}
	if _, err := signature.ParseSigner(secret, func() (string, error) { return "palisad", nil }); !errors.Is(err, signature.ErrPassword) {
		t.Errorf("the wrong password: %v", err)
	}
	broken := errors.New("no terminal")
	if _, err := signature.ParseSigner(secret, func() (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("nobody to ask: %v", err)
	}
}

func TestCosignBundles(t *testing.T) {
	made := byOpenSSL(t)
	keys := []signature.Key{key(t, made.public)}
	plain, err := json.Marshal(map[string]any{"base64Signature": string(made.sig), "cert": "", "rekorBundle": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	sigstore, err := json.Marshal(map[string]any{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"messageSignature": map[string]any{"signature": string(made.sig)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, sig := range map[string][]byte{"cosign 2": plain, "sigstore": sigstore} {
		if _, err := signature.Verify(keys, strings.NewReader(message), sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := signature.Verify(keys, strings.NewReader(message), []byte(`{"dsseEnvelope":{}}`)); !errors.Is(err, signature.ErrInvalid) {
		t.Errorf("a bundle without a signature of bytes: %v", err)
	}
}

func TestWhatIsNotBelieved(t *testing.T) {
	mini, other, ssl, old := byMinisign(t), byMinisign(t), byOpenSSL(t), byMinisign(t, "-l")
	keys := []signature.Key{key(t, mini.public), key(t, ssl.public)}
	comment := bytes.Replace(mini.sig, []byte("serial 1"), []byte("serial 2"), 1)
	tests := []struct {
		name    string
		keys    []signature.Key
		message string
		sig     []byte
		want    error
	}{
		{"no signature", keys, message, []byte(" \n"), signature.ErrUnsigned},
		{"a word", keys, message, []byte("hello"), signature.ErrInvalid},
		{"too long", keys, message, bytes.Repeat([]byte("A"), signature.LongestSignature+1), signature.ErrInvalid},
		{"cut off", keys, message, mini.sig[:len(mini.sig)-40], signature.ErrInvalid},
		{"another key of minisign's", keys, message, other.sig, signature.ErrUntrusted},
		{"no keys", nil, message, mini.sig, signature.ErrUntrusted},
		{"the old form", []signature.Key{key(t, old.public)}, message, old.sig, signature.ErrInvalid},
		{"another message", keys, message + " ", mini.sig, signature.ErrAltered},
		{"another comment", keys, message, comment, signature.ErrAltered},
		{"another message for cosign", keys, message + " ", ssl.sig, signature.ErrUntrusted},
		{"a key of the other kind", keys[:1], message, ssl.sig, signature.ErrUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := signature.Verify(tt.keys, strings.NewReader(tt.message), tt.sig); !errors.Is(err, tt.want) {
				t.Errorf("Verify: %v, not %v", err, tt.want)
			}
		})
	}
	broken := errors.New("disk broken")
	for _, sig := range [][]byte{mini.sig, ssl.sig} {
		if _, err := signature.Verify(keys, iotest.ErrReader(broken), sig); !errors.Is(err, broken) {
			t.Errorf("a message that cannot be read: %v", err)
		}
	}
}

func TestOneCommentLine(t *testing.T) {
	made, err := signature.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.Sign(strings.NewReader(message), "a\ntrusted comment: b"); err == nil {
		t.Error("a comment of two lines was signed")
	}
}

func FuzzVerify(f *testing.F) {
	made, err := signature.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	sig, err := made.Sign(strings.NewReader(message), "c")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(message), sig)
	f.Add([]byte(""), []byte(`{"base64Signature":"AA=="}`))
	f.Fuzz(func(t *testing.T, m, s []byte) {
		_, err := signature.Verify([]signature.Key{made.Key()}, bytes.NewReader(m), s)
		if err == nil && !bytes.Equal(m, []byte(message)) {
			t.Errorf("%q is believed by %q", m, s)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		k, err := signature.ParseKey(src)
		if err != nil {
			return
		}
		again, err := signature.ParseKey([]byte(k.String()))
		if err != nil || !again.Equal(k) {
			t.Errorf("%q became %q: %v", src, k, err)
		}
	})
}
