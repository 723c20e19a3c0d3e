package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

const (
	leastPassword = 10
	mostPassword  = 1024 // bytes
)

// Hasher turns passwords into what is kept of them. Argon2 is one.
type Hasher interface {
	// Hash returns a password as it is kept.
	Hash(password string) string
	// Verify reports whether password is that of encoded, and whether it should be hashed anew, since that is done with more
	// effort now. It takes as long where encoded is nobody's.
	Verify(encoded, password string) (good, stale bool)
	// Nobody returns what no password fits, of the same effort as others.
	Nobody() string
}

// Argon2 are the parameters of argon2id.
type Argon2 struct {
	Memory  uint32 // KiB
	Time    uint32
	Threads uint8
}

// DefaultArgon2 is what OWASP advises: 19 MiB, twice.
func DefaultArgon2() Argon2 { return Argon2{Memory: 19 << 10, Time: 2, Threads: 1} }

const (
	saltBytes = 16
	keyBytes  = 32
)

// Hash implements Hasher: $argon2id$v=19$m=19456,t=2,p=1$SALT$KEY.
func (a Argon2) Hash(password string) string {
	salt := random(saltBytes)
	return a.encode(salt, argon2.IDKey([]byte(password), salt, a.Time, a.Memory, a.Threads, keyBytes))
}

// Nobody implements Hasher: a key that was drawn, of which nobody knows a password.
func (a Argon2) Nobody() string { return a.encode(random(saltBytes), random(keyBytes)) }

func (a Argon2) encode(salt, key []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, a.Memory, a.Time, a.Threads, b.EncodeToString(salt), b.EncodeToString(key))
}

// Verify implements Hasher, with the parameters that encoded was made with.
func (a Argon2) Verify(encoded, password string) (good, stale bool) {
	with, salt, key, ok := decodeArgon2(encoded)
	if !ok { // it takes its time, as every other
		with, salt, key = a, make([]byte, saltBytes), make([]byte, keyBytes)
	}
	got := argon2.IDKey([]byte(password), salt, with.Time, with.Memory, with.Threads, uint32(len(key)))
	good = subtle.ConstantTimeCompare(got, key) == 1 && ok
	return good, with != a
}

// Bounds of parameters that are believed: a row that was tampered with must not take the box's memory.
const (
	mostMemory = 1 << 20 // KiB
	mostTime   = 64
	mostKey    = 128 // bytes
)

func decodeArgon2(encoded string) (a Argon2, salt, key []byte, ok bool) {
	parts := strings.Split(encoded, "$")
	var version int
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return a, nil, nil, false
	}
	_, versionErr := fmt.Sscanf(parts[2], "v=%d", &version)
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &a.Memory, &a.Time, &a.Threads)
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	ok = versionErr == nil && err == nil && saltErr == nil && keyErr == nil && version == argon2.Version &&
		a.Memory > 0 && a.Memory <= mostMemory && a.Time > 0 && a.Time <= mostTime && a.Threads > 0 &&
		len(salt) >= 8 && len(salt) <= mostKey && len(key) >= 16 && len(key) <= mostKey
	return a, salt, key, ok
}

// CheckPassword says why somebody must not have a password.
func CheckPassword(name, password string) error {
	const hint = "several words that do not belong together are good, and easy to keep in mind"
	switch {
	case len([]rune(password)) < leastPassword:
		return invalid(hint, "the password is too short: at least %d characters", leastPassword)
	case len(password) > mostPassword:
		return invalid("", "the password is too long: at most %d bytes", mostPassword)
	}
	folded := strings.ToLower(strings.TrimSpace(password))
	switch {
	case folded == name || strings.Trim(folded, "0123456789!?.-_ ") == name:
		return invalid(hint, "the password is the name")
	case monotonous(folded) || isCommon(folded):
		return invalid(hint, "that password is one of the first that others try")
	}
	return nil
}

// monotonous are passwords of one or two different characters.
func monotonous(password string) bool {
	seen := map[rune]bool{}
	for _, r := range password {
		seen[r] = true
	}
	return len(seen) <= 2
}

//go:embed common.txt
var commonPasswords string

// isCommon looks into the list of those that are tried first, of ten characters and more; a mark at the end hides none.
func isCommon(folded string) bool {
	for _, word := range []string{folded, strings.TrimRight(folded, "!?.*#$@+-_ ")} {
		if word != "" && strings.Contains("\n"+commonPasswords, "\n"+word+"\n") {
			return true
		}
	}
	return false
}

// letters are those of generated passwords: none that looks like another.
const letters = "abcdefghijkmnpqrstuvwxyz23456789"

// Generate draws a password of 100 bits that can be read to somebody: abcd-efgh-ijkm-npqr-stuv.
func Generate() string { return drawn(5) }

// drawn are groups of four letters, of five bits each.
func drawn(groups int) string {
	var b strings.Builder
	for i, r := range random(4 * groups) {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[int(r)%len(letters)]) // 32 letters: each is as likely
	}
	return b.String()
}

func random(n int) []byte {
	out := make([]byte, n)
	rand.Read(out) // never fails: it ends the program instead
	return out
}

// Bounds of what a flood of log-ins costs.
const (
	atOnce  = 2  // passwords that are looked at, of 19 MiB and some tens of milliseconds each
	waiting = 16 // more are sent away
)

// press lets few passwords be hashed at once.
type press struct {
	hasher  Hasher
	places  chan struct{}
	waiting atomic.Int64
	once    sync.Once
	nobody  string
}

func newPress(h Hasher) *press { return &press{hasher: h, places: make(chan struct{}, atOnce)} }

// enter waits for a place, and returns how to leave it. ErrBusy where too many wait.
func (p *press) enter(ctx context.Context) (leave func(), err error) {
	if p.waiting.Add(1) > waiting+atOnce {
		p.waiting.Add(-1)
		return nil, ErrBusy
	}
	select {
	case p.places <- struct{}{}:
		return func() { <-p.places; p.waiting.Add(-1) }, nil
	case <-ctx.Done():
		p.waiting.Add(-1)
		return nil, context.Cause(ctx)
	}
}

// verify compares; encoded is "" for whom no password opens, which takes as long.
func (p *press) verify(ctx context.Context, encoded, password string) (good, stale bool, err error) {
	leave, err := p.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	p.once.Do(func() { p.nobody = p.hasher.Nobody() })
	if encoded == "" {
		encoded = p.nobody
	}
	good, stale = p.hasher.Verify(encoded, password)
	return good, stale, nil
}

func (p *press) hash(ctx context.Context, password string) (string, error) {
	leave, err := p.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return p.hasher.Hash(password), nil
}
