package router

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
	"time"
)

// Check gives the token that a secret stands for, or why it does not count: ErrTokenMissing,
// ErrTokenMalformed, ErrTokenUnknown, ErrTokenExpired, ErrTokenRevoked; with the last two the token
// too. It takes no lock and writes nothing but that the token was used.
func (t *Tokens) Check(secret string) (Token, error) {
	e, err := t.check(secret)
	if e == nil {
		return Token{}, err
	}
	return e.snapshot(), err
}

func (t *Tokens) check(secret string) (*tokenEntry, error) { return checkAt(t, secret, t.now()) }

// checkAt is Check for who has the time already, and a secret that may lie in a buffer.
func checkAt[S string | []byte](t *Tokens, secret S, now time.Time) (*tokenEntry, error) {
	if len(secret) == 0 {
		return nil, ErrTokenMissing
	}
	var s secretBytes // whole words of 8: see is
	if copy(s[:], secret) != secretLen || len(secret) != secretLen || string(s[:len(secretPrefix)]) != secretPrefix {
		return nil, ErrTokenMalformed
	}
	e := t.find(&s)
	if e == nil {
		return nil, ErrTokenUnknown
	}
	if err := e.State(now); err != nil {
		return e, err
	}
	if at := now.Unix(); at-e.used.at.Load() >= usedEvery {
		e.used.at.Store(at)
	}
	return e, nil
}

// secretBytes is a secret on the stack, where []byte(secret) would not be.
type secretBytes [secretLen]byte

// is compares in a time that does not depend on what differs, by words: byte by byte it would take most of
// what a check may cost.
func (s *secretBytes) is(other *secretBytes) bool {
	var differ uint64
	for i := 0; i < secretLen; i += 8 {
		differ |= binary.NativeEndian.Uint64(s[i:]) ^ binary.NativeEndian.Uint64(other[i:])
	}
	return differ == 0
}

// find gives the entry of a secret, nil where there is none. What is remembered are digests of secrets that
// were right: a wrong one always costs a whole hash, and never takes a right one's place.
func (t *Tokens) find(s *secretBytes) *tokenEntry {
	set := t.current.Load()
	place := t.digests.place(s)
	if d := place.Load(); d != nil && d.secret.is(s) {
		return set.byDigest(&d.hash)
	}
	hash := sha256.Sum256(s[:])
	e := set.byDigest(&hash)
	if e != nil && e.RevokedAt.IsZero() {
		place.Store(&digest{*s, hash})
	}
	return e
}

// lookup gives the entry of a secret, nil where there is none.
func (s *tokenSet) lookup(secret string) *tokenEntry {
	if len(secret) != secretLen {
		return nil
	}
	hash := sha256.Sum256([]byte(secret))
	return s.byDigest(&hash)
}

// byDigest finds by one half of the hash, and compares the other in constant time.
func (s *tokenSet) byDigest(hash *[sha256.Size]byte) *tokenEntry {
	e := s.byHash[[16]byte(hash[:16])]
	if e == nil || subtle.ConstantTimeCompare(e.hash[16:], hash[16:]) != 1 {
		return nil
	}
	return e
}

// digests remembers what secrets hash to, for those in use: SHA-256 alone would take most of what a check
// may cost. It is only a function's memory, so nothing in it can be out of date: whether a token still
// counts is not in it. The secrets that are in it were in the heads of requests just before.
type digests struct {
	seed   maphash.Seed // nobody outside can aim at a place
	places []atomic.Pointer[digest]
}

type digest struct {
	secret secretBytes
	hash   [sha256.Size]byte
}

const rememberedDigests = 4096 // at most; two that fall on one place take turns

func newDigests() digests {
	return digests{maphash.MakeSeed(), make([]atomic.Pointer[digest], rememberedDigests)}
}

func (d *digests) place(s *secretBytes) *atomic.Pointer[digest] {
	return &d.places[maphash.Bytes(d.seed, s[:])%rememberedDigests]
}
