package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"log/slog"
	"strings"
)

const (
	tokenPrefix  = "pal-join"
	idBytes      = 5
	secretBytes  = 20
	longestToken = 128
)

var letters = base32.StdEncoding.WithPadding(base32.NoPadding)

// Token is what a box joins with: pal-join.ID.SECRET.CAFINGERPRINT. It is shown once; of the secret only a hash is kept.
// It does not show its secret when it is printed, logged or turned into JSON: see Reveal.
type Token struct {
	ID     string // 8 small letters and digits
	CA     [sha256.Size]byte
	secret string
}

func newToken(ca [sha256.Size]byte) (Token, error) {
	raw := make([]byte, idBytes+secretBytes)
	if _, err := rand.Read(raw); err != nil {
		return Token{}, fmt.Errorf("making a token: %w", err)
	}
	return Token{ID: small(raw[:idBytes]), secret: small(raw[idBytes:]), CA: ca}, nil
}

func small(raw []byte) string { return strings.ToLower(letters.EncodeToString(raw)) }

// large is the reverse of small: one text for each content, so that a token has one spelling.
func large(text string, size int) ([]byte, bool) {
	raw, err := letters.DecodeString(strings.ToUpper(text))
	return raw, err == nil && len(raw) == size && small(raw) == text
}

// ParseToken reads a token as a person gave it. What is wrong is said without the token's own words: they hold its secret.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	bad := func(what string) (Token, error) {
		return Token{}, hinted("copy the whole of what `palisade cluster token` printed: pal-join.ID.SECRET.FINGERPRINT", "a join token: %w: %s", ErrInvalid, what)
	}
	if len(text) > longestToken {
		return bad("it is too long")
	}
	parts := strings.Split(text, ".")
	if parts[0] != tokenPrefix {
		return bad("it does not begin with " + tokenPrefix + ".")
	}
	if len(parts) != 4 {
		return bad("it has not four parts")
	}
	t := Token{ID: parts[1], secret: parts[2]}
	if _, ok := large(parts[1], idBytes); !ok {
		return bad("its second part is broken")
	}
	if _, ok := large(parts[2], secretBytes); !ok {
		return bad("its third part is broken")
	}
	ca, ok := large(parts[3], sha256.Size)
	if !ok {
		return bad("its last part is broken")
	}
	copy(t.CA[:], ca)
	return t, nil
}

// Reveal returns the text itself.
func (t Token) Reveal() string {
	return strings.Join([]string{tokenPrefix, t.ID, t.secret, small(t.CA[:])}, ".")
}

// String implements fmt.Stringer.
func (t Token) String() string { return tokenPrefix + "." + t.ID + ".(secret)" }

// GoString implements fmt.GoStringer.
func (t Token) GoString() string { return t.String() }

// LogValue implements slog.LogValuer.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements encoding.TextMarshaler.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// hashOf is what is kept of a secret. It has 160 bits of chance, so one round of a plain hash is enough.
func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// matches compares in constant time.
func matches(secret string, hash []byte) bool {
	return subtle.ConstantTimeCompare(hashOf(secret), hash) == 1
}
