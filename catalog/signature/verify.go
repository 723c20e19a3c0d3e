package signature

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"aead.dev/minisign"
)

// LongestSignature is how many bytes of a signature are read; what is longer is none. A bundle of cosign's with its
// certificates and its entry of a log has some 10 KiB.
const LongestSignature = 64 << 10

// Signed says who signed, and what was signed beside the message.
type Signed struct {
	Key     Key
	Comment string // minisign's trusted comment; empty with cosign
}

// Verify reads message to its end and says which of keys signed it. The signature is a file of minisign's, or what cosign
// sign-blob gives: base64 alone, or its bundle in JSON. Certificates and logs in a bundle are not looked at: who is trusted is
// said by keys alone. Errors are ErrUnsigned (an empty signature), ErrInvalid, ErrUntrusted and ErrAltered, or the reader's.
func Verify(keys []Key, message io.Reader, sig []byte) (Signed, error) {
	sig = bytes.TrimSpace(sig)
	switch {
	case len(sig) == 0:
		return Signed{}, &Error{Kind: ErrUnsigned, Text: "there is no signature"}
	case len(sig) > LongestSignature:
		return Signed{}, invalid("a signature", "it is longer than 64 KiB")
	case bytes.HasPrefix(sig, []byte("untrusted comment:")):
		return verifyMinisign(keys, message, sig)
	}
	der, err := cosignSignature(sig)
	if err != nil {
		return Signed{}, err
	}
	return verifyCosign(keys, message, der)
}

// untrusted is the error for a signature that none of the trusted keys can have made.
func untrusted(id string) error {
	text := "it is signed by none of the keys that are trusted"
	if id != "" {
		text = fmt.Sprintf("it is signed by the key %s, which is not trusted", id)
	}
	return &Error{Kind: ErrUntrusted, Text: text,
		hint: "if you know its maker, take their public key from a place that you believe, and: palisade catalog trust KEYFILE"}
}

func verifyMinisign(keys []Key, message io.Reader, sig []byte) (Signed, error) {
	var parsed minisign.Signature
	if err := parsed.UnmarshalText(sig); err != nil {
		return Signed{}, invalid("a signature", "minisign's form of it is damaged")
	}
	if parsed.Algorithm != minisign.HashEdDSA {
		return Signed{}, &Error{Kind: ErrInvalid, Text: "this signature is of minisign's old form, without a hash",
			hint: "sign it again with minisign 0.10 or later, or with minisign -S -H"}
	}
	hashed := minisign.NewReader(message)
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return Signed{}, fmt.Errorf("reading what is signed: %w", err)
	}
	known := false
	for _, k := range keys {
		if k.kind != Minisign || k.mini.ID() != parsed.KeyID {
			continue
		}
		known = true
		if hashed.Verify(k.mini, sig) {
			return Signed{Key: k, Comment: parsed.TrustedComment}, nil
		}
	}
	if known {
		return Signed{}, altered(fmt.Sprintf("minisign:%016X", parsed.KeyID))
	}
	return Signed{}, untrusted(fmt.Sprintf("minisign:%016X", parsed.KeyID))
}

func altered(id string) error {
	return &Error{Kind: ErrAltered, Text: fmt.Sprintf("it is not what %s signed: it was altered, or the signature was", id),
		hint: "get it anew; if that gives the same, ask its maker before you go on"}
}

// cosignSignature takes the signature out of what cosign writes.
func cosignSignature(sig []byte) ([]byte, error) {
	encoded := string(sig)
	if sig[0] == '{' {
		var bundle struct {
			Plain   string `json:"base64Signature"` // cosign 1 and 2
			Message struct {
				Signature string `json:"signature"`
			} `json:"messageSignature"` // Sigstore's bundle
		}
		if err := json.Unmarshal(sig, &bundle); err != nil {
			return nil, invalid("a signature", "its JSON is damaged")
		}
		encoded = bundle.Plain + bundle.Message.Signature
	}
	der, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(der) == 0 {
		return nil, invalid("a signature", "it is neither of minisign nor of cosign sign-blob")
	}
	return der, nil
}

// verifyCosign tries every key: a signature of cosign's does not say whose it is, so that one of an unknown key and one over
// other bytes cannot be told apart.
func verifyCosign(keys []Key, message io.Reader, der []byte) (Signed, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, message); err != nil {
		return Signed{}, fmt.Errorf("reading what is signed: %w", err)
	}
	sum := hash.Sum(nil)
	for _, k := range keys {
		if k.kind == Cosign && ecdsa.VerifyASN1(k.pub, sum, der) {
			return Signed{Key: k}, nil
		}
	}
	return Signed{}, untrusted("")
}
