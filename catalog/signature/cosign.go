package signature

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/scrypt"
)

// locked is cosign's secret key as it lies in its PEM: PKCS #8 in a box whose key is made of the password.
type locked struct {
	KDF struct {
		Name   string `json:"name"`
		Params struct {
			N int `json:"N"`
			R int `json:"r"`
			P int `json:"p"`
		} `json:"params"`
		Salt []byte `json:"salt"`
	} `json:"kdf"`
	Cipher struct {
		Name  string `json:"name"`
		Nonce []byte `json:"nonce"`
	} `json:"cipher"`
	Ciphertext []byte `json:"ciphertext"`
}

// openCosign opens a secret key as cosign writes it, or one of OpenSSL's that has no password.
func openCosign(block *pem.Block, password func() (string, error)) (*ecdsa.PrivateKey, error) {
	switch block.Type {
	case "EC PRIVATE KEY":
		priv, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, invalid("a secret key", err.Error())
		}
		return priv, nil
	case "PRIVATE KEY":
		return pkcs8(block.Bytes)
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		word, err := password()
		if err != nil {
			return nil, fmt.Errorf("asking for the key's password: %w", err)
		}
		der, err := unlock(block.Bytes, word)
		if err != nil {
			return nil, err
		}
		return pkcs8(der)
	default:
		return nil, invalid("a secret key", fmt.Sprintf("it is a %q", block.Type))
	}
}

func pkcs8(der []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, invalid("a secret key", err.Error())
	}
	priv, is := parsed.(*ecdsa.PrivateKey)
	if !is {
		return nil, invalid("a secret key that cosign makes", "it is not of ECDSA")
	}
	return priv, nil
}

func unlock(src []byte, password string) ([]byte, error) {
	var l locked
	if err := json.Unmarshal(src, &l); err != nil {
		return nil, invalid("a secret key", "its JSON is damaged")
	}
	cost := l.KDF.Params
	switch {
	case l.KDF.Name != "scrypt" || l.Cipher.Name != "nacl/secretbox" || len(l.Cipher.Nonce) != 24:
		return nil, invalid("a secret key", "it is locked in a way that is not known here")
	// A key of somebody else's must not take all memory: cosign's own has 65536, 8 and 1, which is 64 MiB.
	case cost.N < 2 || cost.N > 1<<20 || cost.R < 1 || cost.R > 16 || cost.P < 1 || cost.P > 16:
		return nil, invalid("a secret key", "opening it would cost more than is right")
	}
	secret, err := scrypt.Key([]byte(password), l.KDF.Salt, cost.N, cost.R, cost.P, 32)
	if err != nil {
		return nil, invalid("a secret key", err.Error())
	}
	der, ok := secretbox.Open(nil, l.Ciphertext, (*[24]byte)(l.Cipher.Nonce), (*[32]byte)(secret))
	if !ok {
		return nil, &Error{Kind: ErrPassword, Text: "the password does not open this key, or the key is damaged"}
	}
	return der, nil
}
