package signature

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"aead.dev/minisign"
)

// Signer is a secret key. It is made by ParseSigner or GenerateKey, and never prints itself.
type Signer struct {
	key  Key
	mini minisign.PrivateKey
	priv *ecdsa.PrivateKey
}

// GenerateKey makes a new key of minisign's kind.
func GenerateKey() (Signer, error) {
	pub, priv, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return Signer{}, fmt.Errorf("making a key: %w", err)
	}
	return Signer{key: minisignKey(pub), mini: priv}, nil
}

// ParseSigner reads a secret key of minisign's or cosign's. password is asked when the key is locked with one; its answer is
// not kept. Errors are ErrInvalid and ErrPassword, or password's own.
func ParseSigner(src []byte, password func() (string, error)) (Signer, error) {
	src = bytes.TrimSpace(src)
	switch {
	case len(src) > longestKey:
		return Signer{}, invalid("a secret key", "it has more than 16 KiB")
	case bytes.HasPrefix(src, []byte("-----BEGIN")):
		return parseCosignSigner(src, password)
	}
	var mini minisign.PrivateKey
	if minisign.IsEncrypted(src) {
		word, err := password()
		if err != nil {
			return Signer{}, fmt.Errorf("asking for the key's password: %w", err)
		}
		if mini, err = minisign.DecryptKey(word, src); err != nil {
			return Signer{}, &Error{Kind: ErrPassword, Text: "the password does not open this key, or the key is damaged"}
		}
	} else if err := mini.UnmarshalText(src); err != nil {
		return Signer{}, invalid("a secret key", "it is neither of minisign nor of cosign")
	}
	pub, is := mini.Public().(minisign.PublicKey)
	if !is {
		return Signer{}, errors.New("a secret key without its public one")
	}
	return Signer{key: minisignKey(pub), mini: mini}, nil
}

func parseCosignSigner(src []byte, password func() (string, error)) (Signer, error) {
	block, _ := pem.Decode(src)
	if block == nil {
		return Signer{}, invalid("a secret key", "its PEM is damaged")
	}
	priv, err := openCosign(block, password)
	if err != nil {
		return Signer{}, err
	}
	if priv.Curve != elliptic.P256() {
		return Signer{}, invalid("a secret key that cosign makes", "it is not on the curve P-256")
	}
	key, err := cosignKey(&priv.PublicKey)
	return Signer{key: key, priv: priv}, err
}

// Key is the public key that goes with it.
func (s Signer) Key() Key { return s.key }

// Marshal is the secret key of minisign's kind as minisign and ParseSigner read it, locked with a password unless that is
// empty. Locking takes a second and 1 GiB of memory, by minisign's own parameters.
func (s Signer) Marshal(password string) ([]byte, error) {
	switch {
	case s.key.kind != Minisign:
		return nil, errors.New("only keys of minisign's kind are written")
	case password == "":
		return s.mini.MarshalText()
	default:
		return minisign.EncryptKey(password, s.mini)
	}
}

// Sign reads message to its end and signs it. comment is one line that is signed too, and that a minisign signature carries;
// cosign's have no place for it.
func (s Signer) Sign(message io.Reader, comment string) ([]byte, error) {
	if strings.ContainsAny(comment, "\r\n") {
		return nil, errors.New("the comment of a signature is one line")
	}
	switch s.key.kind {
	case Minisign:
		hashed := minisign.NewReader(message)
		if _, err := io.Copy(io.Discard, hashed); err != nil {
			return nil, fmt.Errorf("reading what is to be signed: %w", err)
		}
		return hashed.SignWithComments(s.mini, comment, "signature by "+s.key.id), nil
	case Cosign:
		hash := sha256.New()
		if _, err := io.Copy(hash, message); err != nil {
			return nil, fmt.Errorf("reading what is to be signed: %w", err)
		}
		der, err := ecdsa.SignASN1(rand.Reader, s.priv, hash.Sum(nil))
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		return append([]byte(base64.StdEncoding.EncodeToString(der)), '\n'), nil
	default:
		return nil, errors.New("signing needs a key")
	}
}
