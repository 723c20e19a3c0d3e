package oidc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"
)

// Life is how long somebody may take at the provider.
const Life = 10 * time.Minute

// journey is a log-in that is under way. The browser keeps it, sealed: it proves that who comes back is who has gone.
type journey struct {
	Provider string `json:"p"`
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"` // of PKCE
	Back     string `json:"b"` // where the provider was to send the browser
	Next     string `json:"x"`
	Until    int64  `json:"u"` // seconds since 1970
}

// seal makes what the browser keeps: it can neither read nor change it.
func seal(box cipher.AEAD, j journey) (string, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, box.NonceSize())
	rand.Read(nonce) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(box.Seal(nonce, nonce, text, nil)), nil
}

var errStale = errors.New("this log-in was not begun by this browser, or too long ago")

// unseal returns the journey that a browser shows, if it may still end.
func unseal(box cipher.AEAD, sealed string, now time.Time) (j journey, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(sealed) > 4096 || len(raw) < box.NonceSize() {
		return journey{}, errStale
	}
	text, err := box.Open(nil, raw[:box.NonceSize()], raw[box.NonceSize():], nil)
	if err != nil || json.Unmarshal(text, &j) != nil || now.Unix() >= j.Until {
		return journey{}, errStale
	}
	return j, nil
}

func newBox(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// spent remembers the states that were used, until they would not be good any more: a page that is gone back to is no log-in.
type spent struct {
	mu   sync.Mutex
	used map[string]int64 // until when
}

// use reports whether a state is used for the first time.
func (s *spent) use(state string, until int64, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, end := range s.used {
		if now.Unix() >= end {
			delete(s.used, n)
		}
	}
	if _, is := s.used[state]; is {
		return false
	}
	if s.used == nil {
		s.used = map[string]int64{}
	}
	s.used[state] = until
	return true
}

// Local is where a browser goes when it is let in: a page of the console, and of nobody else, whatever was asked for.
func Local(next string) string {
	const home = "/console/"
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || len(next) > 2000 || strings.ContainsFunc(next, odd) ||
		!strings.HasPrefix(u.EscapedPath(), home) || strings.Contains(u.EscapedPath(), "//") || !strings.HasPrefix(path.Clean(u.Path)+"/", home) {
		return home
	}
	return u.RequestURI()
}

// odd are characters that browsers read otherwise than they stand there, or leave out.
func odd(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f || r > 0x7e }
