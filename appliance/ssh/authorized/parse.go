package authorized

import (
	"crypto/rsa"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// longest bounds a line: an RSA key of 16,384 bits has its place in it.
const longest = 8 << 10

// leastRSA is how many bits an RSA key has at least; fewer can be broken.
const leastRSA = 2048

// mistake is ErrInvalid with what to do about it.
type mistake struct{ what, hint string }

func (m *mistake) Error() string { return "invalid: " + m.what }
func (m *mistake) Unwrap() error { return ErrInvalid }

// Hint says what to do.
func (m *mistake) Hint() string { return m.hint }

// Algorithms are the kinds of keys that are taken, as lines begin.
func Algorithms() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
	}
}

// Parse reads one public key, a line as in a .pub file, and refuses what is weak or none. The error is ErrInvalid with a
// hint.
func Parse(text string) (key ssh.PublicKey, comment string, err error) {
	text = strings.TrimSpace(text)
	const pair = "make a pair with `ssh-keygen -t ed25519`, and give the file that ends in .pub"
	switch {
	case text == "":
		return nil, "", &mistake{"there is no key", pair}
	case strings.Contains(text, "PRIVATE KEY"):
		return nil, "", &mistake{"that is a private key: it must never leave your machine", "give the file beside it that ends in .pub; if this one was sent anywhere, make a new pair"}
	case strings.HasPrefix(text, "---- BEGIN SSH2 PUBLIC KEY"):
		return nil, "", &mistake{"the key is in the form of RFC 4716", "convert it: ssh-keygen -i -f FILE"}
	case len(text) > longest:
		return nil, "", &mistake{fmt.Sprintf("the line has %d bytes, %d are allowed", len(text), longest), pair}
	case strings.ContainsAny(text, "\r\n"):
		return nil, "", &mistake{"these are several lines", "add the keys one by one"}
	}
	key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	switch {
	case err != nil:
		return nil, "", &mistake{"the line is no public key in the form `ssh-ed25519 AAAA... comment`", pair}
	case len(options) > 0:
		return nil, "", &mistake{fmt.Sprintf("the line has options (%s), which are not kept here", strings.Join(options, ",")), "leave out what stands before ssh-... or ecdsa-..."}
	}
	if _, is := key.(*ssh.Certificate); is {
		return nil, "", &mistake{"that is a certificate", "give the public key that it was made for"}
	}
	if crypto, ok := key.(ssh.CryptoPublicKey); ok {
		if weak, ok := crypto.CryptoPublicKey().(*rsa.PublicKey); ok && weak.N.BitLen() < leastRSA {
			return nil, "", &mistake{fmt.Sprintf("an RSA key of %d bits can be broken", weak.N.BitLen()), pair}
		}
	}
	for _, known := range Algorithms() {
		if key.Type() == known {
			return key, comment, nil
		}
	}
	return nil, "", &mistake{fmt.Sprintf("keys of type %s are not taken: %s", key.Type(), strings.Join(Algorithms(), ", ")), pair}
}
