package apps

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// Actor is who wants to use an app.
type Actor struct {
	Name string
	User string // the user of the appliance that they are; "": none
	Key  string // id of the API key that let them in; "" and no User: somebody of this box itself
}

// Until when what proves a log-in is good.
const (
	ticketLife = 2 * time.Minute
	passLife   = 12 * time.Hour
)

// mayUse decides whether who has logged in may use a session's apps. It is asked at each request: what a person may changes
// while a pass lasts.
func (a *Apps) mayUse(by Actor, s sessions.Session) bool { return a.May == nil || a.May(by, s) }

// pass proves that somebody has logged in, for one app of one session. As a ticket it is good once, and soon not at all.
type pass struct {
	Session string `json:"s"`
	App     string `json:"a"`
	Name    string `json:"n"`
	User    string `json:"u,omitempty"`
	Key     string `json:"k,omitempty"`
	Expires int64  `json:"e"` // seconds since 1970
	Nonce   string `json:"o,omitempty"`
}

// What a signature is made for: neither is taken for the other.
const (
	forTicket = "ticket"
	forCookie = "cookie"
)

// seal signs a pass.
func seal(key []byte, purpose string, p pass) string {
	text, err := json.Marshal(p)
	if err != nil { // strings and a number
		return ""
	}
	body := base64.RawURLEncoding.EncodeToString(text)
	return body + "." + base64.RawURLEncoding.EncodeToString(sign(key, purpose, body))
}

func sign(key []byte, purpose, body string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(purpose + "\n" + body))
	return mac.Sum(nil)
}

// unseal returns a pass that was sealed for that purpose and is good now.
func unseal(key []byte, purpose, sealed string, now time.Time) (pass, bool) {
	body, signature, _ := strings.Cut(sealed, ".")
	given, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(sealed) > 4096 || !hmac.Equal(given, sign(key, purpose, body)) {
		return pass{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(body)
	var p pass
	if err != nil || json.Unmarshal(text, &p) != nil || now.Unix() >= p.Expires {
		return pass{}, false
	}
	return p, true
}

// spent remembers tickets that were used, until they would not be good any more.
type spent struct {
	mu   sync.Mutex
	used map[string]time.Time // by nonce, until when to remember
}

// use reports whether a ticket is used for the first time.
func (s *spent) use(nonce string, until, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, end := range s.used {
		if !now.Before(end) {
			delete(s.used, n)
		}
	}
	if _, is := s.used[nonce]; is {
		return false
	}
	if s.used == nil {
		s.used = map[string]time.Time{}
	}
	s.used[nonce] = until
	return true
}

const keyBytes = 32

// OpenKey reads the key that tickets and cookies are signed with, and makes it where there is none: so they outlive the
// daemon. Whoever reads the file can log in.
func OpenKey(file string) ([]byte, error) {
	key, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, keyBytes)
		rand.Read(key) // never fails: it ends the program instead
		err = keep(file, key)
	}
	if err != nil {
		return nil, fmt.Errorf("the key of log-ins to apps: %w", err)
	}
	if len(key) != keyBytes {
		return nil, &Error{
			Err:  fmt.Errorf("the key of log-ins to apps: %s has %d bytes, not %d", file, len(key), keyBytes),
			What: "remove the file: a new one is made, and who uses an app logs in again",
		}
	}
	return key, nil
}

// keep writes a file that is there as a whole or not at all.
func keep(file string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove(f.Name())) }()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

func remove(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Error is an error that says what to do about it.
type Error struct {
	Err  error
	What string // the hint
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.What }
