package signature

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"

	"aead.dev/minisign"
)

// Kind is a family of keys.
type Kind string

// Kinds.
const (
	Minisign Kind = "minisign" // Ed25519 over BLAKE2b, as the program of that name
	Cosign   Kind = "cosign"   // ECDSA over SHA-256 on P-256, as cosign's sign-blob
)

// longestKey is how many bytes a file of a key may have; the longest that are made have under 1 KiB.
const longestKey = 16 << 10

// Key is a public key. The zero Key believes nobody.
type Key struct {
	kind Kind
	id   string
	mini minisign.PublicKey
	pub  *ecdsa.PublicKey
}

// ParseKey reads a public key: the file that minisign makes or its second line alone, or the PEM that cosign makes. An error
// is an ErrInvalid.
func ParseKey(src []byte) (Key, error) {
	if len(src) > longestKey {
		return Key{}, invalid("a public key", "it has more than 16 KiB")
	}
	src = bytes.TrimSpace(src)
	if !bytes.HasPrefix(src, []byte("-----BEGIN")) {
		return parseMinisign(src)
	}
	block, _ := pem.Decode(src)
	switch {
	case block == nil:
		return Key{}, invalid("a public key", "its PEM is damaged")
	case block.Type != "PUBLIC KEY":
		return Key{}, secretOrOther(block.Type)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Key{}, invalid("a public key", err.Error())
	}
	pub, is := parsed.(*ecdsa.PublicKey)
	if !is || pub.Curve != elliptic.P256() {
		return Key{}, invalid("a public key that cosign makes", "it is not of ECDSA on P-256")
	}
	return cosignKey(pub)
}

func parseMinisign(src []byte) (Key, error) {
	var mini minisign.PublicKey
	if err := mini.UnmarshalText(src); err != nil {
		if bytes.Contains(src, []byte("secret key")) {
			return Key{}, secretOrOther("minisign secret key: PRIVATE KEY")
		}
		return Key{}, invalid("a public key", "it is neither of minisign nor of cosign")
	}
	return minisignKey(mini), nil
}

// secretOrOther is the error for something in place of a public key. A secret key there is a mistake worth a word of its own.
func secretOrOther(what string) error {
	if bytes.HasSuffix([]byte(what), []byte("PRIVATE KEY")) {
		return &Error{Kind: ErrInvalid, Text: "this is a secret key, which nobody but its owner should have",
			hint: "give the public one: minisign calls it NAME.pub, cosign NAME.pub too"}
	}
	return invalid("a public key", fmt.Sprintf("it is a %q", what))
}

func minisignKey(mini minisign.PublicKey) Key {
	return Key{kind: Minisign, id: fmt.Sprintf("minisign:%016X", mini.ID()), mini: mini}
}

func cosignKey(pub *ecdsa.PublicKey) (Key, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return Key{}, fmt.Errorf("encoding a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return Key{kind: Cosign, id: "cosign:" + hex.EncodeToString(sum[:8]), pub: pub}, nil
}

// ID names the key to people: minisign's own number of it, or the first 16 digits of the SHA-256 of a cosign key. It is a
// name and no proof: two keys with one ID are told apart by Equal.
func (k Key) ID() string { return k.id }

// Kind says which family the key is of.
func (k Key) Kind() Kind { return k.kind }

// Equal says whether both are the same key.
func (k Key) Equal(other Key) bool {
	switch {
	case k.kind != other.kind:
		return false
	case k.kind == Cosign:
		return k.pub.Equal(other.pub)
	default:
		return k.mini.Equal(other.mini)
	}
}

// String is the key as ParseKey reads it.
func (k Key) String() string {
	switch k.kind {
	case Minisign:
		return fmt.Sprintf("untrusted comment: minisign public key %016X\n%s\n", k.mini.ID(), k.mini)
	case Cosign:
		der, err := x509.MarshalPKIXPublicKey(k.pub)
		if err != nil {
			return "" // it was encoded when the Key was made
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	default:
		return ""
	}
}

// Holds says whether key is one of keys.
func Holds(keys []Key, key Key) bool { return slices.ContainsFunc(keys, key.Equal) }
